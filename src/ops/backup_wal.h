/*
 * A backup is consistent only with the WAL from its start to its stop. This waits until every repository has these segments,
 * whole, signed, and joined to each other without a hole.
 */
#ifndef PGCAIRN_OPS_BACKUP_WAL_H
#define PGCAIRN_OPS_BACKUP_WAL_H

#include "ops/backup_take.h"

#define BACKUP_WAL_POLL_MS 200 /* once it has waited for a while */
#define BACKUP_WAL_TELL_MS 5000
#define BACKUP_WAL_PROMOTED_MS 30000 /* for a segment whose primary may be gone */

/*
 * Repositories that do not have the WAL in time, or where it is damaged or was given up, fail in the fan-out. ERR_RETRY when
 * that leaves none, or when interrupted.
 */
int backup_wal_wait(struct backup *b, struct err *err);

#endif
