/*
 * A recovery's plan: which timeline, which backup, which WAL, and the proof that the target is reached. restore and find share
 * it.
 *
 * The timeline is the newest whose path holds a backup, unless one is asked for. Of the backups on that path the newest is
 * taken from which the target can be reached; for a target before it, an older one.
 *
 * For the latest it is compared with the high-water records of the selected repositories whether what was acknowledged is
 * there; what is not is said, and the plan is made all the same. So is a partial segment behind its end.
 *
 * Timelines fork, and then a moment can lie on several: the plan follows one and names the others.
 *
 * Nothing is refused because of what an index over WAL says: before a plan fails, the segments themselves are asked.
 */
#ifndef PGCAIRN_OPS_PLAN_H
#define PGCAIRN_OPS_PLAN_H

#include "ops/fetch.h"
#include "ops/tail.h"
#include "ops/target.h"
#include "repo/backup_set.h"

struct plan_options {
	struct fetch_options repositories; /* which to ask */
	struct target target;
	const char *label;   /* NULL: any backup */
	timeline_t timeline; /* 0: the newest */
};

/* Another timeline on which the target lies too, behind the place where it and the plan's path part. */
struct plan_other {
	timeline_t timeline; /* as --target-timeline would name it */
	struct target_found found;
	char segment[WAL_NAME_MAX];
};

struct plan {
	struct repository **repositories; /* opened, all that were selected */
	const char **left_out;            /* names of configured ones that were not */
	size_t n, n_left_out;
	struct backup_set *sets; /* one a repository */
	struct wal_set *wal;
	const struct backup_entry *backup;
	uint32_t backup_mask; /* bit i: repository i has it */
	struct timeline_history path;
	struct wal_chain *chain; /* from the backup's start */
	bool without_indexes;    /* what indexes say came to a refusal: the segments' own word counts */
	struct target_stop stop;
	lsn_t name_before;         /* the restore point's name was given before the backup too: 0 when not, or not known */
	struct plan_other *others; /* none when a timeline was asked for */
	size_t n_others;
	/* For the latest: */
	struct high_water lost;     /* acknowledged once, and in no selected repository; sysid 0: nothing is */
	char partial[WAL_NAME_MAX]; /* all that there is of the segment behind the end; "": there is no such thing */
	lsn_t overrun;              /* the path left the timeline of the end here; 0: the plan does not run past that */
};

/* ERR_REFUSED when no backup reaches the target, with the reason; ERR_IO with a hint when a selected repository does not open.
 */
int plan_make(const struct op *op, const struct plan_options *o, struct keyring *ring, struct plan **out, struct err *err);
void plan_free(struct plan *p);

static inline void
scope_plan(struct plan **p)
{
	plan_free(*p);
}
#define PLAN_AUTO SCOPE(scope_plan)

/* How many segments recovery reads, up to the one of the stop. */
size_t plan_segments(const struct plan *p);

#endif
