/*
 * tablespace_map: one line for each tablespace, "oid path", with a backslash before a line feed, a carriage return or a
 * backslash in the path. The server makes the links in pg_tblspc from it at its first start. Follows read_tablespace_map in
 * src/backend/access/transam/xlogrecovery.c.
 */
#ifndef PGCAIRN_PG_TABLESPACE_MAP_H
#define PGCAIRN_PG_TABLESPACE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"

#define TABLESPACE_PATH_MAX 1024 /* the server's MAXPGPATH, NUL included */
#define TABLESPACE_MAP_MAX ((size_t)16 << 20)
#define TABLESPACES_MAX 16384

struct tablespace_entry {
	uint32_t oid;
	char *path; /* owned */
};

struct tablespace_map {
	size_t n;
	struct tablespace_entry *entries;
};

/* ERR_CORRUPT for anything the server would refuse or misread, and for an oid that comes twice. Empty is fine. */
int tablespace_map_parse(struct tablespace_map *out, const char *data, size_t len, struct err *err);
void tablespace_map_free(struct tablespace_map *map); /* all zero afterwards */

/* Appends the file's bytes. ERR_CONFIG for a path that is empty or too long for the server. */
int tablespace_map_write(const struct tablespace_map *map, struct buf *out, struct err *err);

static inline void
scope_tablespace_map(struct tablespace_map *map)
{
	tablespace_map_free(map);
}
#define TABLESPACE_MAP_AUTO SCOPE(scope_tablespace_map)

#endif
