/*
 * Which segments a prefetcher has, makes and may begin: those behind the last that PostgreSQL was given, few at first and more
 * as it comes back for them, so that a recovery that ends soon costs little. Knows neither files nor threads.
 */
#ifndef PGCAIRN_OPS_PREFETCH_WINDOW_H
#define PGCAIRN_OPS_PREFETCH_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

#include "pg/lsn.h"

#define PREFETCH_MOST 1024 /* segments ahead */
#define PREFETCH_FIRST 2

enum prefetch_state {
	PREFETCH_FREE,
	PREFETCH_BUSY,  /* somebody fetches it */
	PREFETCH_READY, /* it lies in the spool */
	PREFETCH_LEFT,  /* PostgreSQL's command fetches it itself */
};

struct prefetch_window {
	timeline_t timeline;
	uint64_t base;  /* number of the segment that was delivered last */
	uint64_t stop;  /* the first that could not be had, UINT64_MAX: none. No other is begun behind it */
	unsigned life;  /* goes up when PostgreSQL goes elsewhere: what was begun before is of no use */
	uint64_t width; /* how far ahead now, and at most */
	uint64_t most;
	uint8_t states[PREFETCH_MOST]; /* by number % PREFETCH_MOST */
};

struct prefetch_piece {
	timeline_t timeline;
	uint64_t segno;
	unsigned life;
};

/* most: 1 to PREFETCH_MOST */
void prefetch_window_init(struct prefetch_window *w, timeline_t timeline, uint64_t base, uint64_t most);

/* The next to fetch, busy from now on. False when there is none. */
bool prefetch_window_next(struct prefetch_window *w, struct prefetch_piece *out);

/* Is what was begun still wanted? */
bool prefetch_window_wants(const struct prefetch_window *w, const struct prefetch_piece *p);

/* It is ready, or could not be had. */
void prefetch_window_done(struct prefetch_window *w, const struct prefetch_piece *p, bool ready);

/*
 * A segment was delivered. drop() is called for each ready one that PostgreSQL does not come back for. What could not be had is
 * tried once more: so each delivered segment costs one request too many at most.
 */
void prefetch_window_delivered(struct prefetch_window *w, timeline_t timeline, uint64_t segno,
    void (*drop)(void *arg, timeline_t timeline, uint64_t segno), void *arg);

/* A segment is fetched without us. */
void prefetch_window_asked(struct prefetch_window *w, timeline_t timeline, uint64_t segno);

/* Nothing is ready, nothing under way, and the next one could not be had. */
bool prefetch_window_at_end(const struct prefetch_window *w);

#endif
