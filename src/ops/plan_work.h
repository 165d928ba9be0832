/* What the parts of a plan share: plan.c chooses, plan_path.c and plan_beside.c know timelines, plan_tail.c the end. For them
 * only. */
#ifndef PGCAIRN_OPS_PLAN_WORK_H
#define PGCAIRN_OPS_PLAN_WORK_H

#include "ops/plan.h"

/* All distinct whole backups, oldest first. */
struct plan_candidates {
	const struct backup_entry **list;
	size_t n;
	const struct backup_entry *damaged; /* one that could have been meant */
};

/* Does the backup lie on this path? Does any of this system? */
bool plan_on_path(const struct timeline_history *h, const struct manifest_head *b);
bool plan_holds_backup(const struct timeline_history *h, const struct plan_candidates *c, uint64_t sysid);

/* Fills path: to the timeline that was asked for, else to the newest that holds a backup. ERR_REFUSED when there is none. */
int plan_choose_path(
    struct plan *p, const struct plan_options *o, const struct plan_candidates *c, uint64_t sysid, struct err *err);
int plan_choose_own_path(
    struct plan *p, const struct plan_options *o, const struct plan_candidates *c, uint64_t sysid, struct err *err);
int plan_refuse_disputed(const struct plan *p, struct err *err);

/* Fill others and name_before of a plan that is made. */
int plan_find_others(struct plan *p, const struct op *op, const struct plan_options *o, const struct plan_candidates *c,
    struct keyring *ring, struct err *err);
void plan_find_before(struct plan *p, const struct plan_options *o, const struct plan_candidates *c, struct keyring *ring);

/* Fills what is only for the latest, and says it. What cannot be read is no reason to fail. */
void plan_check_end(struct plan *p, const struct op *op, const struct plan_options *o);

#endif
