/*
 * One pass over one WAL segment, fed in pieces of any size, in a few KiB of memory.
 *
 * A complete segment must be WAL from its first byte to its last: every page header, every complete record's checksum, the
 * chain of xl_prev, the rest of a record on the next page, only zeros behind a switch. Its two ends are open: the first
 * bytes may belong to a record of an earlier segment and the last record may run on; wal_join.h closes them when the
 * neighbour is there. A partial segment is WAL up to the first byte that is not; what a recycled file holds behind it is
 * nobody's business. Follows src/backend/access/transam/xlogreader.c.
 *
 * Page magics of a later major than 18 are no error: summary.verified is false and only the long header was looked at, as
 * far as it has the shape that we know. Refusing them would fill the server's pg_wal.
 *
 * Not seen by one segment alone: the bytes of summary.head and summary.tail, alignment between records, and the flag
 * WAL_PAGE_REMOVABLE.
 */
#ifndef PGCAIRN_PG_WAL_WALKER_H
#define PGCAIRN_PG_WAL_WALKER_H

#include <stddef.h>

#include "base/err.h"
#include "base/scope.h"
#include "pg/lsn.h"
#include "pg/wal_summary.h"

enum wal_walk_mode {
	WAL_COMPLETE,
	WAL_PARTIAL,
};

struct wal_walk_options {
	struct wal_name name; /* of kind SEGMENT or PARTIAL */
	enum wal_walk_mode mode;
	uint64_t sysid;        /* expected; 0: any */
	uint32_t segment_size; /* expected; 0: what the first page says */
	/* Called for every complete record that starts in this segment, in order; NULL: not. info lives during the call. */
	void (*on_record)(const struct wal_record_info *info, void *arg);
	void *arg;
};

struct wal_walker;

/* ERR_BUG for a name that is no segment's. */
int wal_walker_new(struct wal_walker **out, const struct wal_walk_options *opt, struct err *err);

/*
 * ERR_CORRUPT names position and cause; ERR_REFUSED: another cluster's WAL. After an error only free is called. A partial
 * segment fails only by its first page header or by its length.
 */
int wal_walker_feed(struct wal_walker *w, const void *data, size_t len, struct err *err);

/* No more bytes. ERR_CORRUPT when a complete segment has not its full size, a partial one no page header. */
int wal_walker_finish(struct wal_walker *w, struct wal_summary *out, struct err *err);

void wal_walker_free(struct wal_walker *w); /* NULL is fine */

static inline void
scope_wal_walker(struct wal_walker **w)
{
	wal_walker_free(*w);
}
#define WAL_WALKER_AUTO SCOPE(scope_wal_walker)

#endif
