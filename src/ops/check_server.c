/* The server: what it is, where it writes, and that it archives with this program. */
#include <inttypes.h>

#include "base/str.h"
#include "ops/check_work.h"
#include "pg/conn.h"

#define IDLE_BYTES 8192 /* a record or two stand in the segment of an idle server: its checkpoint */

int64_t
check_ask_number(const struct check *c, const char *sql)
{
	FREE_AUTO char *text = NULL;
	uint64_t n;

	if (c->server.sql == NULL || pg_conn_query_value(c->server.sql, sql, 0, NULL, &text, NULL) < 0 ||
	    !str_to_u64(text, 0, INT64_MAX, &n))
		return -1;
	return (int64_t)n;
}

static void
ask_settings(struct check *c)
{
	struct check_server *s = &c->server;
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	const char *mode, *command, *library, *sysid, *segment;
	uint64_t segment_size = 0;
	struct err err = {0};

	if (pg_conn_query(s->sql,
		"SELECT pg_catalog.pg_is_in_recovery()::text, pg_catalog.current_setting('archive_mode'),"
		" pg_catalog.current_setting('archive_command'),"
		" coalesce(pg_catalog.current_setting('archive_library', true), ''), system_identifier::text,"
		" (SELECT bytes_per_wal_segment::text FROM pg_catalog.pg_control_init()) FROM pg_catalog.pg_control_system()",
		0, NULL, &rows, &err) < 0) {
		check_add_err(c, CHECK_CRITICAL, "server", "", &err);
		return;
	}
	mode = pg_rows_value(rows, 0, 1);
	command = pg_rows_value(rows, 0, 2);
	library = pg_rows_value(rows, 0, 3);
	sysid = pg_rows_value(rows, 0, 4);
	segment = pg_rows_value(rows, 0, 5);
	if (mode == NULL || command == NULL || library == NULL || sysid == NULL || segment == NULL)
		return;
	s->standby = strcmp(pg_rows_value(rows, 0, 0), "true") == 0;
	(void)str_to_u64(sysid, 1, UINT64_MAX, &s->sysid);
	if (str_to_u64(segment, 1, UINT32_MAX, &segment_size) && wal_segment_size_valid(segment_size))
		s->segment_size = (uint32_t)segment_size;
	s->ours = strstr(command, "pgcairn-wal-archive") != NULL || strstr(library, "pgcairn") != NULL;
	check_add(c, CHECK_OK, "server", "", NULL, "PostgreSQL %u answers, %s", pg_conn_major(s->sql),
	    s->standby ? "a standby" : "a primary");
	s->archives = strcmp(mode, "off") != 0;
	if (!s->archives)
		check_add(c, CHECK_CRITICAL, "archiving", "",
		    "set archive_mode = on and restart the server: pgconf/primary.conf",
		    "archive_mode is off: no WAL is archived");
}

/* Where a primary writes. The file of a position between two segments is not the same in all majors; its timeline is. */
static void
ask_position(struct check *c)
{
	struct check_server *s = &c->server;
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	struct wal_name name;

	if (s->standby || s->segment_size == 0 ||
	    pg_conn_query(s->sql,
		"SELECT lsn::text, pg_catalog.pg_walfile_name(lsn) FROM pg_catalog.pg_current_wal_lsn() AS lsn", 0, NULL, &rows,
		NULL) < 0 ||
	    pg_rows_count(rows) != 1 || !wal_name_parse(pg_rows_value(rows, 0, 1), &name) ||
	    !lsn_parse(pg_rows_value(rows, 0, 0), &s->lsn))
		return;
	s->timeline = name.timeline;
}

static void
check_lineage(struct check *c)
{
	for (size_t i = 0; c->server.sysid != 0 && i < c->info.n; i++) {
		const struct info_repository *r = &c->info.repositories[i];

		if (r->state == INFO_OK && repository_lineage(r->repo, c->server.sysid) == NULL)
			check_add(c, CHECK_CRITICAL, "lineage", r->config->name,
			    "is conninfo right? after pg_upgrade: pgcairn init --upgrade",
			    "the server's system identifier %" PRIu64 " is not this cluster's", c->server.sysid);
	}
}

/* Without a proof: how long ago the last segment was archived, unless the server had nothing to write since. */
static void
check_archive_age(struct check *c)
{
	int64_t limit = c->op->config->archive_max_age_ms / 1000;
	int64_t age = check_ask_number(c,
	    "SELECT extract(epoch FROM pg_catalog.now() - last_archived_time)::int8::text FROM pg_catalog.pg_stat_archiver"
	    " WHERE last_archived_time IS NOT NULL");
	int64_t written = check_ask_number(
	    c, "SELECT (pg_catalog.pg_walfile_name_offset(pg_catalog.pg_current_wal_lsn())).file_offset::text");
	char text[32];

	if (age < 0) {
		check_add(c, CHECK_WARNING, "archiving", "", "close a segment and look again: pgcairn check",
		    "the server has archived nothing since its statistics began");
		return;
	}
	check_format_age(text, sizeof(text), age);
	if (age <= limit)
		check_add(c, CHECK_OK, "archiving", "", NULL, "the last segment was archived %s ago", text);
	else if (written >= 0 && written <= IDLE_BYTES)
		check_add(c, CHECK_OK, "archiving", "", NULL, "the last segment was archived %s ago; the server was idle since",
		    text);
	else
		check_add(c, CHECK_CRITICAL, "archiving", "",
		    "set archive_timeout in the server; [check] archive-max-age is the limit",
		    "the last segment was archived %s ago and WAL was written since", text);
}

static void
check_command(struct check *c)
{
	bool proved = c->result->proved[0] != '\0';

	if (c->server.ours)
		check_add(c, CHECK_OK, "archive-command", "", NULL, "archive_command is pgcairn-wal-archive");
	else
		check_add(c, proved ? CHECK_NOTE : CHECK_CRITICAL, "archive-command", "",
		    "set archive_command as pgconf/primary.conf has it", "archive_command does not name pgcairn-wal-archive");
}

static void
check_archiving(struct check *c)
{
	bool tried;

	if (c->server.standby) {
		check_add(c, CHECK_NOTE, "archiving", "", "run check on the primary too",
		    "a standby closes no segments: archiving is not proved here");
		return;
	}
	if (!c->server.archives)
		return;
	tried = !c->options->no_switch && !c->info.stopped && c->info.opened > 0 && check_prove(c);
	check_command(c);
	if (!tried)
		check_archive_age(c);
}

void
check_server(struct check *c)
{
	PG_CONN_AUTO struct pg_connection *sql = NULL;
	const struct pg_conn_options o = {.conninfo = c->op->cluster->conninfo, .application_name = "pgcairn check"};
	struct err err = {0};

	if (pg_conn_open(&sql, &o, &err) < 0) {
		check_add_err(c, CHECK_CRITICAL, "server", "", &err);
	} else {
		c->server.sql = sql;
		ask_settings(c);
		ask_position(c);
		check_lineage(c);
		check_archiving(c);
	}
	check_backlog(c);
	check_archiver(c); /* behind the proof: a failure that is over by then is none */
	check_pg_wal_read(c);
	check_lag(c);
	check_pg_wal(c);
	c->server.sql = NULL;
}
