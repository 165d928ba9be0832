/*
 * The WAL that a recovery would read: segment by segment from a start along one timeline path, as far as it goes, each with
 * what its clear part says and each proved to continue the one before (wal_join). Which file PostgreSQL takes for a segment
 * follows XLogFileReadAnyTLI: of the timelines on the path that had begun, the newest that is there.
 */
#ifndef PGCAIRN_REPO_WAL_CHAIN_H
#define PGCAIRN_REPO_WAL_CHAIN_H

#include "pg/wal_record.h"
#include "repo/keyring.h"
#include "repo/stored.h"
#include "repo/wal_set.h"

struct wal_link {
	uint64_t segno;
	timeline_t timeline;
	uint32_t mask;                    /* who has it */
	lsn_t last_record, end;           /* of complete records; 0 when none ends here */
	uint64_t commits, points;         /* restore points */
	int64_t min_time_us, max_time_us; /* of commits; with commits > 0 */
	uint32_t min_xid, max_xid;
	uint8_t key_id[OBJECT_KEY_ID];
	bool may_hold_any_xid; /* a prepared transaction whose number is not in the summary */
	bool spills;           /* ends in a record that may be a commit and that only both segments together tell */
	bool verified, wal_level_minimal;
	struct server_limits limits; /* a server was started with, the largest of each; 0: with no others than before */
};

struct wal_chain {
	struct repository *const *repositories; /* borrowed */
	size_t n_repositories;
	const struct wal_set *set;           /* borrowed */
	const struct timeline_history *path; /* borrowed */
	struct wal_link *links;
	size_t n;
	struct err broken;            /* why it ends where it ends, when that is not simply the end: kind 0 when it is */
	const struct gap_record *gap; /* borrowed from set: the segment behind the last link was given up; NULL: it was not */
};

/*
 * From the segment that holds start. upto: no further than the segment that holds this position (0: to the end). A segment that
 * is damaged in every repository, or does not join, or is missing while later ones of the path are there, or was given up, ends
 * the chain and is told in broken. ERR_NOT_FOUND when the first segment is not there.
 */
int wal_chain_build(struct wal_chain **out, struct repository *const *repositories, size_t n, const struct wal_set *set,
    const struct timeline_history *path, lsn_t start, lsn_t upto, struct err *err);
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

/* The name of a link's segment. */
void wal_chain_name(const struct wal_chain *c, size_t i, char out[WAL_NAME_MAX]);

/*
 * Read the links from..to (both included) and call back for every record that is complete within them, also one that lies in
 * two or more of them. A copy that is damaged is passed over where another repository has the segment. each() returning
 * non-zero ends the reading and is the result.
 */
int wal_chain_scan(const struct wal_chain *c, size_t from, size_t to, struct keyring *ring,
    int (*each)(const struct wal_record_info *r, void *arg, struct err *err), void *arg, struct err *err);

/* The first complete record of any kind that begins at lsn or behind it. ERR_NOT_FOUND: the chain ends before one. */
int wal_chain_record_from(
    const struct wal_chain *c, lsn_t lsn, struct keyring *ring, struct wal_record_info *out, struct err *err);

#endif
