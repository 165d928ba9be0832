#include "ops/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/histories.h"
#include "pg/control.h"
#include "repo/gap.h"
#include "repo/stored.h"
#include "repo/wal_object.h"

#define TEMPORARY                                                                                                              \
	".pgcairn" /* behind PostgreSQL's name for the target: at most one is ever left, and the next try replaces it */
#define RETRY_PAUSE_MS 500
#define LOCK_PAUSE_MS 50

struct fetch {
	const struct op *op;
	const struct fetch_options *options;
	struct wal_name name;
	struct keyring *ring;
	struct session *session;
	uint64_t sysid;
	uint8_t content_id[CONTENT_ID]; /* of what was delivered */
	char temporary[4096];
	bool given_up; /* a repository that misses it has it as a gap */
	struct gap_record gap;
};

static bool
named(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static int
all_known(const struct op *op, const char *const *list, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (config_repository(op->config, list[i]) == NULL)
			return err_set(err, ERR_CONFIG, 0, "no repository '%s' is configured", list[i]);
	return 0;
}

int
fetch_selected(
    const struct op *op, const struct config_repository *c, const struct fetch_options *o, bool *selected, struct err *err)
{
	int rc = all_known(op, o->only, o->n_only, err);

	if (rc == 0)
		rc = all_known(op, o->without, o->n_without, err);
	if (rc < 0)
		return rc;
	*selected = c->state != CONFIG_REPOSITORY_LOST && (o->n_only == 0 || named(o->only, o->n_only, c->name)) &&
		    !named(o->without, o->n_without, c->name);
	return 0;
}

/* Where the plain bytes go. */
struct output {
	int fd;
	const char *path;
};

static int
write_piece(const void *data, size_t len, uint64_t offset, void *arg, struct err *err)
{
	const struct output *out = arg;

	return fs_pwrite_all(out->fd, data, len, offset, out->path, err);
}

static bool
is_at(const struct stat *ours, const char *path)
{
	struct stat there;

	return lstat(path, &there) == 0 && there.st_dev == ours->st_dev && there.st_ino == ours->st_ino;
}

/*
 * The temporary, ours alone while we hold its lock: a recovery that was killed may have left a process that still writes there,
 * and the bytes of two segments in one file would be delivered as one. Waiting is bounded by the process's time limit.
 */
static int
open_temporary(const struct fetch *f, int *out, struct err *err)
{
	for (;;) {
		FD_AUTO int fd = open(f->temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat ours;

		if (fd < 0)
			return err_set(err, ERR_IO, errno, "create '%s'", f->temporary);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
			clock_sleep_ms(LOCK_PAUSE_MS);
			continue;
		}
		if (fstat(fd, &ours) < 0)
			return err_set(err, ERR_IO, errno, "stat '%s'", f->temporary);
		if (!is_at(&ours, f->temporary)) /* renamed or removed by whoever held it before us */
			continue;
		if (ftruncate(fd, 0) < 0)
			return err_set(err, ERR_IO, errno, "truncate '%s'", f->temporary);
		*out = fd;
		fd = -1;
		return 0;
	}
}

/* The object's bytes to the temporary; PostgreSQL's name appears only when all of it was verified. */
static int
deliver(struct fetch *f, struct stored *s, const char *path, struct err *err)
{
	struct output out = {.path = f->temporary};
	uint64_t size;
	int rc = stored_unlock(s, f->ring, err);

	if (rc == 0)
		rc = json_get_u64(s->clear, "size", 1, UINT64_C(1) << 30, &size, err);
	if (rc == 0 && size != s->index->lengths.plain)
		rc = err_set(err, ERR_CORRUPT, 0, "object '%s' holds other than the %llu bytes that it names", s->key,
		    (unsigned long long)size);
	if (rc == 0)
		rc = open_temporary(f, &out.fd, err);
	if (rc < 0)
		return rc;
	rc = stored_scatter(s, f->op->pool, write_piece, &out, err);
	if (rc == 0 && rename(f->temporary, path) < 0)
		rc = err_set(err, ERR_IO, errno, "rename '%s' to '%s'", f->temporary, path);
	if (rc < 0)
		(void)unlink(f->temporary);
	if (close(out.fd) < 0 && rc == 0) {
		rc = err_set(err, ERR_IO, errno, "close '%s'", path);
		(void)unlink(path);
	}
	return rc;
}

/* A segment that is missing here: because it was given up? 0 when that is answered. */
static int
look_for_gap(struct fetch *f, struct repository *r, struct err *err)
{
	GAP_SET_AUTO struct gap_set set = {0};
	int rc;

	if (f->name.kind != WAL_NAME_SEGMENT)
		return 0;
	rc = gap_set_read(&set, r, f->sysid, &f->name, err);
	if (rc == 0 && set.n == 0) /* a directory that was unmounted meanwhile looks empty */
		rc = repository_confirm(r, err);
	if (rc == 0 && set.n > 0) {
		f->given_up = true;
		f->gap = set.list[0];
	}
	return rc;
}

/* The object in one repository. r outlives s. */
static int
find(struct fetch *f, const struct config_repository *c, struct repository **r, struct stored **s, struct err *err)
{
	const struct session_repository *known = session_repository(f->session, c->name);
	char relative[OBJECT_NAME_MAX];
	int rc;

	if (f->session != NULL && known == NULL && !f->options->lives_on) {
		err_set(err, ERR_CONFIG, 0, "repository '%s' was not there when this recovery was planned", c->name);
		return err_hint(err, "restore again, or leave it out by --without-repository %s in restore_command", c->name);
	}
	rc = op_open_repository(f->op, c, known != NULL ? known->id : NULL, r, err);
	if (rc == 0 && repository_lineage(*r, f->sysid) == NULL)
		rc = err_set(err, ERR_CONFIG, 0, "repository '%s' knows no cluster with system identifier %llu", c->name,
		    (unsigned long long)f->sysid);
	if (rc == 0)
		rc = layout_wal(relative, f->sysid, &f->name, err);
	return rc < 0 ? rc : stored_open(s, *r, relative, wal_object_kind(&f->name), err);
}

static int
ask(struct fetch *f, const struct config_repository *c, const char *path, struct err *err)
{
	REPOSITORY_AUTO struct repository *r = NULL;
	STORED_AUTO struct stored *s = NULL;
	struct err why;
	int rc = find(f, c, &r, &s, err);

	if (rc == ERR_NOT_FOUND) {
		int gap = look_for_gap(f, r, &why);

		if (gap < 0)
			*err = why;
		return gap < 0 ? gap : rc;
	}
	if (rc < 0)
		return rc;
	rc = wal_object_content_id(s->clear, f->content_id, err);
	if (rc == 0)
		rc = deliver(f, s, path, err);
	if (rc == ERR_NOT_FOUND) { /* it was there a moment ago: whatever this is, it proves nothing */
		rc = ERR_IO;
		err->kind = rc;
	}
	return rc;
}

/*
 * Two servers can have taken one timeline, each with its history in a repository that the other could not reach. Which of the
 * two is followed must not be decided by the order of the configuration.
 */
static int
check_undisputed(struct fetch *f, const struct config_repository *from, const char *path, struct err *err)
{
	const struct config *cfg = f->op->config;

	for (size_t i = 0; i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		REPOSITORY_AUTO struct repository *r = NULL;
		STORED_AUTO struct stored *s = NULL;
		uint8_t theirs[CONTENT_ID];
		struct err unseen; /* it does not answer, or has none: then it says nothing against the others */
		bool selected;

		if (c == from || fetch_selected(f->op, c, f->options, &selected, &unseen) < 0 || !selected ||
		    find(f, c, &r, &s, &unseen) < 0 || wal_object_content_id(s->clear, theirs, &unseen) < 0 ||
		    memcmp(theirs, f->content_id, CONTENT_ID) == 0)
			continue;
		(void)unlink(path);
		err_set(err, ERR_CONFLICT, 0,
		    "repositories '%s' and '%s' hold different histories of timeline %u: two servers were promoted to it",
		    from->name, c->name, f->name.timeline);
		return err_hint(err, "choose whose life to follow: --repository NAME in restore_command");
	}
	return 0;
}

/* A repository that does not answer is never a miss; the hint says how to go on without it. */
static void
explain(struct fetch *f, const struct config_repository *c, struct err *err)
{
	const struct session_repository *known = session_repository(f->session, c->name);

	if (err->kind == ERR_CORRUPT || err->kind == ERR_AUTH) { /* it did answer */
		err_hint(err, "pgcairn verify names what is damaged");
		return;
	}
	err->hint[0] = '\0';
	err_hint(err, "if the repository is gone for good: add --without-repository %s to restore_command%s%s", c->name,
	    known != NULL && known->newest[0] != '\0' ? "; it was known to hold WAL up to " : "",
	    known != NULL ? known->newest : "");
}

static int
refuse_gap(const struct fetch *f, struct err *err)
{
	char why[DECISION_TEXT];

	decision_describe(&f->gap.decision, why);
	err_set(err, ERR_REFUSED, 0, "no repository has it, and it is a recorded gap %s", why);
	return err_hint(err,
	    "recovery cannot cross it: take a target before it or a backup behind it (pgcairn info); a good copy "
	    "that is archived under the name closes the gap");
}

/*
 * Here exit 1 of restore_command is decided: ERR_NOT_FOUND is returned only when every selected repository returned it, which
 * stored_open does only after the repository was confirmed behind the miss.
 */
static int
ask_all(struct fetch *f, const char *path, struct err *err)
{
	const struct config *cfg = f->op->config;
	struct err doubt = {0}, one;
	size_t asked = 0;

	for (size_t i = 0; i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		bool selected;
		int rc = fetch_selected(f->op, c, f->options, &selected, err);

		if (rc < 0)
			return rc;
		if (!selected) {
			log_write(f->op->log, LOG_WARN, "repository '%s' is left out", c->name);
			continue;
		}
		asked++;
		rc = ask(f, c, path, &one);
		if (rc == 0) {
			log_write(f->op->log, LOG_DEBUG, "delivered from repository '%s'", c->name);
			if (doubt.kind != 0)
				log_err(f->op->log, LOG_WARN, &doubt);
			return f->name.kind == WAL_NAME_HISTORY ? check_undisputed(f, c, path, err) : 0;
		}
		if (rc == ERR_NOT_FOUND)
			continue;
		explain(f, c, &one);
		if (doubt.kind == 0 || doubt.kind == ERR_RETRY)
			doubt = one;
	}
	if (asked == 0)
		return err_set(err, ERR_CONFIG, 0, "no repository is left to ask");
	if (doubt.kind != 0) {
		*err = doubt;
		return doubt.kind;
	}
	return f->given_up ? refuse_gap(f, err) : err_set(err, ERR_NOT_FOUND, 0, "no repository has it");
}

int
fetch_find_sysid(const struct op *op, uint64_t *sysid, struct err *err)
{
	struct control control;
	int rc = control_read_pgdata(".", &control, err);

	if (rc == ERR_NOT_FOUND && op->cluster->pgdata != NULL)
		rc = control_read_pgdata(op->cluster->pgdata, &control, err);
	if (rc < 0) {
		rc = err->kind == ERR_NOT_FOUND || err->kind == ERR_REFUSED ? ERR_CONFIG : err->kind;
		err->kind = rc;
		return err_hint(err, "run it as restore_command, or with --session FILE");
	}
	*sysid = control.sysid;
	return 0;
}

static int
prepare(struct fetch *f, const char *name, const char *path, struct err *err)
{
	int rc = 0;

	if (!wal_name_parse(name, &f->name)) {
		err_set(err, ERR_CONFIG, 0, "'%s' is not the name of a WAL file", name);
		return err_hint(err, "restore_command = 'pgcairn-wal-restore %%f %%p'");
	}
	if (fetch_temporary_name(f->temporary, sizeof(f->temporary), path) < 0)
		return err_set(err, ERR_CONFIG, 0, "the path '%.64s...' is too long", path);
	rc = op_open_keyring(f->op, &f->ring, err);
	if (rc == ERR_AUTH || rc == ERR_IO) { /* an identity that the server's user may not read: the session has the keys */
		if (f->options->session == NULL)
			return rc;
		rc = keyring_new(&f->ring, NULL, err);
	}
	if (rc == 0 && f->options->session != NULL) {
		rc = session_read(&f->session, f->options->session, f->ring, err);
		if (rc == ERR_NOT_FOUND) /* removed when an earlier recovery ended: the identity has to do */
			rc = 0;
	}
	if (rc < 0 || f->session == NULL)
		return rc < 0 ? rc : fetch_find_sysid(f->op, &f->sysid, err);
	f->sysid = f->session->sysid;
	return 0;
}

static int
fetch_with_patience(struct fetch *f, const char *path, struct err *err)
{
	struct deadline until = deadline_in_ms(f->options->retry_ms);
	int rc;

	for (;;) {
		rc = ask_all(f, path, err);
		if (rc != ERR_RETRY || deadline_passed(until))
			return rc;
		clock_sleep_ms(RETRY_PAUSE_MS);
	}
}

int
fetch_temporary_name(char *out, size_t size, const char *path)
{
	int n = snprintf(out, size, "%s.pgcairn", path);

	return n < 0 || (size_t)n >= size ? ERR_CONFIG : 0;
}

/*
 * Servers look for the newest timeline by asking for one number after the other, and take the first that is missing for their
 * own: where a history was lost in the middle they would end on an older timeline, and take that number a second time.
 */
static int
check_hole(struct fetch *f, struct err *err)
{
	const struct config *cfg = f->op->config;
	int rc = ERR_NOT_FOUND;

	f->name.timeline++;
	for (size_t i = 0; rc == ERR_NOT_FOUND && i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		REPOSITORY_AUTO struct repository *r = NULL;
		STORED_AUTO struct stored *s = NULL;
		struct err unseen; /* the miss itself is proved */
		bool selected;

		if (fetch_selected(f->op, c, f->options, &selected, &unseen) < 0 || !selected ||
		    find(f, c, &r, &s, &unseen) < 0)
			continue;
		rc = err_set(err, ERR_CORRUPT, 0, "no repository has it, but '%s' has the history of timeline %u", c->name,
		    f->name.timeline);
		err_hint(err,
		    "archive the lost history from the pg_wal of a server that has it, or go on behind it: "
		    "recovery_target_timeline = %u",
		    f->name.timeline);
	}
	f->name.timeline--;
	return rc;
}

/* A repository that is left out may have had a timeline that the others know nothing of. */
static void
note_history(const struct fetch *f, const char *name, int rc)
{
	if (rc == 0)
		histories_remember(f->op, f->sysid, name);
	else if (rc == ERR_NOT_FOUND && f->name.timeline > 1 && histories_know(f->op, f->sysid, name))
		log_write(f->op->log, LOG_WARN,
		    "this host has seen timeline %u in a repository, and those that are asked now do not have it: its number "
		    "may be "
		    "taken again",
		    f->name.timeline);
}

/* What an earlier try left that was killed. It is taken over by the next that delivers; after a miss there may be none. */
static void
remove_leftover(const struct fetch *f)
{
	FD_AUTO int fd = open(f->temporary, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat ours;

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && is_at(&ours, f->temporary))
		(void)unlink(f->temporary);
}

int
fetch_file(const struct op *op, const struct fetch_options *o, const char *name, const char *path, struct err *err)
{
	struct fetch f = {.op = op, .options = o};
	int rc = prepare(&f, name, path, err);

	if (rc == 0 && f.name.kind == WAL_NAME_HISTORY && f.name.timeline == 1) /* asked for at the end of every recovery */
		rc = err_set(err, ERR_NOT_FOUND, 0, "timeline 1 has no history");
	if (rc == 0)
		rc = fetch_with_patience(&f, path, err);
	if (rc == ERR_NOT_FOUND && f.name.kind == WAL_NAME_HISTORY && f.name.timeline > 1 && f.name.timeline < UINT32_MAX)
		rc = check_hole(&f, err);
	if (f.name.kind == WAL_NAME_HISTORY)
		note_history(&f, name, rc);
	if (rc == ERR_NOT_FOUND)
		remove_leftover(&f);
	keyring_free(f.ring);
	session_free(f.session);
	return rc < 0 ? err_wrap(err, "fetch %s", name) : 0;
}
