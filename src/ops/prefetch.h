/*
 * Prefetch for recovery: the next segments are fetched and verified while PostgreSQL replays this one.
 *
 * pgcairn-wal-restore takes a segment from the spool when it lies there (prefetch_take), fetches it otherwise as if there were
 * no spool, and tells the prefetcher what was delivered (prefetch_delivered). Nothing is decided here: no error of prefetching
 * is the command's, and "missing" never comes from here. The prefetcher (prefetch_run) is a process of its own that ends by
 * itself.
 */
#ifndef PGCAIRN_OPS_PREFETCH_H
#define PGCAIRN_OPS_PREFETCH_H

#include "ops/spool.h"

struct prefetch {
	const struct op *op;
	struct spool spool;
	const char *name; /* borrowed */
	bool on;          /* a spool may hold it, or hold the next ones */
};

/* How many segments the configured room holds; 0: nothing is prefetched. */
uint64_t prefetch_room(const struct op *op, const struct spool *s);

/* For one file; what is no segment, or not asked for by a recovery, is not prefetched. */
void prefetch_open(struct prefetch *p, const struct op *op, const struct fetch_options *o, const char *name);
void prefetch_close(struct prefetch *p);
#define PREFETCH_AUTO SCOPE(prefetch_close)

/* True: the segment lies at path, verified. Waits for one that is being written, as long as it grows. */
bool prefetch_take(struct prefetch *p, const char *path);

/* The segment was delivered. True: a prefetcher is wanted and none listens. */
bool prefetch_delivered(struct prefetch *p);

/*
 * The prefetcher: fetches what comes behind this segment, and ends when the recovery in the current directory has ended, its
 * server is gone, nothing was asked for a minute, there is nothing behind, or another one is at work. What it made is gone
 * then. Call it in a process without threads that nobody waits for; what this one opened is closed.
 */
void prefetch_run(const struct op *op, const struct fetch_options *o, const char *name);

#endif
