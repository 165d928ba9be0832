/*
 * The timelines that this host has seen taken: names of history files below histories/ in the state directory. A repository
 * that does not answer cannot say that a timeline is taken, and a standby that believed the silence would take it a second
 * time.
 */
#ifndef PGCAIRN_OPS_HISTORIES_H
#define PGCAIRN_OPS_HISTORIES_H

#include "ops/op.h"

/* Best effort: a host that restores may have no state directory. */
void histories_remember(const struct op *op, uint64_t sysid, const char *name);

/* True also when it cannot be told. */
bool histories_know(const struct op *op, uint64_t sysid, const char *name);

#endif
