/*
 * WAL that no server wrote and that is WAL all the same: many small segments with transactions at known times, each checked by
 * the real walker, encrypted and signed by the real writer, put under its real name. Only the fsync is left out.
 *
 * Segment n (of 1 MiB) holds the end of transaction synthetic_xid(n) at synthetic_time_us(n), in every 997th a restore point
 * "point-N", and a switch to the next; or, in every 31st, as of busy servers, one record that fills it and the end of
 * transaction synthetic_edge_xid(n) at the same time, which goes on in the next. Time steps back now and then.
 */
#ifndef PGCAIRN_TESTS_SYNTHETIC_H
#define PGCAIRN_TESTS_SYNTHETIC_H

#include "world.h"

#define SYNTHETIC_SEGMENT ((uint32_t)1 << 20)
#define SYNTHETIC_POINTS 997
#define SYNTHETIC_EDGES 31
#define SYNTHETIC_BACK 500 /* every so many segments the clock is ten seconds behind */

static inline int64_t
synthetic_time_us(uint64_t segno)
{
	return INT64_C(1700000000000000) + (int64_t)(segno - (segno % SYNTHETIC_BACK == 0 && segno > 10 ? 10 : 0)) * 1000000;
}

static inline uint32_t
synthetic_xid(uint64_t segno)
{
	return (uint32_t)(1000 + segno);
}

static inline bool
synthetic_has_edge(uint64_t segno)
{
	return segno > 0 && segno % SYNTHETIC_EDGES == 0;
}

static inline uint32_t
synthetic_edge_xid(uint64_t segno)
{
	return (uint32_t)(2000000000 + segno);
}

lsn_t synthetic_commit_lsn(uint64_t segno);
lsn_t synthetic_edge_lsn(uint64_t segno);

/* Segments first..last of a timeline into one repository; keys are published as a writing host does. */
void synthetic_put(struct world *w, const char *repository, timeline_t timeline, uint64_t first, uint64_t last);

/* One segment that goes on from the same neighbour, with another transaction. */
void synthetic_other(struct world *w, const char *repository, timeline_t timeline, uint64_t segno);

/* A history that says where the timeline parted from timeline 1. */
void synthetic_history(struct world *w, const char *repository, timeline_t timeline, uint64_t segno);

#endif
