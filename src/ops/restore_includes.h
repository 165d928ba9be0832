/*
 * Will the restored server find the files that its configuration includes? Files come back byte for byte, so a directive with
 * an absolute path still names the original's place: the copy would read the live configuration of the original, or, on a new
 * host, not start. Nothing is rewritten, since what was backed up is what comes back; the operator is told which line to
 * change.
 */
#ifndef PGCAIRN_OPS_RESTORE_INCLUDES_H
#define PGCAIRN_OPS_RESTORE_INCLUDES_H

#include "ops/restore_host.h"

/* Warnings about the restored directory, whose configuration is in place. */
void restore_includes_check(struct restore_host *h, const char *pgdata, const struct restore_entries *e);

#endif
