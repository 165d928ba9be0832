#include "ops/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/histories.h"
#include "ops/owner.h"
#include "ops/place.h"
#include "ops/restore_config.h"
#include "ops/restore_files.h"
#include "ops/restore_includes.h"
#include "ops/restore_settings.h"
#include "ops/restore_standby.h"
#include "ops/restore_tablespaces.h"
#include "pg/control.h"

#define SPACE_RESERVE ((uint64_t)64 << 20)

struct restore {
	const struct op *op;
	const struct restore_options *o;
	struct keyring *ring;
	struct plan *plan;
	struct restore_entries entries;
	struct restore_files files;
	struct tablespace_map map; /* where tablespaces go */
	struct pack_reader *packs;
	json_t *sealed; /* of the manifest; NULL: nothing is in it */
	struct restore_host *host;
};

static char *
in_pgdata(const struct restore *r, const char *name)
{
	return str_printf("%s/%s", r->o->pgdata, name);
}

/* A small file in PGDATA, durable. */
static int
put_file(const struct restore *r, const char *name, const void *data, size_t len, struct err *err)
{
	FREE_AUTO char *path = in_pgdata(r, name);

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	return fs_write_file(path, data, len, 0600, FS_REPLACE, err);
}

static int
read_manifest(struct restore *r, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	char relative[OBJECT_NAME_MAX];
	const struct backup_entry *b = r->plan->backup;
	int rc = layout_manifest(relative, b->label, b->generation, err);

	for (size_t i = 0; rc == 0 && i < r->plan->n; i++) {
		if ((r->plan->backup_mask & UINT32_C(1) << i) == 0)
			continue;
		stored_free(STEAL(s));
		restore_entries_free(&r->entries);
		rc = stored_open(&s, r->plan->repositories[i], relative, OBJECT_MANIFEST, err);
		if (rc == 0)
			rc = stored_unlock(s, r->ring, err);
		if (rc == 0)
			rc = restore_entries_read(&r->entries, s, &b->head, r->op->pool, err);
		if (rc == 0) {
			/* what an older build did not write is simply not known */
			(void)stored_sealed(s, &r->sealed, NULL);
			return 0;
		}
		if (i + 1 < r->plan->n && r->plan->backup_mask >> (i + 1) != 0) {
			log_err(r->op->log, LOG_WARN, err);
			rc = 0;
		}
	}
	return rc;
}

/* Started by root: as the user whom the server will run as. */
static int
find_owner(const struct restore *r, struct owner *owner, struct err *err)
{
	const char *pgdata = r->op->cluster->pgdata;
	struct stat st;

	if (geteuid() != 0) {
		*owner = (struct owner){geteuid(), getegid()};
		return 0;
	}
	if (stat(r->o->pgdata, &st) == 0 && st.st_uid != 0) {
		*owner = (struct owner){st.st_uid, st.st_gid};
		return 0;
	}
	if (pgdata != NULL && owner_of(owner, pgdata, NULL) == 0 && owner->uid != 0)
		return 0;
	if (owner_of(owner, "/var/lib/postgresql", NULL) == 0 && owner->uid != 0)
		return 0;
	err_set(err, ERR_CONFIG, 0, "started by root, and no user is known to whom the files shall belong");
	return err_hint(err, "make the directory first and give it to that user, or run restore as that user");
}

/* PGDATA's own mode is not in the backup, but what lies in it says whether the owner's group may read: initdb's -g. */
static mode_t
top_mode(const struct restore *r)
{
	for (size_t i = 0; i < r->entries.n; i++)
		if (r->entries.list[i].kind == MANIFEST_DIRECTORY && strcmp(r->entries.list[i].path, "global") == 0)
			return (r->entries.list[i].mode & 070) == 050 ? 0750 : 0700;
	return 0700;
}

/* An empty directory that root made for this belongs to the server's user from here on. */
static int
make_top(const struct owner *owner, const char *path, mode_t mode, struct err *err)
{
	struct stat st;
	int rc = owner_make_dirs(owner, path, mode, err);

	if (rc < 0 || geteuid() != 0 || stat(path, &st) < 0 || st.st_uid != 0)
		return rc;
	if (chown(path, owner->uid, owner->gid) < 0 || chmod(path, mode) < 0)
		return err_set(err, ERR_IO, errno, "give '%s' to the user of the server", path);
	return 0;
}

static int
make_tops(struct restore *r, struct err *err)
{
	mode_t mode = top_mode(r);
	struct owner owner;
	int rc = find_owner(r, &owner, err);

	if (rc == 0)
		rc = make_top(&owner, r->o->pgdata, mode, err);
	for (size_t i = 0; rc == 0 && i < r->map.n; i++)
		rc = make_top(&owner, r->map.entries[i].path, mode, err);
	if (rc == 0)
		rc = owner_become(&owner, "PGDATA", err);
	if (rc == 0 && chmod(r->o->pgdata, mode) < 0)
		rc = err_set(err, ERR_IO, errno, "chmod '%s'", r->o->pgdata);
	return rc;
}

static int
check_space(const struct restore *r, struct err *err)
{
	uint64_t need = SPACE_RESERVE, left;
	struct statvfs v;
	char a[16], b[16];

	for (size_t i = 0; i < r->entries.n; i++)
		if (strncmp(r->entries.list[i].path, "pg_tblspc/", 10) != 0)
			need += r->entries.list[i].size;
	if (statvfs(r->o->pgdata, &v) < 0)
		return err_set(err, ERR_IO, errno, "statvfs '%s'", r->o->pgdata);
	left = (uint64_t)v.f_bavail * v.f_frsize;
	if (need <= left)
		return 0;
	str_from_size(a, sizeof(a), need);
	str_from_size(b, sizeof(b), left);
	err_set(err, ERR_NOSPACE, 0, "'%s' needs %s and its file system has %s", r->o->pgdata, a, b);
	return err_hint(err, "choose another place; nothing was written");
}

/* What this directory is: for people, a later adoption, and a restore that finds an unfinished one: hence the first file. */
static int
write_note(const struct restore *r, struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	BUF_AUTO struct buf text = {0};
	char when[40], what[128];
	int rc;

	clock_format_utc(when, sizeof(when), clock_now_us());
	if (r->o->standby)
		(void)snprintf(what, sizeof(what), "standby");
	else
		target_describe(&r->o->plan.target, what, sizeof(what));
	if (json_object_set_new(o, "cluster", json_string(r->op->cluster->name)) < 0 ||
	    json_object_set_new(o, "backup", json_string(r->plan->backup->label)) < 0 ||
	    json_object_set_new(o, "target", json_string(what)) < 0 ||
	    json_object_set_new(o, "restored", json_string(when)) < 0 ||
	    json_object_set_new(o, "standby", json_boolean(r->o->standby)) < 0 ||
	    json_object_set_new(o, "adopted", json_boolean(restore_is_member(r->o))) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a note");
	rc = json_write(o, &text, err);
	return rc < 0 ? rc : put_file(r, RESTORE_NOTE, text.data, text.len, err);
}

static int
make_dirs(struct restore *r, struct err *err)
{
	char path[PATH_MAX];
	int rc = 0;

	/* the links first: directories of a tablespace lie behind them */
	rc = fs_make_dirs_at(r->files.root, "pg_tblspc", 0700, err);
	for (size_t i = 0; rc == 0 && i < r->map.n; i++) {
		(void)snprintf(path, sizeof(path), "pg_tblspc/%" PRIu32, r->map.entries[i].oid);
		if (symlinkat(r->map.entries[i].path, r->files.root, path) < 0)
			rc = err_set(err, ERR_IO, errno, "link '%s/%s'", r->o->pgdata, path);
	}
	for (size_t i = 0; rc == 0 && i < r->entries.n; i++) {
		const struct restore_entry *e = &r->entries.list[i];

		if (e->kind == MANIFEST_DIRECTORY && mkdirat(r->files.root, e->path, e->mode & 0777) < 0 && errno != EEXIST)
			rc = err_set(err, ERR_IO, errno, "make '%s/%s'", r->o->pgdata, e->path);
		if (e->kind == MANIFEST_CONFIG) {
			rc = restore_path(e, path, sizeof(path), err);
			if (rc == 0) {
				*strrchr(path, '/') = '\0';
				rc = fs_make_dirs_at(r->files.root, path, 0700, err);
			}
		}
	}
	return rc;
}

/* Every directory's names, after the files in them. */
static int
sync_dirs(const struct restore *r, struct err *err)
{
	int rc = fs_fsync_dir(r->o->pgdata, err);

	for (size_t i = 0; rc == 0 && i < r->entries.n; i++) {
		const struct restore_entry *e = &r->entries.list[i];
		FREE_AUTO char *path = e->kind == MANIFEST_DIRECTORY ? in_pgdata(r, e->path) : NULL;

		if (path != NULL)
			rc = fs_fsync_dir(path, err);
	}
	for (size_t i = 0; rc == 0 && i < r->map.n; i++)
		rc = fs_fsync_dir(r->map.entries[i].path, err);
	return rc < 0 ? rc : restore_config_sync(r->files.root, &r->entries, err);
}

static int
write_settings(struct restore *r, struct err *err)
{
	FREE_AUTO char *path = in_pgdata(r, AUTO_CONF), *command = NULL;
	BUF_AUTO struct buf old = {.max = AUTO_CONF_MAX}, conf = {.max = AUTO_CONF_MAX}, map = {.max = TABLESPACE_MAP_MAX};
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = fs_read_file(path, AUTO_CONF_MAX, &old, err);
	if (rc == ERR_NOT_FOUND)
		rc = 0;
	if (rc == 0)
		rc = restore_command_text(r->op, r->o, &command, err);
	if (rc == 0)
		rc = restore_auto_conf(buf_text(&old), old.len, r->o, r->plan, command, &conf, err);
	if (rc == 0)
		rc = put_file(r, AUTO_CONF, conf.data, conf.len, err);
	if (rc == 0 && r->map.n > 0)
		rc = tablespace_map_write(&r->map, &map, err);
	if (rc == 0 && r->map.n > 0)
		rc = put_file(r, "tablespace_map", map.data, map.len, err);
	return rc < 0 ? rc : put_file(r, r->o->standby ? "standby.signal" : "recovery.signal", "", 0, err);
}

/* The newest segment that a repository holds on the path: what is lost when it is left out one day. */
static void
newest_of(const struct plan *p, size_t repository, char out[WAL_NAME_MAX])
{
	out[0] = '\0';
	for (size_t i = p->chain->n; i-- > 0;)
		if ((wal_chain_mask(p->chain, i) & UINT32_C(1) << repository) != 0) {
			wal_chain_name(p->chain, i, out);
			return;
		}
}

/* A standby may have to know one day, when a repository does not answer, which timelines are taken. */
static void
remember_timelines(const struct restore *r)
{
	for (size_t i = 0; i < r->plan->wal->n; i++) {
		const struct wal_name name = {.kind = WAL_NAME_HISTORY, .timeline = r->plan->wal->timelines[i].timeline};
		char text[WAL_NAME_MAX];

		if (name.timeline == 1)
			continue;
		wal_name_format(text, &name);
		histories_remember(r->op, r->plan->wal->sysid, text);
	}
}

/* Of every segment of a link, out of the first repository that has the key. */
static int
need_keys(struct restore *r, const struct wal_link *l, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < l->n_keys; i++) {
		rc = ERR_NOT_FOUND;
		for (size_t k = 0; rc < 0 && k < r->plan->n; k++)
			rc = keyring_need(r->ring, r->plan->repositories[k], l->keys[i], err);
	}
	return rc;
}

/* Every key that recovery can need, and by which ids it knows the repositories again. */
static int
write_session(struct restore *r, struct err *err)
{
	struct plan *p = r->plan;
	struct session s = {.sysid = p->wal->sysid, .n = p->n};
	FREE_AUTO struct session_repository *list = calloc(p->n + 1, sizeof(*list));
	FREE_AUTO char *path = in_pgdata(r, SESSION_FILE);
	int rc = 0;

	if (list == NULL || path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a session");
	s.repositories = list;
	for (size_t i = 0; rc == 0 && i < p->n; i++) {
		rc = str_copy(list[i].name, sizeof(list[i].name), p->repositories[i]->name, "repository name", err);
		memcpy(list[i].id, p->repositories[i]->id, sizeof(list[i].id));
		newest_of(p, i, list[i].newest);
	}
	for (size_t i = 0; rc == 0 && i < p->chain->n_links; i++)
		rc = need_keys(r, &p->chain->links[i], err);
	return rc < 0 ? rc : session_write(&s, path, r->ring, err);
}

/* The last act: with pg_control in place the directory can be started. */
static int
write_control(const struct restore *r, struct err *err)
{
	return put_file(r, "global/pg_control", r->files.control, r->files.control_len, err);
}

static int
write_all(struct restore *r, struct err *err)
{
	int rc = make_tops(r, err);

	if (rc == 0)
		rc = check_space(r, err);
	if (rc < 0)
		return rc;
	r->files.root = open(r->o->pgdata, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->files.root < 0)
		return err_set(err, ERR_IO, errno, "open '%s'", r->o->pgdata);
	rc = write_note(r, err);
	if (rc == 0)
		rc = make_dirs(r, err);
	r->files.packs = r->packs;
	if (rc == 0)
		rc = restore_files_run(&r->files, err);
	if (rc == 0)
		rc = restore_config_dirs(r->o->pgdata, &r->entries, err);
	if (rc == 0)
		rc = write_settings(r, err);
	if (rc == 0)
		restore_includes_check(r->host, r->o->pgdata, &r->entries);
	if (rc == 0)
		restore_host_settings(r->host, r->o->pgdata, r->plan->backup->head.major, &r->entries);
	if (rc == 0)
		rc = write_session(r, err);
	if (rc == 0 && r->o->standby)
		remember_timelines(r);
	if (rc == 0)
		rc = sync_dirs(r, err);
	return rc < 0 ? rc : write_control(r, err);
}

/* What the backup says about the host that it needs; a dry run knows that too. */
static int
look_at_host(struct restore *r, struct err *err)
{
	const struct plan *p = r->plan;
	BUF_AUTO struct buf control = {.max = CONTROL_FILE_SIZE};
	struct err why = {0}, *w;
	int rc = pack_reader_new(&r->packs, p->repositories, p->n, p->backup_mask, &p->backup->head, r->ring, err);

	if (rc == 0)
		rc = restore_entries_load(&r->entries, "global/pg_control", r->packs, &control, err);
	if (rc < 0)
		return rc;
	restore_host_collation(r->host, r->sealed);
	/* a server of a later major: its files are restored all the same */
	if (restore_host_limits(r->host, p, control.data, control.len, &why) < 0 && (w = restore_host_warn(r->host)) != NULL)
		*w = why;
	return 0;
}

/* An interrupted restore is what most often lies there: pg_control comes last. */
static int
require_empty_target(const struct restore *r, struct err *err)
{
	FREE_AUTO char *note = in_pgdata(r, RESTORE_NOTE), *control = in_pgdata(r, "global/pg_control");
	int rc;

	if (note == NULL || control == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	fs_tidy(note); /* one that was killed before it had even its note */
	rc = fs_require_empty(r->o->pgdata, err);
	if (rc == ERR_REFUSED && access(note, F_OK) == 0 && access(control, F_OK) != 0) {
		err->hint[0] = '\0';
		err_hint(err, "a restore that did not finish lies there; it does not start: remove it, also what it wrote into "
			      "tablespaces, and restore again");
	}
	return rc;
}

static int
check_standby(const struct restore *r, struct restore_result *result, struct err *err)
{
	struct owner owner;
	int rc = restore_standby_check(r->plan, err);

	if (rc == 0)
		rc = find_owner(r, &owner, err);
	if (rc == 0)
		restore_standby_tell(r->op, r->plan, &owner, r->o->primary_conninfo != NULL, &result->reads_later_wal);
	return rc;
}

static int
run(struct restore *r, struct restore_result *result, struct err *err)
{
	int rc = place_check_target(r->op, r->o->pgdata, err);

	if (rc == 0)
		rc = require_empty_target(r, err);
	if (rc == 0)
		rc = op_open_keyring(r->op, &r->ring, err);
	if (rc == 0)
		rc = plan_make(r->op, &r->o->plan, r->ring, &r->plan, err);
	for (size_t i = 0; rc == 0 && i < r->plan->n_left_out; i++)
		log_write(r->op->log, LOG_WARN, "repository '%s' is left out", r->plan->left_out[i]);
	if (rc == 0)
		rc = read_manifest(r, err);
	if (rc == 0)
		rc = restore_map_tablespaces(r->op, r->o, &r->entries, &r->map, err);
	if (rc == 0)
		rc = restore_start_command(r->o->pgdata, r->plan->backup->head.major, &r->entries, &result->start_command, err);
	if (rc == 0)
		rc = look_at_host(r, err);
	if (rc == 0 && r->o->standby)
		rc = check_standby(r, result, err);
	if (rc == 0 && !r->o->dry_run)
		rc = write_all(r, err);
	if (rc == 0)
		result->plan = STEAL(r->plan);
	return rc;
}

int
restore_run(const struct op *op, const struct restore_options *o, struct restore_result *result, struct err *err)
{
	struct restore r = {.op = op, .o = o, .host = &result->host};
	int rc;

	memset(result, 0, sizeof(*result));
	r.files = (struct restore_files){.options = o, .entries = &r.entries, .pool = op->pool, .root = -1};
	rc = run(&r, result, err);
	if (r.files.root >= 0)
		(void)close(r.files.root);
	free(r.files.control);
	pack_reader_free(r.packs);
	json_decref(r.sealed);
	tablespace_map_free(&r.map);
	restore_entries_free(&r.entries);
	plan_free(r.plan);
	keyring_free(r.ring);
	return rc;
}

void
restore_result_free(struct restore_result *r)
{
	plan_free(r->plan);
	free(r->start_command);
	restore_host_free(&r->host);
	*r = (struct restore_result){0};
}
