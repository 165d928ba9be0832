/*
 * The WAL that a recovery would read: segment after segment from a start along one timeline path, as far as it goes, each with
 * what its clear part says and each proved to continue the one before (wal_join). Which file PostgreSQL takes for a segment
 * follows XLogFileReadAnyTLI: of the timelines on the path that had begun, the newest that is there.
 *
 * A place in the chain is a number, 0 for the first segment. The chain holds links: of one segment, or of a row that an index
 * tells as one (wal_index.h), so that memory and time grow with the rows. What a row does not say is asked of its segments by
 * wal_chain_segment. A chain with indexes says the same as one without.
 */
#ifndef PGCAIRN_REPO_WAL_CHAIN_H
#define PGCAIRN_REPO_WAL_CHAIN_H

#include "pg/wal_record.h"
#include "repo/keyring.h"
#include "repo/stored.h"
#include "repo/wal_set.h"

struct wal_link {
	uint64_t segno, n; /* segments */
	timeline_t timeline;
	lsn_t last_record, end;           /* of complete records; 0 when none ends here */
	uint64_t commits, points;         /* restore points */
	int64_t min_time_us, max_time_us; /* of commits; with commits > 0 */
	uint32_t min_xid, max_xid;
	uint8_t (*keys)[OBJECT_KEY_ID]; /* epoch keys that it was written under */
	size_t n_keys;
	bool may_hold_any_xid; /* a prepared transaction whose number is not in the summary */
	bool spills;           /* ends in a record that may be a commit and that only the segments behind it tell */
	bool runs_on;          /* all of it belongs to a record that began before it and goes on */
	/* of a row, what its index says: which of its segments spill, and which hold restore points */
	struct wal_index_places spills_at, points_at;
	bool head_is_long; /* what began before the row may go on in more than its first segment, which spills_at does not count
			    */
	bool verified, wal_level_minimal;
	struct server_limits limits; /* a server was started with, the largest of each; 0: with no others than before */
};

struct wal_chain {
	struct repository *const *repositories; /* borrowed */
	size_t n_repositories;
	const struct wal_set *set;           /* borrowed */
	const struct timeline_history *path; /* borrowed */
	uint64_t first;                      /* segment */
	size_t n;                            /* segments */
	struct wal_link *links;
	size_t n_links;
	struct err broken;            /* why it ends where it ends, when that is not simply the end: kind 0 when it is */
	const struct gap_record *gap; /* borrowed from set: the segment behind the last link was given up; NULL: it was not */
	struct wal_chain_detail *detail; /* the row that wal_chain_segment was asked for last */
	bool without_indexes;
};

struct wal_chain_options {
	lsn_t start;
	lsn_t upto;           /* no further than the segment that holds this position; 0: to the end */
	bool without_indexes; /* read every segment's own clear part: for who does not want to believe an index */
};

/*
 * From the segment that holds start. A segment that is damaged in every repository, or does not join, or is missing while later
 * ones of the path are there, or was given up, ends the chain and is told in broken. ERR_NOT_FOUND when the first segment is
 * not there.
 */
int wal_chain_build(struct wal_chain **out, struct repository *const *repositories, size_t n, const struct wal_set *set,
    const struct timeline_history *path, const struct wal_chain_options *o, struct err *err);
void wal_chain_free(struct wal_chain *c);

static inline void
scope_wal_chain(struct wal_chain **c)
{
	wal_chain_free(*c);
}
#define WAL_CHAIN_AUTO SCOPE(scope_wal_chain)

/* Start of the last complete record, end of all complete records; 0 when the chain has none. */
lsn_t wal_chain_last_record(const struct wal_chain *c);
lsn_t wal_chain_end(const struct wal_chain *c);

/* The link that holds the segment at place i. */
const struct wal_link *wal_chain_link(const struct wal_chain *c, size_t i);

/* What the segment at place i says: a link of one segment. Borrowed, until this is called for another place. */
int wal_chain_segment(const struct wal_chain *c, size_t i, const struct wal_link **out, struct err *err);

/* Does the segment at place i end in a record that may be a target's, and that only the segments behind it tell? */
int wal_chain_spills(const struct wal_chain *c, size_t i, bool *spills, struct err *err);

/* The place of the segment with this position, which is not before the chain. */
static inline size_t
wal_chain_place(const struct wal_chain *c, lsn_t lsn)
{
	return (size_t)(lsn / c->set->segment_size - c->first);
}

/* The name of the segment at place i, and who has it. */
void wal_chain_name(const struct wal_chain *c, size_t i, char out[WAL_NAME_MAX]);
uint32_t wal_chain_mask(const struct wal_chain *c, size_t i);

/*
 * Read the segments from..to (both included) and call back for every record that is complete within them, also one that lies in
 * two or more of them. A copy that is damaged is passed over where another repository has the segment. each() returning
 * non-zero ends the reading and is the result.
 */
int wal_chain_scan(const struct wal_chain *c, size_t from, size_t to, struct keyring *ring,
    int (*each)(const struct wal_record_info *r, void *arg, struct err *err), void *arg, struct err *err);

/*
 * What wal_chain_scan tells of restore points and of records over the edges between from and to, without reading the bytes of
 * WAL: from what stands sealed beside them. A restore point has no end_lsn then. *whole is false when that is not all: more
 * points than are kept there, objects of a writer that kept less, anything that cannot be read. ERR_NOMEM, or what each()
 * returned.
 */
int wal_chain_peek(const struct wal_chain *c, size_t from, size_t to, struct keyring *ring,
    int (*each)(const struct wal_record_info *r, void *arg, struct err *err), void *arg, bool *whole, struct err *err);

/* The first complete record of any kind that begins at lsn or behind it. ERR_NOT_FOUND: the chain ends before one. */
int wal_chain_record_from(
    const struct wal_chain *c, lsn_t lsn, struct keyring *ring, struct wal_record_info *out, struct err *err);

#endif
