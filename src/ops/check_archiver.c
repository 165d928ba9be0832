/*
 * The archiver: what waits for it, and whether it gets on.
 *
 * A failure that the server counts is easy to see. One that it does not count is not: after a status above 125 or a signal the
 * archiver's process ends, the postmaster starts another one ten seconds later, and pg_stat_archiver stands still as it does on
 * an idle server. It shows by what waits: a file that has been ready for a while, no result counted since, and a process that
 * is younger than the file.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/check_work.h"
#include "pg/conn.h"

#define RESTART_S 10 /* between a death of the archiver and its next start, at least */
#define SURE_S 60    /* with a proof that it died: no need to wait for stuck-after */

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

static int
read_backlog(struct check *c, struct err *err)
{
	const char *pgdata = c->op->cluster->pgdata;
	FREE_AUTO char *directory = str_printf("%s/pg_wal/archive_status", pgdata);
	struct backlog b = {.directory = directory};
	int rc = directory == NULL ? err_set(err, ERR_NOMEM, 0, "out of memory for a path")
				   : fs_list_dir(directory, count_ready, &b, err);

	if (rc < 0)
		return rc;
	c->result->ready = b.n;
	c->result->oldest_ready_s = b.n > 0 ? clock_now_us() / 1000000 - b.oldest_s : 0;
	return 0;
}

/* Where the files cannot be seen: the server shows them to whoever may ask. */
static void
ask_backlog(struct check *c)
{
	c->result->ready =
	    check_ask_number(c, "SELECT count(*)::text FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'");
	c->result->oldest_ready_s = check_ask_number(c,
	    "SELECT extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(modification))::int8::text"
	    " FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'");
}

void
check_backlog(struct check *c)
{
	struct check_result *r = c->result;
	int64_t limit = c->op->config->archive_max_age_ms / 1000;
	struct err err = {0};
	char text[32];

	if (c->op->cluster->pgdata == NULL || read_backlog(c, &err) < 0)
		ask_backlog(c);
	if (r->oldest_ready_s < 0)
		r->oldest_ready_s = 0;
	if (r->ready < 0) {
		check_add(c, CHECK_NOTE, "backlog", "", "check as the server's user, or let the role see it: pgconf/role.sql",
		    "what waits for archiving cannot be seen%s%s", err.kind != 0 ? ": " : "", err.msg);
		return;
	}
	check_format_age(text, sizeof(text), r->oldest_ready_s);
	if (r->ready == 0) {
		check_add(c, CHECK_OK, "backlog", "", NULL, "no segment waits for archiving");
		return;
	}
	c->stands_still |= r->oldest_ready_s > limit;
	check_add(c, r->oldest_ready_s > limit ? CHECK_CRITICAL : CHECK_OK, "backlog", "",
	    r->oldest_ready_s > limit ? "see the server's log for why archiving fails or is slow" : NULL,
	    "%" PRId64 " files wait for archiving, the oldest for %s", r->ready, text);
}

bool
check_archiver_start(const struct check *c, char out[64])
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	const char *start;

	out[0] = '\0';
	if (pg_conn_query(c->server.sql,
		"SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')::text,"
		" (SELECT backend_start::text FROM pg_catalog.pg_stat_activity WHERE backend_type = 'archiver')",
		0, NULL, &rows, NULL) < 0 ||
	    pg_rows_count(rows) != 1 || strcmp(pg_rows_value(rows, 0, 0), "true") != 0)
		return false;
	start = pg_rows_value(rows, 0, 1);
	(void)snprintf(out, 64, "%s", start != NULL ? start : "");
	return true;
}

struct archiver {
	bool failing;      /* the last result was a failure: */
	char failed[256];  /* of what and when */
	int64_t silent_s;  /* since a result was counted, or since counting began */
	int64_t server_s;  /* since the server was started */
	bool seen;         /* this role sees processes */
	int64_t process_s; /* since the archiver's was started; -1: there is none */
};

static int64_t
seconds(const struct pg_rows *rows, size_t column)
{
	const char *text = pg_rows_value(rows, 0, column);
	uint64_t n;

	/* a clock that was set back: just now */
	return text == NULL ? -1 : str_to_u64(text, 0, INT64_MAX, &n) ? (int64_t)n : 0;
}

#define SINCE(what) "extract(epoch FROM pg_catalog.clock_timestamp() - " what ")::int8::text"

static bool
ask_archiver(const struct check *c, struct archiver *a)
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	const char *segment;

	if (c->server.sql == NULL ||
	    pg_conn_query(c->server.sql,
		"SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)::text,"
		" last_failed_wal, last_failed_time::text," SINCE(
		    "greatest(last_archived_time, last_failed_time, stats_reset,"
		    " pg_catalog.pg_postmaster_start_time())") "," SINCE("pg_catalog.pg_postmaster_start_time()") ","
														  " pg_catalog."
														  "pg_has_role("
														  "'pg_read_"
														  "all_stats', "
														  "'USAGE')::"
														  "text,"
														  " ("
														  "SELECT"
														  " " SINCE(
														      "backend_"
														      "start") " FROM pg_catalog.pg_stat_activity WHERE backend_type = 'archiver')"
															       " FROM pg_catalog.pg_stat_archiver",
		0, NULL, &rows, NULL) < 0 ||
	    pg_rows_count(rows) != 1)
		return false;
	segment = pg_rows_value(rows, 0, 1);
	a->failing = strcmp(pg_rows_value(rows, 0, 0), "true") == 0;
	if (a->failing)
		(void)snprintf(
		    a->failed, sizeof(a->failed), "%s at %s", segment != NULL ? segment : "?", pg_rows_value(rows, 0, 2));
	a->silent_s = seconds(rows, 3);
	a->server_s = seconds(rows, 4);
	a->seen = strcmp(pg_rows_value(rows, 0, 5), "true") == 0;
	a->process_s = seconds(rows, 6);
	return true;
}

/* Nothing else ends an archiver while its server lives. */
static bool
has_died(const struct archiver *a, int64_t waits_s)
{
	if (!a->seen)
		return false;
	if (a->process_s < 0)
		return true;
	return a->process_s + RESTART_S < a->server_s && a->process_s < waits_s && a->process_s <= a->silent_s;
}

static void
check_stuck(struct check *c, const struct archiver *a)
{
	int64_t waits_s = c->result->oldest_ready_s, limit = c->op->config->stuck_after_ms / 1000;
	bool died = has_died(a, waits_s);
	int64_t patience = died && limit > SURE_S ? SURE_S : limit;
	char waits[32], silent[32];

	if (c->result->ready <= 0 || waits_s < patience || a->silent_s < patience)
		return;
	c->stands_still = true;
	check_format_age(waits, sizeof(waits), waits_s);
	check_format_age(silent, sizeof(silent), a->silent_s);
	check_add(c, CHECK_CRITICAL, "archiver", "",
	    died ? CHECK_REMEDY_UNCOUNTED
	    : a->seen
		? "look at the process: pgcairn-wal-archive ends by itself after [archive] timeout, what is wrapped around "
		  "it may not"
		: "a role with pg_read_all_stats sees which of the two: pgconf/role.sql; see the server's log",
	    "the oldest of %" PRId64 " files waits for %s, and for %s the server has counted neither success nor failure: %s",
	    c->result->ready, waits, silent,
	    died      ? CHECK_WHY_UNCOUNTED
	    : a->seen ? "archive_command hangs"
		      : "archive_command hangs, or ends with a status above 125");
}

void
check_archiver(struct check *c)
{
	struct archiver a;

	if (c->info.stopped || !c->server.archives || !ask_archiver(c, &a)) /* while it is stopped, failures are wanted */
		return;
	if (!a.failing) {
		check_stuck(c, &a);
		return;
	}
	c->stands_still = true;
	check_add(c, CHECK_CRITICAL, "archiver", "", CHECK_REMEDY_LOG, "the last try to archive failed: %s", a.failed);
}
