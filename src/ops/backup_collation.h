/* By which versions of which libraries the original sorts text, for the manifest: a restore compares them with its host's. */
#ifndef PGCAIRN_OPS_BACKUP_COLLATION_H
#define PGCAIRN_OPS_BACKUP_COLLATION_H

#include "base/buf.h"
#include "pg/conn.h"

/*
 * {"collation": {...}} of docs/repository-format.md, appended to sealed. What the server does not say is left out: the sealed
 * part is "{}" then.
 */
int backup_collation(struct pg_connection *sql, struct buf *sealed, struct err *err);

#endif
