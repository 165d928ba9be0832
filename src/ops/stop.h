/*
 * stop and start: archiving from this host pauses for a reason, and pgcairn-wal-archive answers "later", so that the server
 * keeps every segment in pg_wal. What must never be done instead is archive_command = '/bin/true', which loses them.
 *
 * The decision is a file in the state directory, one a cluster, durable before stop returns: it outlives a reboot. Other hosts
 * of the cluster go on.
 */
#ifndef PGCAIRN_OPS_STOP_H
#define PGCAIRN_OPS_STOP_H

#include "ops/op.h"
#include "repo/decision.h"

/*
 * Is archiving stopped? 0: no. ERR_REFUSED: yes, and *err says since when, by whom and why; *d has it where d is not NULL (a
 * file that cannot be understood still stops: then d->reason says so). ERR_IO and the like: it cannot be told. Costs one stat
 * when it is not.
 */
int stop_check(const struct op *op, struct decision *d, struct err *err);

/* *changed false: it was stopped before, and that decision stays; *d is what holds now. */
int stop_archiving(const struct op *op, const char *reason, struct decision *d, bool *changed, struct err *err);

/* *changed false: it was not stopped. */
int start_archiving(const struct op *op, bool *changed, struct err *err);

#endif
