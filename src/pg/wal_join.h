/*
 * Do segments that were walked one by one belong together? Summaries are given in the order of WAL along one timeline path
 * (in the segment of a fork: the one of the newer timeline). Checked are place, system, timeline, the bytes outstanding at
 * the edge, the checksum and xl_prev of a record that lies in two or more segments, xl_prev across the edge, and what a
 * switch or a record given up leaves behind. Where the head's first bytes are not given (head.kept 0), a record whose header
 * the edge splits is checked by its length alone.
 */
#ifndef PGCAIRN_PG_WAL_JOIN_H
#define PGCAIRN_PG_WAL_JOIN_H

#include "base/err.h"
#include "pg/wal_summary.h"

struct wal_join {
	bool started;
	bool known; /* false before the first segment and behind one that is not verified: nothing to compare with */
	uint64_t sysid;
	uint32_t segment_size;
	lsn_t next_start; /* where the next segment must begin */
	timeline_t timeline;
	lsn_t last_record; /* start of the newest record whose end was seen; 0 unknown */

	uint32_t open_left; /* bytes of a record that must go on in the next segment */
	bool open_known;    /* its beginning was seen: it is in open */
	struct wal_tail open;

	/* After wal_join_next: the record that the segment completed, when its beginning was seen. */
	bool has_spilled;
	struct wal_record_info spilled;
};

void wal_join_init(struct wal_join *j);

/* ERR_CORRUPT names the edge; j is unchanged then. */
int wal_join_next(struct wal_join *j, const struct wal_summary *s, struct err *err);

/* Two neighbours alone. A record that began before prev is checked by its length only. */
int wal_join_check(const struct wal_summary *prev, const struct wal_summary *next, struct err *err);

#endif
