#include "ops/adopt.h"

#include <errno.h>
#include <inttypes.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/adopt_wal.h"
#include "ops/owner.h"
#include "ops/postmaster.h"
#include "ops/restore_settings.h"
#include "pg/conn.h"
#include "pg/control.h"

#define NOTE_MAX ((size_t)64 << 10)

struct adopt {
	const struct op *op;
	const struct adopt_options *o;
	struct adopt_result *result;
	json_t *note; /* what restore left */
	struct control control;
	struct timeline_history history; /* of its timeline */
};

static char *
in_pgdata(const struct adopt *a, const char *name)
{
	return str_printf("%s/%s", a->o->pgdata, name);
}

static bool
has(const struct adopt *a, const char *name)
{
	FREE_AUTO char *path = in_pgdata(a, name);

	return path != NULL && access(path, F_OK) == 0;
}

/* The note that restore wrote: its absence means that this is no restore of ours. */
static int
read_note(struct adopt *a, struct err *err)
{
	FREE_AUTO char *path = in_pgdata(a, RESTORE_NOTE);
	BUF_AUTO struct buf text = {.max = NOTE_MAX};
	const char *cluster;
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = fs_read_file(path, NOTE_MAX, &text, err);
	if (rc == ERR_NOT_FOUND || (rc == 0 && !has(a, "global/pg_control"))) {
		err_set(err, ERR_REFUSED, 0, "'%s' is not a directory that pgcairn restored to the end", a->o->pgdata);
		return err_hint(err, "pgcairn restore writes " RESTORE_NOTE ", and pg_control last");
	}
	if (rc == 0)
		rc = json_read(&a->note, buf_text(&text), text.len, RESTORE_NOTE, err);
	if (rc == 0)
		rc = json_get_str(a->note, "cluster", &cluster, err);
	if (rc == 0)
		rc = json_get_bool(a->note, "adopted", &a->result->already, err);
	/* a standby belongs to the cluster from the beginning */
	a->result->already |= json_is_true(json_object_get(a->note, "standby"));
	if (rc < 0)
		return err_wrap(err, "'%s'", path);
	if (strcmp(cluster, a->op->cluster->name) == 0)
		return 0;
	err_set(err, ERR_CONFIG, 0, "'%s' is a restore of cluster '%s'", a->o->pgdata, cluster);
	return err_hint(err, "choose it with --cluster");
}

/* Recovery has ended, on a timeline of the copy's own, and the server was shut down. */
static int
check_state(struct adopt *a, struct err *err)
{
	const char *what = NULL, *remedy = "start it, let it end recovery and promote, then stop it and adopt it";
	struct postmaster server;
	int rc;

	if (postmaster_find(a->o->pgdata, &server)) {
		err_set(err, ERR_REFUSED, 0, "a server runs in '%s'", a->o->pgdata);
		return err_hint(err, "stop it first: archive_mode changes with a restart only");
	}
	rc = control_read_pgdata(a->o->pgdata, &a->control, err);
	if (rc < 0)
		return rc;
	if (has(a, "recovery.signal") || has(a, "standby.signal") || has(a, "backup_label"))
		what = "has not ended recovery";
	else if (a->control.state == CONTROL_IN_PRODUCTION || a->control.state == CONTROL_CRASH_RECOVERY) {
		what = "was not shut down cleanly";
		remedy = "start it and stop it once more";
	} else if (a->control.state != CONTROL_SHUT_DOWN)
		what = "has not ended recovery";
	if (what == NULL)
		return 0;
	err_set(err, ERR_REFUSED, 0, "the server in '%s' %s", a->o->pgdata, what);
	return err_hint(err, "%s", remedy);
}

static int
read_history(struct adopt *a, struct err *err)
{
	FREE_AUTO char *path = str_printf("%s/pg_wal/%08" PRIX32 ".history", a->o->pgdata, a->control.timeline);
	BUF_AUTO struct buf text = {.max = TIMELINE_FILE_MAX};
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = fs_read_file(path, TIMELINE_FILE_MAX, &text, err);
	if (rc == 0)
		rc = timeline_history_parse(&a->history, a->control.timeline, buf_text(&text), text.len, err);
	if (rc == ERR_NOT_FOUND || (rc == 0 && a->history.n == 0)) {
		err_set(err, ERR_REFUSED, 0, "the server in '%s' is not on a timeline of its own", a->o->pgdata);
		return err_hint(err, "start it and promote it, then stop it and adopt it");
	}
	if (rc < 0)
		return rc;
	a->result->timeline = a->control.timeline;
	a->result->fork = a->history.entries[a->history.n - 1].switch_lsn;
	return 0;
}

/* Whoever else archives for this cluster must be gone. */
static int
check_original(struct adopt *a, struct err *err)
{
	const struct config_cluster *c = a->op->cluster;
	const struct pg_conn_options o = {.conninfo = c->conninfo};
	PG_CONN_AUTO struct pg_connection *sql = NULL;
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	struct postmaster server;
	struct err why = {0};
	uint64_t sysid = 0;
	int rc;

	if (c->pgdata != NULL && strcmp(c->pgdata, a->o->pgdata) != 0 && postmaster_find(c->pgdata, &server)) {
		err_set(err, ERR_REFUSED, 0, "the original still runs in '%s'", c->pgdata);
		return err_hint(
		    err, "two servers that archive for one cluster destroy each other's recovery: stop it for good");
	}
	if (c->conninfo == NULL || c->conninfo[0] == '\0')
		return 0;
	rc = pg_conn_open(&sql, &o, &why);
	if (rc == ERR_AUTH || rc == ERR_CONFIG) {
		err_set(err, ERR_REFUSED, 0, "which server answers at conninfo cannot be told: %.600s", why.msg);
		return err_hint(err, "make conninfo work, or stop that server");
	}
	if (rc < 0) {
		log_write(a->op->log, LOG_INFO, "no server answers at conninfo: %.600s", why.msg);
		return 0;
	}
	rc = pg_conn_query(sql,
	    "SELECT system_identifier::text, pg_catalog.pg_is_in_recovery()::text FROM pg_catalog.pg_control_system()", 0, NULL,
	    &rows, err);
	if (rc < 0)
		return err_wrap(err, "ask the server at conninfo which it is");
	a->result->server_seen = true;
	if (pg_rows_value(rows, 0, 0) == NULL || !str_to_u64(pg_rows_value(rows, 0, 0), 1, UINT64_MAX, &sysid) ||
	    sysid != a->control.sysid || strcmp(pg_rows_value(rows, 0, 1), "true") == 0)
		return 0;
	err_set(err, ERR_REFUSED, 0, "the original still runs: a primary of this cluster answers at conninfo");
	return err_hint(err, "two servers that archive for one cluster destroy each other's recovery: stop it for good");
}

/* What made a copy of it, taken back. */
static int
write_settings(struct adopt *a, struct err *err)
{
	FREE_AUTO char *path = in_pgdata(a, AUTO_CONF), *session = in_pgdata(a, SESSION_FILE);
	BUF_AUTO struct buf old = {.max = AUTO_CONF_MAX}, conf = {.max = AUTO_CONF_MAX};
	int rc;

	if (path == NULL || session == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = fs_read_file(path, AUTO_CONF_MAX, &old, err);
	if (rc == 0)
		rc = restore_auto_conf_adopted(buf_text(&old), old.len, &conf, err);
	if (rc == 0)
		rc = fs_write_file(path, buf_text(&conf), conf.len, 0600, FS_REPLACE, err);
	if (rc == 0 && unlink(session) < 0 && errno != ENOENT)
		rc = err_set(err, ERR_IO, errno, "remove '%s'", session);
	return rc;
}

/* The last act. */
static int
write_note(struct adopt *a, struct err *err)
{
	FREE_AUTO char *path = in_pgdata(a, RESTORE_NOTE);
	BUF_AUTO struct buf text = {0};
	int rc;

	if (path == NULL || json_object_set_new(a->note, "adopted", json_true()) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a note");
	rc = json_write(a->note, &text, err);
	return rc < 0 ? rc : fs_write_file(path, buf_text(&text), text.len, 0600, FS_REPLACE, err);
}

static int
change(struct adopt *a, struct err *err)
{
	struct owner owner;
	int rc = geteuid() == 0 ? owner_of(&owner, a->o->pgdata, err) : 0;

	if (rc == 0 && geteuid() == 0)
		rc = owner_become(&owner, "PGDATA", err);
	if (rc == 0)
		rc = adopt_wal_mark(a->o->pgdata, &a->control, a->result, err);
	if (rc == 0)
		rc = write_settings(a, err);
	return rc < 0 ? rc : write_note(a, err);
}

static int
run(struct adopt *a, struct err *err)
{
	int rc = read_note(a, err);

	if (rc < 0 || a->result->already)
		return rc;
	rc = check_state(a, err);
	if (rc == 0)
		rc = read_history(a, err);
	if (rc == 0)
		rc = check_original(a, err);
	if (rc == 0)
		rc = adopt_wal_require_free(a->op, &a->o->repositories, &a->control, err);
	if (rc == 0)
		rc = adopt_wal_count(a->o->pgdata, &a->control, a->result, err);
	return rc < 0 || a->o->dry_run ? rc : change(a, err);
}

int
adopt_run(const struct op *op, const struct adopt_options *o, struct adopt_result *out, struct err *err)
{
	struct adopt a = {.op = op, .o = o, .result = out};
	int rc;

	memset(out, 0, sizeof(*out));
	rc = run(&a, err);
	json_decref(a.note);
	timeline_history_free(&a.history);
	return rc;
}
