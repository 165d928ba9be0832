/*
 * A guard for each repository of a configuration: with them in an op (op.h), every repository is opened through its own, so
 * that one that hangs keeps nobody from the others. They outlive the repositories that are opened.
 */
#ifndef PGCAIRN_OPS_GUARDS_H
#define PGCAIRN_OPS_GUARDS_H

#include "config/config.h"
#include "store/guard.h"

struct guards;

/* limits: as in guard.h; the names are the repositories'. cfg must live as long. */
int guards_new(struct guards **out, const struct config *cfg, const struct guard_options *limits, struct err *err);
void guards_free(struct guards *g); /* when all repositories are closed */

struct guard *guards_of(const struct guards *g, const struct config_repository *c); /* NULL for g NULL */

#endif
