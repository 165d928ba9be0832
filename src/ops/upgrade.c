#include "ops/upgrade.h"

#include <inttypes.h>

#include "pg/control.h"
#include "repo/decision.h"
#include "repo/wal_set.h"

struct upgrade {
	const struct op *op;
	struct writer *writer;
	struct fanout *fanout;
	struct control control;
	const struct repository *longest; /* borrowed: whose lineage has most records */
	struct upgrade_result *result;
};

static int
read_cluster(struct upgrade *u, struct err *err)
{
	const char *pgdata = u->op->cluster->pgdata;
	int major = 0, rc = op_become_owner(u->op, err);

	if (rc == 0)
		rc = control_read_pgdata(pgdata, &u->control, err);
	if (rc == 0)
		rc = control_read_version(pgdata, &major, err);
	if (rc == ERR_NOT_FOUND) {
		err->kind = rc = ERR_CONFIG;
		err_wrap(err, "pgdata '%s' is not a data directory", pgdata);
		return err_hint(err, "set it to the upgraded cluster's directory");
	}
	u->result->to = (struct lineage_entry){
	    .sysid = u->control.sysid, .segment_size = u->control.wal_segment_size, .major = (unsigned)major};
	return rc;
}

/* All of them, and lineages that are one: some may lack records that an interrupted upgrade has not brought yet. */
static int
open_all(struct upgrade *u, struct err *err)
{
	int rc = op_open_writer(u->op, &u->writer, err);

	if (rc == 0)
		rc = op_open_fanout(u->op, u->writer, &u->fanout, err);
	for (size_t i = 0; rc == 0 && i < u->fanout->n; i++) {
		const struct fanout_target *t = &u->fanout->targets[i];

		if (t->failed) {
			*err = t->err;
			return err_wrap(err, "an upgrade is recorded in every repository or in none");
		}
		if (u->longest == NULL || t->repo->n_lineage > u->longest->n_lineage)
			u->longest = t->repo;
	}
	for (size_t i = 0; rc == 0 && i < u->fanout->n; i++) {
		const struct repository *r = u->fanout->targets[i].repo;

		for (size_t k = 0; k < r->n_lineage; k++)
			if (r->lineage[k].sysid != u->longest->lineage[k].sysid) {
				err_set(err, ERR_CONFLICT, 0, "repositories '%s' and '%s' have different lineages", r->name,
				    u->longest->name);
				return err_hint(err, "two clusters were taken for one; see: pgcairn info --json");
			}
	}
	return rc;
}

/* Where the newest archived WAL of a system ends, by the names of segments; 0 when there is none. */
static int
archived_end(const struct upgrade *u, uint64_t sysid, lsn_t *end, struct err *err)
{
	*end = 0;
	for (size_t i = 0; i < u->fanout->n; i++) {
		WAL_SET_AUTO struct wal_set *set = NULL;
		int rc = wal_set_load(&set, &u->fanout->targets[i].repo, 1, sysid, err);

		if (rc < 0)
			return rc;
		for (size_t k = 0; k < set->n; k++) {
			const struct wal_spans *s = &set->timelines[k].spans;
			lsn_t ends = s->n > 0 ? wal_segment_start(wal_span_last(&s->list[s->n - 1]) + 1, set->segment_size) : 0;

			if (ends > *end)
				*end = ends;
		}
	}
	return 0;
}

static int
not_an_upgrade(const struct upgrade *u, struct err *err)
{
	return err_hint(err,
	    "is pgdata right? another cluster (system identifier %" PRIu64
	    ") gets a name of its own: [cluster:OTHER], pgcairn init",
	    u->control.sysid);
}

/* A new system that continues the last one of the lineage? */
static int
prove(const struct upgrade *u, struct err *err)
{
	const struct lineage_entry *from = &u->result->from, *to = &u->result->to;
	char begin[LSN_TEXT], behind[LSN_TEXT];
	bool goes_on = false;
	lsn_t end;
	int rc;

	if (to->major < from->major)
		err_set(err, ERR_REFUSED, 0, "pgdata is of PostgreSQL %u, and the cluster was of %u: no upgrade goes back",
		    to->major, from->major);
	else if (to->segment_size != from->segment_size)
		err_set(err, ERR_REFUSED, 0,
		    "pgdata has WAL segments of %u bytes, the cluster has %u: pg_upgrade does not change that",
		    to->segment_size, from->segment_size);
	else
		goes_on = true;
	if (!goes_on)
		return not_an_upgrade(u, err);
	rc = archived_end(u, from->sysid, &end, err);
	if (rc < 0 || u->control.checkpoint_lsn >= end)
		return rc;
	lsn_format(begin, u->control.checkpoint_lsn);
	lsn_format(behind, end);
	err_set(err, ERR_REFUSED, 0,
	    "pgdata is at %s, and the WAL of the cluster before went to %s: pg_upgrade would have set it behind that", begin,
	    behind);
	return not_an_upgrade(u, err);
}

static int
check(struct upgrade *u, bool *recorded, struct err *err)
{
	const struct repository *r = u->longest;
	const struct lineage_entry *last = &r->lineage[r->n_lineage - 1];

	*recorded = last->sysid == u->control.sysid;
	u->result->from = r->lineage[r->n_lineage - (*recorded && r->n_lineage > 1 ? 2 : 1)];
	if (*recorded)
		return 0;
	if (repository_lineage(r, u->control.sysid) != NULL) {
		err_set(err, ERR_REFUSED, 0, "pgdata is the old system: cluster '%s' was upgraded to PostgreSQL %u since",
		    u->op->cluster->name, last->major);
		return err_hint(err, "set pgdata in [cluster:%s] to the upgraded cluster's directory", u->op->cluster->name);
	}
	if (r->n_lineage == LINEAGE_MAX)
		return err_set(err, ERR_REFUSED, 0, "a cluster has at most %d systems", LINEAGE_MAX);
	return prove(u, err);
}

/* What this repository lacks of the lineage, in order; the new system last. */
static int
append_to(struct upgrade *u, struct repository *r, const struct decision *d, bool dry_run, struct err *err)
{
	bool new_system = repository_lineage(u->longest, u->control.sysid) == NULL;
	size_t all = u->longest->n_lineage + new_system;
	int rc = 0;

	if (r->n_lineage == all) { /* by one that may have been killed over it */
		u->result->existed++;
		return dry_run ? 0 : repository_settle_records(r, err);
	}
	for (size_t k = r->n_lineage; !dry_run && rc == 0 && k < all; k++) {
		const struct lineage_entry *e = k < u->longest->n_lineage ? &u->longest->lineage[k] : &u->result->to;

		rc = repository_append_lineage(r, (unsigned)k, e, d, &u->writer->signing, err);
	}
	if (rc == ERR_EXISTS) {
		err_set(err, ERR_RETRY, 0, "another host records an upgrade in repository '%s' at this moment", r->name);
		rc = err_hint(err, "run it again");
	}
	u->result->appended += rc == 0;
	return rc;
}

static int
run(struct upgrade *u, bool dry_run, struct err *err)
{
	struct decision d;
	bool recorded;
	int rc = decision_make(&d, "pg_upgrade", err); /* before the user changes: it says who */

	if (rc == 0)
		rc = read_cluster(u, err);
	if (rc == 0)
		rc = open_all(u, err);
	if (rc == 0)
		rc = check(u, &recorded, err);
	for (size_t i = 0; rc == 0 && i < u->fanout->n; i++)
		rc = append_to(u, u->fanout->targets[i].repo, &d, dry_run, err);
	return rc;
}

int
upgrade_run(const struct op *op, bool dry_run, struct upgrade_result *result, struct err *err)
{
	struct upgrade u = {.op = op, .result = result};
	int rc;

	memset(result, 0, sizeof(*result));
	rc = run(&u, dry_run, err);
	fanout_free(u.fanout);
	writer_free(u.writer);
	return rc < 0 ? err_wrap(err, "upgrade of cluster '%s'", op->cluster->name) : 0;
}
