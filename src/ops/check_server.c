/*
 * The server: that it archives with this program, and the proof that a segment arrives. The archiver's statistics are asked
 * behind the proof, since a failure that is over by then is none.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/check_work.h"
#include "pg/conn.h"
#include "repo/stored.h"

#define POLL_MS 200
#define TIMEOUT_MS 60000
#define LATE_MS 5000      /* for the repositories that need not acknowledge */
#define FAILURES_ENOUGH 3 /* in a row: the archiver then pauses for a minute */
#define REMEDY_SWITCH "let the role close segments: pgconf/role.sql"

struct server {
	struct check *check;
	struct pg_connection *sql;
	uint64_t sysid;
	bool standby;
	bool archives; /* archive_mode is not off */
	bool ours;     /* archive_command or archive_library names this program */
};

static void
ask_settings(struct server *s)
{
	struct check *c = s->check;
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	const char *mode, *command, *library, *sysid;
	struct err err = {0};

	if (pg_conn_query(s->sql,
		"SELECT pg_catalog.pg_is_in_recovery()::text, pg_catalog.current_setting('archive_mode'),"
		" pg_catalog.current_setting('archive_command'), coalesce(pg_catalog.current_setting('archive_library', true), "
		"''),"
		" system_identifier::text FROM pg_catalog.pg_control_system()",
		0, NULL, &rows, &err) < 0) {
		check_add_err(c, CHECK_CRITICAL, "server", "", &err);
		return;
	}
	mode = pg_rows_value(rows, 0, 1);
	command = pg_rows_value(rows, 0, 2);
	library = pg_rows_value(rows, 0, 3);
	sysid = pg_rows_value(rows, 0, 4);
	if (mode == NULL || command == NULL || library == NULL || sysid == NULL)
		return;
	s->standby = strcmp(pg_rows_value(rows, 0, 0), "true") == 0;
	(void)str_to_u64(sysid, 1, UINT64_MAX, &s->sysid);
	s->ours = strstr(command, "pgcairn-wal-archive") != NULL || strstr(library, "pgcairn") != NULL;
	check_add(c, CHECK_OK, "server", "", NULL, "PostgreSQL %u answers, %s", pg_conn_major(s->sql),
	    s->standby ? "a standby" : "a primary");
	s->archives = strcmp(mode, "off") != 0;
	if (!s->archives)
		check_add(c, CHECK_CRITICAL, "archiving", "",
		    "set archive_mode = on and restart the server: pgconf/primary.conf",
		    "archive_mode is off: no WAL is archived");
}

static void
check_lineage(const struct server *s)
{
	for (size_t i = 0; s->sysid != 0 && i < s->check->info.n; i++) {
		const struct info_repository *r = &s->check->info.repositories[i];

		if (r->state == INFO_OK && repository_lineage(r->repo, s->sysid) == NULL)
			check_add(s->check, CHECK_CRITICAL, "lineage", r->config->name,
			    "is conninfo right? after pg_upgrade: pgcairn init --upgrade",
			    "the server's system identifier %" PRIu64 " is not this cluster's", s->sysid);
	}
}

static int64_t
ask_number(const struct server *s, const char *sql)
{
	FREE_AUTO char *text = NULL;
	uint64_t n;

	if (pg_conn_query_value(s->sql, sql, 0, NULL, &text, NULL) < 0 || !str_to_u64(text, 0, INT64_MAX, &n))
		return -1;
	return (int64_t)n;
}

#define FAILURES "SELECT failed_count::text FROM pg_catalog.pg_stat_archiver"

/* Which repositories have the segment by now; done is by place in the configuration. */
static void
look_for(const struct server *s, const char *relative, bool *done)
{
	for (size_t i = 0; i < s->check->info.n; i++) {
		const struct info_repository *r = &s->check->info.repositories[i];
		STORED_AUTO struct stored *object = NULL;

		if (!done[i] && r->state == INFO_OK)
			done[i] = stored_open(&object, r->repo, relative, OBJECT_WAL, NULL) == 0;
	}
}

/* Close a segment that is worth it; its name. ERR_AUTH when the role may not. */
static int
close_segment(const struct server *s, char out[WAL_NAME_MAX], struct err *err)
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	FREE_AUTO char *name = NULL;
	int rc;

	/* without a record in it an idle server's segment would not be closed; not being allowed to write one is no failure */
	(void)pg_conn_query(
	    s->sql, "SELECT pg_catalog.pg_logical_emit_message(false, 'pgcairn', 'check')", 0, NULL, &rows, NULL);
	/* one byte back: between two segments, which pg_walfile_name takes for the earlier one up to 16, for the later one
	 * since */
	rc = pg_conn_query_value(
	    s->sql, "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal() - 1)", 0, NULL, &name, err);
	return rc < 0 ? rc : str_copy(out, WAL_NAME_MAX, name, "segment", err);
}

static bool
all_open_have(const struct server *s, const bool *done)
{
	for (size_t i = 0; i < s->check->info.n; i++)
		if (s->check->info.repositories[i].state == INFO_OK && !done[i])
			return false;
	return true;
}

/* Until as many have it as must, then a little longer for the others. True when it arrived; *failing: the archiver gave up. */
static bool
wait_for(const struct server *s, const char *relative, bool *done, bool *failing)
{
	const struct check_options *o = s->check->options;
	struct deadline end = deadline_in_ms(o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS);
	int64_t failures = ask_number(s, FAILURES);
	bool arrived = false;

	for (;;) {
		look_for(s, relative, done);
		if (!arrived && acknowledge_satisfied(s->check->op->config, done)) {
			arrived = true;
			end = deadline_in_ms(deadline_left_ms(end) < LATE_MS ? deadline_left_ms(end) : LATE_MS);
		}
		if (arrived && all_open_have(s, done))
			return true;
		*failing = !arrived && failures >= 0 && ask_number(s, FAILURES) >= failures + FAILURES_ENOUGH;
		if (*failing || deadline_passed(end))
			return arrived;
		clock_sleep_ms(POLL_MS);
	}
}

static void
report_proof(const struct server *s, const char *segment, bool arrived, bool failing, const bool *done)
{
	struct check *c = s->check;

	if (!arrived)
		check_add(c, CHECK_CRITICAL, "archiving", "",
		    "see the server's log: archive_command says there why it fails; pgcairn-wal-archive by hand says it too",
		    "segment %s was closed and did not arrive%s", segment, failing ? ": archive_command fails" : " in time");
	for (size_t i = 0; arrived && i < c->info.n; i++)
		if (c->info.repositories[i].state == INFO_OK && !done[i])
			check_add(c, CHECK_WARNING, "archiving", c->info.repositories[i].config->name,
			    "see the server's log for why it lags, and copy what it lacks",
			    "segment %s arrived elsewhere and not here", segment);
}

/* False when nothing could be tried. */
static bool
prove(struct server *s)
{
	struct check *c = s->check;
	FREE_AUTO bool *done = calloc(c->info.n + 1, sizeof(bool));
	char segment[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
	int64_t began = clock_monotonic_ms();
	bool failing = false, arrived;
	struct wal_name name;
	struct err err = {0};
	int rc = done == NULL ? err_set(&err, ERR_NOMEM, 0, "out of memory") : close_segment(s, segment, &err);

	if (rc == 0 && (!wal_name_parse(segment, &name) || layout_wal(relative, s->sysid, &name, &err) < 0))
		rc = err_set(&err, ERR_CORRUPT, 0, "the server closed a segment '%.40s'", segment);
	if (rc < 0) {
		check_add(c, CHECK_WARNING, "archiving", "", rc == ERR_AUTH ? REMEDY_SWITCH : err.hint,
		    "archiving could not be proved: %s", err.msg);
		return false;
	}
	arrived = wait_for(s, relative, done, &failing);
	report_proof(s, segment, arrived, failing, done);
	if (!arrived)
		return true;
	c->result->proved_ms = clock_monotonic_ms() - began;
	memcpy(c->result->proved, segment, sizeof(segment));
	check_add(c, CHECK_OK, "archiving", "", NULL, "proved: segment %s arrived after %.1f s", segment,
	    (double)c->result->proved_ms / 1000);
	return true;
}

/* Statistics, for a failure that goes on. */
static void
check_archiver(const struct server *s)
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	const char *segment;

	if (pg_conn_query(s->sql,
		"SELECT last_failed_wal, last_failed_time::text FROM pg_catalog.pg_stat_archiver"
		" WHERE last_failed_time > coalesce(last_archived_time, '-infinity')",
		0, NULL, &rows, NULL) < 0 ||
	    pg_rows_count(rows) == 0)
		return;
	segment = pg_rows_value(rows, 0, 0);
	check_add(s->check, CHECK_CRITICAL, "archiver", "", "see the server's log: archive_command says there why it fails",
	    "the last try to archive failed: %s at %s", segment != NULL ? segment : "?", pg_rows_value(rows, 0, 1));
}

/* Without a proof: how long ago the last segment was archived, unless the server had nothing to write since. */
static void
check_archive_age(const struct server *s)
{
	int64_t limit = s->check->op->config->archive_max_age_ms / 1000;
	int64_t age = ask_number(s,
	    "SELECT extract(epoch FROM pg_catalog.now() - last_archived_time)::int8::text FROM pg_catalog.pg_stat_archiver"
	    " WHERE last_archived_time IS NOT NULL");
	/* a record or two stand in the segment of an idle server: its checkpoint */
	int64_t written =
	    ask_number(s, "SELECT (pg_catalog.pg_walfile_name_offset(pg_catalog.pg_current_wal_lsn())).file_offset::text");
	char text[32];

	if (age < 0) {
		check_add(s->check, CHECK_WARNING, "archiving", "", "close a segment and look again: pgcairn check",
		    "the server has archived nothing since its statistics began");
		return;
	}
	check_format_age(text, sizeof(text), age);
	if (age <= limit)
		check_add(s->check, CHECK_OK, "archiving", "", NULL, "the last segment was archived %s ago", text);
	else if (written >= 0 && written <= 8192)
		check_add(s->check, CHECK_OK, "archiving", "", NULL,
		    "the last segment was archived %s ago; the server was idle since", text);
	else
		check_add(s->check, CHECK_CRITICAL, "archiving", "",
		    "set archive_timeout in the server; [check] archive-max-age is the limit",
		    "the last segment was archived %s ago and WAL was written since", text);
}

static void
check_command(const struct server *s)
{
	bool proved = s->check->result->proved[0] != '\0';

	if (s->ours)
		check_add(s->check, CHECK_OK, "archive-command", "", NULL, "archive_command is pgcairn-wal-archive");
	else
		check_add(s->check, proved ? CHECK_NOTE : CHECK_CRITICAL, "archive-command", "",
		    "set archive_command as pgconf/primary.conf has it", "archive_command does not name pgcairn-wal-archive");
}

struct backlog {
	const char *directory;
	int64_t n, oldest_s; /* of modification, since 1970 */
};

static int
count_ready(const char *name, void *arg, struct err *err)
{
	struct backlog *b = arg;
	FREE_AUTO char *path = NULL;
	struct stat st;

	if (!str_ends(name, ".ready"))
		return 0;
	path = str_printf("%s/%s", b->directory, name);
	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (stat(path, &st) < 0) /* archived meanwhile */
		return 0;
	b->n++;
	if (b->oldest_s == 0 || st.st_mtime < b->oldest_s)
		b->oldest_s = st.st_mtime;
	return 0;
}

static void
check_backlog(struct check *c)
{
	const char *pgdata = c->op->cluster->pgdata;
	FREE_AUTO char *directory = pgdata != NULL ? str_printf("%s/pg_wal/archive_status", pgdata) : NULL;
	struct backlog b = {.directory = directory};
	int64_t limit = c->op->config->archive_max_age_ms / 1000;
	struct err err = {0};
	char text[32];

	if (directory == NULL)
		return;
	if (fs_list_dir(directory, count_ready, &b, &err) < 0) {
		check_add_err(c, CHECK_NOTE, "backlog", "", &err);
		return;
	}
	c->result->ready = b.n;
	c->result->oldest_ready_s = b.n > 0 ? clock_now_us() / 1000000 - b.oldest_s : 0;
	if (c->result->oldest_ready_s < 0)
		c->result->oldest_ready_s = 0;
	check_format_age(text, sizeof(text), c->result->oldest_ready_s);
	if (b.n == 0)
		check_add(c, CHECK_OK, "backlog", "", NULL, "no segment waits for archiving");
	else
		check_add(c, c->result->oldest_ready_s > limit ? CHECK_CRITICAL : CHECK_OK, "backlog", "",
		    c->result->oldest_ready_s > limit ? "see the server's log for why archiving fails or is slow" : NULL,
		    "%" PRId64 " files wait for archiving, the oldest for %s", b.n, text);
}

void
check_server(struct check *c)
{
	PG_CONN_AUTO struct pg_connection *sql = NULL;
	const struct pg_conn_options o = {.conninfo = c->op->cluster->conninfo, .application_name = "pgcairn check"};
	struct server s = {.check = c};
	struct err err = {0};

	if (pg_conn_open(&sql, &o, &err) < 0) {
		check_add_err(c, CHECK_CRITICAL, "server", "", &err);
		check_backlog(c);
		return;
	}
	s.sql = sql;
	ask_settings(&s);
	check_lineage(&s);
	if (s.standby) {
		check_add(c, CHECK_NOTE, "archiving", "", "run check on the primary too",
		    "a standby closes no segments: archiving is not proved here");
	} else if (s.archives) {
		bool tried = !c->options->no_switch && !c->info.stopped && c->info.opened > 0 && prove(&s);

		check_command(&s);
		if (!tried)
			check_archive_age(&s);
	}
	if (!c->info.stopped) /* else its failures are wanted */
		check_archiver(&s);
	check_backlog(c);
}
