/* What is wrong with the end of a plan for the latest: it does not reach what was acknowledged, or runs past a fork. */
#include <inttypes.h>

#include "ops/plan_work.h"

static bool
take_newest(const struct high_water *h, void *arg)
{
	struct high_water *newest = arg;

	if (newest->sysid == 0 || !high_water_reached(h, newest->timeline, newest->lsn))
		*newest = *h;
	return false;
}

/* Is it in the repositories, or has life gone on on a later timeline? */
static bool
is_there(const struct plan *p, const struct high_water *h)
{
	const struct wal_set *set = p->wal;

	return set->n == 0 || set->timelines[set->n - 1].timeline > h->timeline || h->lsn == 0 ||
	       wal_set_mask(set, h->timeline, (h->lsn - 1) / set->segment_size) != 0;
}

static void
find_lost(struct plan *p, const struct op *op)
{
	struct high_water newest = {0};
	const struct repository *said = NULL;
	struct err why = {0};
	char text[TAIL_TEXT];

	for (size_t i = 0; i < p->n; i++) {
		lsn_t before = newest.lsn;
		struct high_water_reading reading;

		if (high_water_read(p->repositories[i], p->wal->sysid, take_newest, &newest, &reading, &why) < 0)
			log_err(op->log, LOG_WARN, &why);
		if (newest.lsn != before)
			said = p->repositories[i];
	}
	if (said == NULL || is_there(p, &newest))
		return;
	p->lost = newest;
	tail_describe(text, &newest, said, p->wal->segment_size);
	err_set(&why, ERR_REFUSED, 0,
	    "the end of WAL was cut or lost: the plan ends before what was acknowledged, and no selected repository has %s",
	    text);
	why.hint[0] = '\0';
	err_hint(&why, "another repository, or a standby's pg_wal, may have it; restored without it, transactions that were "
		       "acknowledged are "
		       "missing");
	log_err(op->log, LOG_WARN, &why);
}

/* Has a repository this segment as the part that a promotion archives? */
static bool
has_partial(const struct plan *p, timeline_t timeline, uint64_t segno, struct wal_name *name)
{
	char text[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
	struct store_stat st;

	wal_segment_name(text, timeline, segno, p->wal->segment_size);
	if (!wal_name_parse(text, name))
		return false;
	name->kind = WAL_NAME_PARTIAL;
	if (layout_wal(relative, p->wal->sysid, name, NULL) < 0)
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (repository_stat(p->repositories[i], relative, &st, NULL) == 0)
			return true;
	return false;
}

/*
 * The segment in which a timeline was left is archived as a part by who is promoted, and then as the first of the new timeline;
 * where that never came, the part alone has what was acknowledged last. PostgreSQL does not ask for it.
 */
static void
find_partial(struct plan *p, const struct op *op)
{
	uint32_t size = p->wal->segment_size;
	uint64_t segno = (p->stop.lsn + size - 1) / size;
	lsn_t start = wal_segment_start(segno, size), end;
	struct wal_name name;
	char whole[WAL_NAME_MAX];
	struct err why = {0};

	for (size_t i = p->path.n + 1; i > 0 && p->partial[0] == '\0'; i--) {
		timeline_t t = i > p->path.n ? p->path.timeline : p->path.entries[i - 1].tli;

		if (timeline_switch_end(&p->path, t, &end) && end > start && has_partial(p, t, segno, &name))
			wal_name_format(p->partial, &name);
	}
	if (p->partial[0] == '\0')
		return;
	wal_segment_name(whole, name.timeline, segno, size);
	err_set(&why, ERR_REFUSED, 0,
	    "the plan ends before '%s', for which PostgreSQL does not ask: what was acknowledged in it is not recovered",
	    p->partial);
	err_hint(&why, "it is, when before the first start, in PGDATA: pgcairn-wal-restore %s pg_wal/%s", p->partial, whole);
	log_err(op->log, LOG_WARN, &why);
}

/* Without the first segment of the new timeline PostgreSQL takes the old one's, and does not stop where it was left. */
static void
find_overrun(struct plan *p, const struct op *op)
{
	char fork[LSN_TEXT], stop[LSN_TEXT];
	struct err why = {0};
	lsn_t end;

	if (!timeline_switch_end(&p->path, p->stop.timeline, &end) || end >= p->stop.lsn)
		return;
	p->overrun = end;
	lsn_format(fork, end);
	lsn_format(stop, p->stop.lsn);
	err_set(&why, ERR_REFUSED, 0,
	    "the path to timeline %" PRIu32 " leaves timeline %" PRIu32
	    " at %s, and no selected repository has what comes then: "
	    "PostgreSQL goes on with timeline %" PRIu32 ", to %s, and recovers what that path never had",
	    p->path.timeline, p->stop.timeline, fork, p->stop.timeline, stop);
	err_hint(&why, "--target-lsn %s --target-exclusive ends where it was left", fork);
	log_err(op->log, LOG_WARN, &why);
}

/* Whoever restores the latest believes that it is all there was, and nothing else. */
void
plan_check_end(struct plan *p, const struct op *op, const struct plan_options *o)
{
	if (o->target.kind != TARGET_LATEST)
		return;
	if (o->timeline == 0)
		find_lost(p, op);
	find_partial(p, op);
	find_overrun(p, op);
}
