/* The proof that archiving works, end to end: a segment is closed and has to arrive. */
#include "base/clock.h"
#include "base/str.h"
#include "ops/check_work.h"
#include "pg/conn.h"
#include "repo/stored.h"

#define POLL_MS 200
#define TIMEOUT_MS 60000
#define LATE_MS 5000      /* for the repositories that need not acknowledge */
#define FAILURES_ENOUGH 3 /* in a row: the archiver then pauses for a minute */
#define GONE_MS 3000      /* a start is this quick; between a death and the next start lie ten seconds */
#define REMEDY_SWITCH "let the role close segments: pgconf/role.sql"
#define FAILURES "SELECT failed_count::text FROM pg_catalog.pg_stat_archiver"

struct proof {
	struct check *check;
	char segment[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
	bool *done;           /* by place in the configuration */
	int64_t failures;     /* counted before */
	char started[64];     /* when the archiver's process was */
	struct deadline gone; /* it has been for too long then */
	enum { PROOF_LATE, PROOF_ARRIVED, PROOF_FAILING, PROOF_UNCOUNTED } outcome;
};

/* Close a segment that is worth it. ERR_AUTH when the role may not. */
static int
close_segment(struct proof *p, struct err *err)
{
	const struct check_server *s = &p->check->server;
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	FREE_AUTO char *text = NULL;
	struct wal_name name;
	int rc;

	/* without a record in it an idle server's segment would not be closed; not being allowed to write one is no failure */
	(void)pg_conn_query(
	    s->sql, "SELECT pg_catalog.pg_logical_emit_message(false, 'pgcairn', 'check')", 0, NULL, &rows, NULL);
	/* one byte back: between two segments, which pg_walfile_name takes for the earlier one up to 16, for the later one
	 * since */
	rc = pg_conn_query_value(
	    s->sql, "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal() - 1)", 0, NULL, &text, err);
	if (rc == 0)
		rc = str_copy(p->segment, sizeof(p->segment), text, "segment", err);
	if (rc == 0 && (!wal_name_parse(p->segment, &name) || layout_wal(p->relative, s->sysid, &name, err) < 0))
		rc = err_set(err, ERR_CORRUPT, 0, "the server closed a segment '%.40s'", p->segment);
	return rc;
}

/* Which repositories have the segment by now. */
static void
look_for(struct proof *p)
{
	for (size_t i = 0; i < p->check->info.n; i++) {
		const struct info_repository *r = &p->check->info.repositories[i];
		STORED_AUTO struct stored *object = NULL;

		if (!p->done[i] && r->state == INFO_OK)
			p->done[i] = stored_open(&object, r->repo, p->relative, OBJECT_WAL, NULL) == 0;
	}
}

static bool
all_open_have(const struct proof *p)
{
	for (size_t i = 0; i < p->check->info.n; i++)
		if (p->check->info.repositories[i].state == INFO_OK && !p->done[i])
			return false;
	return true;
}

/* A process that is gone, or another one than before, died of its work: it has to be there while its server lives. */
static bool
archiver_died(struct proof *p)
{
	char now[sizeof(p->started)];

	if (!check_archiver_start(p->check, now))
		return false;
	if (now[0] == '\0')
		return deadline_passed(p->gone);
	p->gone = deadline_in_ms(GONE_MS);
	if (p->started[0] == '\0')
		memcpy(p->started, now, sizeof(now));
	return strcmp(p->started, now) != 0;
}

/* Has the archiver given up, counted or not? */
static bool
gave_up(struct proof *p)
{
	if (p->failures >= 0 && check_ask_number(p->check, FAILURES) >= p->failures + FAILURES_ENOUGH)
		p->outcome = PROOF_FAILING;
	else if (archiver_died(p))
		p->outcome = PROOF_UNCOUNTED;
	return p->outcome != PROOF_LATE;
}

/* Until as many have it as must, then a little longer for the others. */
static void
wait_for(struct proof *p)
{
	const struct check_options *o = p->check->options;
	struct deadline end = deadline_in_ms(o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS);

	p->failures = check_ask_number(p->check, FAILURES);
	p->gone = deadline_in_ms(GONE_MS);
	(void)check_archiver_start(p->check, p->started);
	for (;;) {
		look_for(p);
		if (p->outcome != PROOF_ARRIVED && acknowledge_satisfied(p->check->op->config, p->done)) {
			p->outcome = PROOF_ARRIVED;
			end = deadline_in_ms(deadline_left_ms(end) < LATE_MS ? deadline_left_ms(end) : LATE_MS);
		}
		if (p->outcome == PROOF_ARRIVED ? all_open_have(p) : gave_up(p))
			return;
		if (deadline_passed(end))
			return;
		clock_sleep_ms(POLL_MS);
	}
}

static void
report(const struct proof *p)
{
	static const char *const why[] = {[PROOF_LATE] = " in time",
	    [PROOF_FAILING] = ": archive_command fails",
	    [PROOF_UNCOUNTED] = ": " CHECK_WHY_UNCOUNTED};
	struct check *c = p->check;

	if (p->outcome != PROOF_ARRIVED) {
		c->stands_still = true;
		check_add(c, CHECK_CRITICAL, "archiving", "",
		    p->outcome == PROOF_UNCOUNTED ? CHECK_REMEDY_UNCOUNTED
						  : CHECK_REMEDY_LOG "; pgcairn-wal-archive by hand says it too",
		    "segment %s was closed and did not arrive%s", p->segment, why[p->outcome]);
		return;
	}
	for (size_t i = 0; i < c->info.n; i++)
		if (c->info.repositories[i].state == INFO_OK && !p->done[i])
			check_add(c, CHECK_WARNING, "archiving", c->info.repositories[i].config->name,
			    "see the logs for why it lags; the agent brings it what it lacks by itself, without one: pgcairn "
			    "replicate --to it",
			    "segment %s arrived elsewhere and not here", p->segment);
}

bool
check_prove(struct check *c)
{
	FREE_AUTO bool *done = calloc(c->info.n + 1, sizeof(bool));
	struct proof p = {.check = c, .done = done};
	int64_t began = clock_monotonic_ms();
	struct err err = {0};
	int rc = done == NULL ? err_set(&err, ERR_NOMEM, 0, "out of memory") : close_segment(&p, &err);

	if (rc < 0) {
		check_add(c, CHECK_WARNING, "archiving", "", rc == ERR_AUTH ? REMEDY_SWITCH : err.hint,
		    "archiving could not be proved: %s", err.msg);
		return false;
	}
	wait_for(&p);
	report(&p);
	if (p.outcome != PROOF_ARRIVED)
		return true;
	c->result->proved_ms = clock_monotonic_ms() - began;
	memcpy(c->result->proved, p.segment, sizeof(p.segment));
	check_add(c, CHECK_OK, "archiving", "", NULL, "proved: segment %s arrived after %.1f s", p.segment,
	    (double)c->result->proved_ms / 1000);
	return true;
}
