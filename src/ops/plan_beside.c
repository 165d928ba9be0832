/* Where else than where a plan stops the target lies. */
#include "ops/plan_work.h"

/* Does the target lie on this timeline too, behind the fork? For a time that is so when anything was committed there before it.
 */
static int
look_on(struct plan *p, const struct target *t, const struct wal_set_timeline *other, struct keyring *ring, struct err *err)
{
	WAL_CHAIN_AUTO struct wal_chain *chain = NULL;
	lsn_t fork = timeline_fork(&p->path, &other->history);
	struct plan_other *o = &p->others[p->n_others];
	int rc;

	if (fork == 0 || p->stop.lsn < fork || (t->kind == TARGET_LSN && t->lsn < fork))
		return 0;
	rc = wal_chain_build(&chain, p->repositories, p->n, p->wal, &other->history,
	    &(struct wal_chain_options){.start = fork, .without_indexes = p->without_indexes}, err);
	if (rc == ERR_NOT_FOUND) /* nothing of it is archived */
		return 0;
	if (rc == 0)
		rc = target_search(t, chain, fork, ring, &o->found, err);
	if (rc < 0 || !o->found.done || (t->kind == TARGET_TIME && !o->found.commits_first))
		return rc;
	/* the first that leads there: later ones share that part of it */
	o->timeline = timeline_of_lsn(&other->history, o->found.record.lsn);
	wal_chain_name(chain, o->found.link, o->segment);
	for (size_t i = 0; i < p->n_others; i++)
		if (p->others[i].timeline == o->timeline && p->others[i].found.record.lsn == o->found.record.lsn)
			return 0;
	p->n_others++;
	return 0;
}

/* What is found here changes nothing about the plan: WAL of another timeline that cannot be read is no reason to fail. */
int
plan_find_others(struct plan *p, const struct op *op, const struct plan_options *o, const struct plan_candidates *c,
    struct keyring *ring, struct err *err)
{
	if (o->timeline != 0 || o->target.kind == TARGET_LATEST || o->target.kind == TARGET_IMMEDIATE)
		return 0;
	p->others = calloc(p->wal->n + 1, sizeof(*p->others));
	if (p->others == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for timelines");
	for (size_t i = p->wal->n; i-- > 0;) {
		const struct wal_set_timeline *t = &p->wal->timelines[i];
		struct err why = {0};

		if (t->timeline == p->path.timeline || !t->known || !plan_holds_backup(&t->history, c, p->wal->sysid))
			continue;
		if (look_on(p, &o->target, t, ring, &why) == 0)
			continue;
		err_wrap(&why, "timeline %u was not searched for the target", t->timeline);
		log_err(op->log, LOG_WARN, &why);
	}
	return 0;
}

/*
 * The newest backup that reaches a name reaches the last place where it was given. Was it given before that backup, where an
 * older one would stop? What cannot be read there is no reason to fail.
 */
void
plan_find_before(struct plan *p, const struct plan_options *o, const struct plan_candidates *c, struct keyring *ring)
{
	WAL_CHAIN_AUTO struct wal_chain *chain = NULL;
	lsn_t start = p->backup->head.start_lsn, first = start;
	struct target_found f;
	struct err why = {0};

	if (o->target.kind != TARGET_NAME)
		return;
	for (size_t i = 0; i < c->n; i++) {
		const struct manifest_head *h = &c->list[i]->head;

		if (h->sysid == p->wal->sysid && plan_on_path(&p->path, h) && h->start_lsn < first)
			first = h->start_lsn;
	}
	if (first == start ||
	    wal_chain_build(&chain, p->repositories, p->n, p->wal, &p->path,
		&(struct wal_chain_options){.start = first, .upto = start, .without_indexes = p->without_indexes}, &why) < 0)
		return;
	if (target_search(&o->target, chain, first, ring, &f, &why) == 0 && f.done && f.record.lsn < p->stop.lsn)
		p->name_before = f.record.lsn;
}
