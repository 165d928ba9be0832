/*
 * PostgreSQL's positions and names in WAL, for any segment size (1 MB to 1 GB, a power of two).
 * Follows src/include/access/xlog_internal.h and the pg_lsn type.
 */
#ifndef PGCAIRN_PG_LSN_H
#define PGCAIRN_PG_LSN_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t lsn_t;
typedef uint32_t timeline_t;

#define LSN_TEXT 24     /* "FFFFFFFF/FFFFFFFF" and a NUL fit */
#define WAL_NAME_MAX 64 /* the longest file name PostgreSQL hands over, NUL included */

/* "X/X", 1 to 8 hex digits on each side, nothing else. */
bool lsn_parse(const char *text, lsn_t *out);
void lsn_format(char out[LSN_TEXT], lsn_t lsn); /* as PostgreSQL up to 18 prints it: no leading zeros */

bool wal_segment_size_valid(uint64_t size);

enum wal_name_kind {
	WAL_NAME_SEGMENT,        /* TTTTTTTTXXXXXXXXYYYYYYYY */
	WAL_NAME_PARTIAL,        /* ... .partial */
	WAL_NAME_BACKUP_HISTORY, /* ... .OOOOOOOO.backup */
	WAL_NAME_HISTORY,        /* TTTTTTTT.history */
};

struct wal_name {
	enum wal_name_kind kind;
	timeline_t timeline;
	uint32_t log, seg; /* the two last groups of eight; 0 for a history file */
	uint32_t offset;   /* of a backup history file */
};

/* Upper-case hex only, as the server writes it; a timeline of 0 is refused. */
bool wal_name_parse(const char *text, struct wal_name *out);
void wal_name_format(char out[WAL_NAME_MAX], const struct wal_name *name);

/* Segment number within all WAL of a cluster, and its first position. */
uint64_t wal_name_segno(const struct wal_name *name, uint32_t segment_size);
/* False when the last group cannot occur with this segment size (16 MB: 000000FF is the last). */
bool wal_name_fits(const struct wal_name *name, uint32_t segment_size);
void wal_segment_name(char out[WAL_NAME_MAX], timeline_t timeline, uint64_t segno, uint32_t segment_size);
lsn_t wal_segment_start(uint64_t segno, uint32_t segment_size);

#endif
