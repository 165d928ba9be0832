/* The end of WAL that a plan for the latest does not reach, although it was acknowledged once. */
#include "ops/plan.h"

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

/* Whoever restores the latest believes that it is all there was. */
void
plan_find_lost(struct plan *p, const struct op *op, const struct plan_options *o)
{
	struct high_water newest = {0};
	const struct repository *said = NULL;
	struct err why = {0};
	char text[TAIL_TEXT];

	if (o->target.kind != TARGET_LATEST || o->timeline != 0)
		return;
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
