/*
 * A standby's backup ends in the middle of a segment that only the primary can fill, and an idle one takes hours to. What a
 * backup of the primary does by itself, closing the segment of its stop, is asked of the primary here.
 */
#ifndef PGCAIRN_OPS_BACKUP_PRIMARY_H
#define PGCAIRN_OPS_BACKUP_PRIMARY_H

#include "ops/backup_take.h"

/*
 * Close the segment that holds the byte before stop, unless the primary is past it. ERR_REFUSED when primary-conninfo leads to
 * a standby or to another cluster.
 */
int backup_primary_close(const struct op *op, uint64_t sysid, uint64_t segno, uint32_t segment_size, struct err *err);

/* Is the server that this backup is of a standby still? True when it does not say. */
bool backup_primary_is_elsewhere(struct backup_server *s);

#endif
