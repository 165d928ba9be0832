/*
 * Is a repository in a place where it would be lost together with the data? Inside or around PGDATA, a tablespace or the state
 * directory it is refused; on the same file system it is warned about.
 */
#ifndef PGCAIRN_OPS_PLACE_H
#define PGCAIRN_OPS_PLACE_H

#include "ops/op.h"

/* Looks at a file:// repository; others pass. *same_device: it shares PGDATA's file system. ERR_REFUSED with a hint. */
int place_check(const struct op *op, const struct config_repository *c, bool *same_device, struct err *err);

/* The same for the directory of a restore: not inside or around a repository or the state directory, not below the original's
 * PGDATA; in its place is fine. */
int place_check_target(const struct op *op, const char *pgdata, struct err *err);

#endif
