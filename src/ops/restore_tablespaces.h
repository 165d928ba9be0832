/* Where the tablespaces of a backup go: as told, else where they were; each to an empty place of its own, apart from PGDATA. */
#ifndef PGCAIRN_OPS_RESTORE_TABLESPACES_H
#define PGCAIRN_OPS_RESTORE_TABLESPACES_H

#include "ops/restore.h"
#include "ops/restore_entries.h"
#include "pg/tablespace_map.h"

/*
 * *map is filled, also in part after an error: free it with tablespace_map_free. ERR_REFUSED: a place that is taken, or that
 * lies in or around another one. ERR_CONFIG: a tablespace that the backup does not have, a place that is no absolute path.
 */
int restore_map_tablespaces(const struct op *op, const struct restore_options *o, const struct restore_entries *e,
    struct tablespace_map *map, struct err *err);

#endif
