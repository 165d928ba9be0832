/*
 * What one walk over a WAL segment found: enough to search it by time, name and position without reading it again, and
 * enough to prove that its neighbours fit (wal_join.h).
 *
 * head.bytes and tail.bytes hold what users wrote. Where a summary is stored for others to read, keep nothing of the head and
 * WAL_RECORD_HEADER of the tail and set kept to that: joining needs no more, unless the edge splits a record's header; a record
 * that lies in two segments then joins without its commit time.
 */
#ifndef PGCAIRN_PG_WAL_SUMMARY_H
#define PGCAIRN_PG_WAL_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/lsn.h"
#include "pg/wal_record.h"

#define WAL_KEEP 128 /* first bytes kept of what crosses a segment's edge: all of a restore point, the time of any commit */
#define WAL_POINTS_KEPT 64

struct wal_point {
	lsn_t lsn; /* of the restore point's record */
	int64_t time_us;
	char name[WAL_POINT_NAME_MAX];
};

/* The rest of a record that began in an earlier segment. */
struct wal_head {
	uint32_t expected; /* bytes to its end, as the first page says; 0: none */
	uint32_t len;      /* bytes of it that are here; fewer than expected: it runs on, or was given up */
	uint32_t crc0;     /* raw, begun at 0, over len bytes */
	uint32_t kept;
	uint8_t bytes[WAL_KEEP];
	lsn_t end;         /* behind it, aligned; 0 when it does not end here */
	bool abandoned;    /* it was given up after a crash: OVERWRITE_CONTRECORD */
	lsn_t overwritten; /* where the record that was given up starts, as its successor says; 0 unknown */
	bool zeros_follow; /* only zeros behind it: it must be a switch */
};

/* The beginning of a record that goes on in the next segment. */
struct wal_tail {
	lsn_t start; /* 0: none */
	uint32_t total;
	uint32_t have; /* bytes of it that are here; fewer than total, at least 8 */
	uint32_t crc;  /* raw, begun at CRC32C_INIT, over bytes WAL_RECORD_HEADER .. have */
	uint32_t kept;
	uint8_t bytes[WAL_KEEP];
};

struct wal_summary {
	bool verified; /* false: a major that we do not know; start, sysid and sizes are 0 unless they were plausible */
	uint16_t magic;
	int major;                      /* 0 unknown */
	timeline_t timeline;            /* in the name */
	timeline_t first_page_timeline; /* may be lower in the first segment of a timeline */
	timeline_t last_page_timeline;
	uint64_t sysid;
	uint32_t segment_size, page_size;
	lsn_t start; /* of the segment */

	uint64_t n_records; /* complete ones that start here */
	lsn_t first_record; /* starts here and is complete or the tail; 0 none */
	lsn_t first_prev;   /* what first_record calls its predecessor; when only 8 bytes of it are here: 0 */
	lsn_t last_record;  /* start of the last complete one; 0 none */
	lsn_t end;          /* behind the last record that ends here; 0 none */
	bool contains_switch;
	struct wal_head head;
	struct wal_tail tail;

	/* commits and aborts, prepared ones too. Times go backwards, transaction numbers wrap: plain minima and maxima. */
	uint64_t commit_count;
	int64_t first_time_us, last_time_us; /* in order of WAL */
	int64_t min_time_us, max_time_us;
	uint32_t min_xid, max_xid; /* 0: none known */
	bool xid_unknown;          /* a prepared transaction ended whose number could not be read: search it by scanning */

	uint64_t point_count;
	struct wal_point points[WAL_POINTS_KEPT]; /* the first min(point_count, WAL_POINTS_KEPT) */
	bool wal_level_minimal;                   /* a record says so: nothing can be recovered across this */
	bool has_limits;                          /* the server was started with other limits than before: */
	struct server_limits limits;              /* the largest of each */
};

/* Count one more record in; also for a record that only a join could complete. */
void wal_summary_add(struct wal_summary *s, const struct wal_record_info *r);

#endif
