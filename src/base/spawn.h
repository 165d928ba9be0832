/* Run another program and take what it says: no shell, nothing on its standard input, and never longer than the limit. */
#ifndef PGCAIRN_BASE_SPAWN_H
#define PGCAIRN_BASE_SPAWN_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * argv[0] is looked for in PATH when it has no slash; argv ends with NULL. Both outputs are appended, each up to its buf's
 * max; what is longer is an error. *status: the exit status, 128 + N for a death by signal N. ERR_NOT_FOUND: no such program;
 * ERR_RETRY: it was killed at the limit.
 */
int spawn_output(const char *const argv[], int64_t limit_ms, struct buf *out, struct buf *errors, int *status, struct err *err);

#endif
