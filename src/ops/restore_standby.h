/*
 * What a restore that makes a standby has to know beyond one that ends at a target: it lives on, along timelines and under keys
 * that are not there yet.
 */
#ifndef PGCAIRN_OPS_RESTORE_STANDBY_H
#define PGCAIRN_OPS_RESTORE_STANDBY_H

#include "ops/owner.h"
#include "ops/restore.h"

/* A standby takes the newest timeline of all, which it is not told: ERR_REFUSED when that is not the plan's. */
int restore_standby_check(const struct plan *p, struct err *err);

/*
 * Can the server's user open WAL that is archived from now on? The session holds the keys of what is there; those of later
 * epochs are opened with the identity. If not it is said in the log: a standby that streams lives on, another will stand still.
 */
void restore_standby_tell(
    const struct op *op, const struct plan *p, const struct owner *owner, bool streams, bool *reads_later_wal);

#endif
