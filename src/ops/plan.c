#include "ops/plan_work.h"

void
plan_free(struct plan *p)
{
	if (p == NULL)
		return;
	wal_chain_free(p->chain);
	wal_set_free(p->wal);
	timeline_history_free(&p->path);
	for (size_t i = 0; i < p->n; i++) {
		if (p->sets != NULL)
			backup_set_free(&p->sets[i]);
		repository_free(p->repositories[i]);
	}
	free(p->sets);
	free(p->repositories);
	free(p->left_out);
	free(p->others);
	free(p);
}

size_t
plan_segments(const struct plan *p)
{
	return p->stop.link + 1;
}

static int
open_one(struct plan *p, const struct op *op, const struct config_repository *c, struct err *err)
{
	int rc = op_open_repository(op, c, NULL, &p->repositories[p->n], err);

	if (rc == 0)
		p->n++;
	if (rc == 0 && !p->repositories[p->n - 1]->has_cluster)
		rc = err_set(err, ERR_CONFIG, 0, "repository '%s' does not know cluster '%s'", c->name, op->cluster->name);
	if (rc < 0) {
		err->hint[0] = '\0';
		err_hint(err, "is its file system mounted? if it is gone for good, go on without it: --without-repository %s",
		    c->name);
	}
	return rc;
}

static int
open_repositories(struct plan *p, const struct op *op, const struct plan_options *o, struct err *err)
{
	const struct config *cfg = op->config;

	p->repositories = calloc(cfg->n_repositories + 1, sizeof(struct repository *));
	p->left_out = calloc(cfg->n_repositories + 1, sizeof(char *));
	p->sets = calloc(cfg->n_repositories + 1, sizeof(*p->sets));
	if (p->repositories == NULL || p->left_out == NULL || p->sets == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		bool selected;
		int rc = fetch_selected(op, c, &o->repositories, &selected, err);

		if (rc < 0)
			return rc;
		if (!selected) {
			p->left_out[p->n_left_out++] = c->name;
			continue;
		}
		rc = open_one(p, op, c, err);
		if (rc == 0)
			rc = backup_set_read(&p->sets[p->n - 1], p->repositories[p->n - 1], err);
		if (rc < 0)
			return rc;
	}
	if (p->n == 0)
		return err_set(err, ERR_CONFIG, 0, "no repository is left to restore from");
	if (!p->repositories[0]->encrypted)
		op_warn_unencrypted(op);
	return 0;
}

/* The same backup in other repositories: by label and by the digest of its manifest. */
static uint32_t
mask_of(const struct plan *p, const struct backup_entry *b)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->sets[i].n; k++) {
			const struct backup_entry *e = &p->sets[i].list[k];

			if (!e->damaged && strcmp(e->label, b->label) == 0 && memcmp(e->digest, b->digest, OBJECT_DIGEST) == 0)
				mask |= UINT32_C(1) << i;
		}
	return mask;
}

static int
by_place(const void *a, const void *b)
{
	const struct manifest_head *x = &(*(const struct backup_entry *const *)a)->head;
	const struct manifest_head *y = &(*(const struct backup_entry *const *)b)->head;

	if (x->stop_lsn != y->stop_lsn)
		return x->stop_lsn < y->stop_lsn ? -1 : 1;
	return x->stop_timeline < y->stop_timeline ? -1 : x->stop_timeline > y->stop_timeline;
}

static int
collect(const struct plan *p, const char *label, struct plan_candidates *c, struct err *err)
{
	size_t room = 0;

	for (size_t i = 0; i < p->n; i++)
		room += p->sets[i].n;
	c->list = calloc(room + 1, sizeof(*c->list));
	if (c->list == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for backups");
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->sets[i].n; k++) {
			const struct backup_entry *e = &p->sets[i].list[k];
			bool known = false;

			if (label != NULL && strcmp(label, e->label) != 0)
				continue;
			for (size_t m = 0; m < c->n; m++)
				known |= strcmp(c->list[m]->label, e->label) == 0;
			if (e->damaged)
				c->damaged = e;
			else if (!known)
				c->list[c->n++] = e;
		}
	if (c->n == 0 && c->damaged != NULL) {
		*err = c->damaged->err;
		return err_wrap(err, "backup %s is damaged", c->damaged->label);
	}
	if (c->n == 0) {
		err_set(err, ERR_REFUSED, 0, label != NULL ? "there is no backup '%s'" : "there is no backup%s",
		    label != NULL ? label : "");
		return err_hint(err, "pgcairn info lists what there is");
	}
	qsort(c->list, c->n, sizeof(*c->list), by_place);
	return 0;
}

/*
 * After a pg_upgrade the newest system counts, unless a label says otherwise; the one before it for what lies before. before:
 * older than that one, 0 for the newest. 0 when there is none.
 */
static uint64_t
newest_sysid(const struct plan *p, const struct plan_candidates *c, uint64_t before)
{
	const struct repository *r = p->repositories[0];
	bool older = before == 0;

	/* one that was away during a pg_upgrade does not know of it */
	for (size_t i = 1; i < p->n; i++)
		if (p->repositories[i]->n_lineage > r->n_lineage)
			r = p->repositories[i];
	for (size_t i = r->n_lineage; i-- > 0;) {
		for (size_t k = 0; older && k < c->n; k++)
			if (c->list[k]->head.sysid == r->lineage[i].sysid)
				return r->lineage[i].sysid;
		older |= r->lineage[i].sysid == before;
	}
	return before == 0 ? c->list[0]->head.sysid : 0;
}

/* Of a backup whose own WAL is not there nothing is proved; may an older one reach the target all the same? Not for the latest
 * and the end of a backup: there it would give something else than was asked for. */
static bool
may_lie_before(const struct target *t, const struct manifest_head *h)
{
	switch (t->kind) {
	case TARGET_TIME:
		return t->time_us < h->start_time_us;
	case TARGET_LSN:
		return t->lsn < h->stop_lsn;
	case TARGET_XID:
	case TARGET_NAME:
		return true;
	default:
		return false;
	}
}

static int
try_backup(struct plan *p, const struct plan_options *o, const struct backup_entry *b, struct keyring *ring, bool *too_early,
    struct err *err)
{
	const struct manifest_head *h = &b->head;
	const struct wal_chain_options along = {.start = h->start_lsn,
	    .upto = o->target.kind == TARGET_IMMEDIATE ? h->stop_lsn - 1 : 0,
	    .without_indexes = p->without_indexes};
	int rc;

	*too_early = false;
	wal_chain_free(p->chain);
	p->chain = NULL;
	rc = wal_chain_build(&p->chain, p->repositories, p->n, p->wal, &p->path, &along, err);
	if (rc == ERR_NOT_FOUND) {
		err->kind = rc = ERR_REFUSED;
		err_wrap(err, "backup %s cannot be restored", b->label);
	}
	if (rc == 0)
		rc = target_prove(&o->target, h, p->chain, ring, &p->stop, too_early, err);
	if (rc == 0)
		rc = target_check_level(p->chain, h->start_lsn, &p->stop, ring, err);
	if ((rc == ERR_REFUSED || rc == ERR_CORRUPT) && (p->chain == NULL || wal_chain_end(p->chain) < h->stop_lsn))
		*too_early = may_lie_before(&o->target, h);
	if (rc == 0) {
		p->backup = b;
		p->backup_mask = mask_of(p, b);
	}
	return rc;
}

/* From the newest backup to the oldest, as long as the target lies before what was tried. The last reason is the one that is
 * told. */
static int
choose_backup(struct plan *p, const struct plan_options *o, const struct plan_candidates *c, uint64_t sysid,
    struct keyring *ring, bool *too_early, struct err *err)
{
	struct err newest = {0};
	int rc = ERR_REFUSED;

	*too_early = true;
	for (size_t i = c->n; *too_early && i-- > 0;) {
		if (c->list[i]->head.sysid != sysid || !plan_on_path(&p->path, &c->list[i]->head))
			continue;
		rc = try_backup(p, o, c->list[i], ring, too_early, err);
		if (rc == 0)
			return 0;
		if (newest.kind == 0)
			newest = *err;
	}
	if (newest.kind == 0) {
		err_set(err, ERR_REFUSED, 0, "no backup lies on the path to timeline %u", p->path.timeline);
		return err_hint(err, "pgcairn info lists backups and timelines; see --target-timeline");
	}
	return rc;
}

/* Path and backup among those of one system; *too_early: an older system may reach the target. */
static int
choose_in_system(struct plan *p, const struct plan_options *o, const struct plan_candidates *c, uint64_t sysid,
    struct keyring *ring, bool *too_early, struct err *err)
{
	int rc;

	*too_early = false;
	wal_chain_free(STEAL(p->chain)); /* it looks into the set */
	wal_set_free(STEAL(p->wal));
	timeline_history_free(&p->path);
	rc = wal_set_load(&p->wal, p->repositories, p->n, sysid, err);
	if (rc == 0 && o->target.kind == TARGET_IMMEDIATE && o->timeline == 0)
		rc = plan_choose_own_path(p, o, c, sysid, err);
	else if (rc == 0)
		rc = plan_choose_path(p, o, c, sysid, err);
	if (rc < 0) {
		*too_early = rc == ERR_REFUSED && o->timeline != 0; /* another system may have had that timeline */
		return rc;
	}
	rc = plan_refuse_disputed(p, err);
	return rc < 0 ? rc : choose_backup(p, o, c, sysid, ring, too_early, err);
}

/* In the newest system, or in an older one where that lies before it. */
static int
choose(struct plan *p, const struct plan_options *o, const struct plan_candidates *c, struct keyring *ring, struct err *err)
{
	bool too_early = true;
	int rc = 0;

	for (uint64_t sysid = newest_sysid(p, c, 0); sysid != 0 && too_early; sysid = newest_sysid(p, c, sysid)) {
		rc = choose_in_system(p, o, c, sysid, ring, &too_early, err);
		if (rc == 0)
			break;
	}
	return rc;
}

static bool
believes_an_index(const struct plan *p)
{
	for (size_t i = 0; p->wal != NULL && i < p->wal->n; i++) {
		const struct wal_indexes *x = &p->wal->timelines[i].indexes;

		for (size_t k = 0; k < x->n; k++)
			if (!x->list[k].passed_over)
				return true;
	}
	return false;
}

/* An enrolled host can sign an index that hides what its segments hold, and a refusal is no place to learn of it. */
static int
choose_and_prove(struct plan *p, const struct op *op, const struct plan_options *o, const struct plan_candidates *c,
    struct keyring *ring, struct err *err)
{
	struct err contradicted;
	int rc = choose(p, o, c, ring, err);

	if ((rc != ERR_REFUSED && rc != ERR_CORRUPT) || !believes_an_index(p))
		return rc;
	p->without_indexes = true;
	rc = choose(p, o, c, ring, err);
	if (rc < 0)
		return rc;
	err_set(&contradicted, ERR_CORRUPT, 0, "an index over WAL contradicts its segments, which were asked instead");
	err_hint(&contradicted, "pgcairn verify names it");
	log_err(op->log, LOG_WARN, &contradicted);
	return 0;
}

int
plan_make(const struct op *op, const struct plan_options *o, struct keyring *ring, struct plan **out, struct err *err)
{
	PLAN_AUTO struct plan *p = calloc(1, sizeof(*p));
	struct plan_candidates c = {0};
	int rc;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a plan");
	rc = open_repositories(p, op, o, err);
	if (rc == 0)
		rc = collect(p, o->label, &c, err);
	if (rc == 0)
		rc = choose_and_prove(p, op, o, &c, ring, err);
	if (rc == 0)
		rc = plan_find_others(p, op, o, &c, ring, err);
	if (rc == 0)
		plan_find_before(p, o, &c, ring);
	if (rc == 0)
		plan_check_end(p, op, o);
	free(c.list);
	if (rc < 0)
		return rc;
	*out = STEAL(p);
	return 0;
}
