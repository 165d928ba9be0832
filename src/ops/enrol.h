/* Admit another host's signing key to every active repository. */
#ifndef PGCAIRN_OPS_ENROL_H
#define PGCAIRN_OPS_ENROL_H

#include "ops/op.h"

/* key: the text that init --join printed. ERR_CONFIG when it is none. */
int enrol_run(const struct op *op, const char *key, const char *name, struct err *err);

#endif
