/*
 * Writes the indexes over WAL (repo/wal_index.h) that a repository lacks, out of what its segments say in the clear: it needs
 * no key that reads. What it does it does once: a row that has an index is passed over by its name. Killed anywhere, it leaves
 * nothing that has to be repaired, and two at once come to the same.
 */
#ifndef PGCAIRN_OPS_WAL_INDEX_H
#define PGCAIRN_OPS_WAL_INDEX_H

#include "ops/op.h"

struct wal_index_options {
	bool dry_run;            /* count by names alone */
	uint64_t max;            /* indexes in one call, 0: all */
	bool (*stop)(void *arg); /* asked in front of every segment; may be NULL */
	void *arg;
};

struct wal_index_result {
	uint64_t indexes, segments; /* that were written, and the segments in them; in a dry run what would be, at the most */
	uint64_t left;              /* rows that were left for the next call because of max */
	uint64_t skipped;           /* segments that could not be read or make no sense: verify says which */
};

/*
 * One repository. A row is worth an index when it is closed: all the segments of its place are there, or WAL has gone on a
 * whole row behind it, so that what is missing in it hardly comes any more. One that comes all the same gets an index of its
 * own. The result counts what was done also when it fails.
 */
int wal_index_write(struct repository *r, const struct writer *w, const struct wal_index_options *o,
    struct wal_index_result *result, struct err *err);

/* Each active repository; a row of the result is one of the fan-out. What fails in one is in its target. */
struct wal_index_site {
	struct fanout *fanout;
	struct wal_index_result *results;
};
int wal_index_all(const struct op *op, const struct wal_index_options *o, struct wal_index_site *out, struct err *err);
void wal_index_site_free(struct wal_index_site *s);
#define WAL_INDEX_SITE_AUTO SCOPE(wal_index_site_free)

#endif
