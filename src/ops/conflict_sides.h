/* The two contents of a conflict, looked into: what their clear parts say, where their bytes part, and their bytes. */
#ifndef PGCAIRN_OPS_CONFLICT_SIDES_H
#define PGCAIRN_OPS_CONFLICT_SIDES_H

#include "ops/conflict.h"

/* What cannot be read is said in the sides. ring NULL: the bytes are not compared. */
void conflict_fill_sides(struct conflict_view *v, struct repository *r, struct keyring *ring);

#endif
