/*
 * The second list: what the server's own manifest names against what was received. Three million files take 48 MB here: a hash
 * of the path and one of size and checksum each.
 */
#ifndef PGCAIRN_OPS_BACKUP_CHECK_H
#define PGCAIRN_OPS_BACKUP_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scope.h"
#include "pg/server_manifest.h"

struct backup_check;

int backup_check_new(struct backup_check **out, struct err *err);
void backup_check_free(struct backup_check *c); /* NULL is fine */

/* A file was received, path relative to PGDATA. */
int backup_check_received(struct backup_check *c, const char *path, uint64_t size, uint32_t crc32c, struct err *err);

/* The server lists a file; the first call ends the receiving. ERR_CORRUPT names the file that is missing or another. */
int backup_check_listed(struct backup_check *c, const struct server_manifest_file *f, struct err *err);

/* ERR_CORRUPT when files were received that the server does not list. */
int backup_check_finish(struct backup_check *c, struct err *err);

static inline void
scope_backup_check(struct backup_check **c)
{
	backup_check_free(*c);
}
#define BACKUP_CHECK_AUTO SCOPE(scope_backup_check)

#endif
