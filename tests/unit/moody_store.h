/*
 * A store in memory that hangs, dawdles or fails on command. It holds one blob's bytes at most: what tests ask is when its
 * operations run, on how many threads, and what became of its sinks.
 */
#ifndef PGCAIRN_TESTS_MOODY_STORE_H
#define PGCAIRN_TESTS_MOODY_STORE_H

#include <pthread.h>

#include "base/buf.h"
#include "store/guard.h"

enum moody_call {
	MOODY_GET,
	MOODY_TAIL,
	MOODY_SETTLE,
	MOODY_STAT,
	MOODY_REMOVE,
	MOODY_CAPS,
	MOODY_SPACE,
	MOODY_LIST,
	MOODY_PUT,
	MOODY_WRITE,
	MOODY_FINISH,
	MOODY_FREE, /* of a sink */
	MOODY_CLOSE,
	MOODY_CALLS
};

struct moody {
	struct store store; /* first */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* moods; set through the functions below while somebody is inside */
	bool hangs[MOODY_CALLS];
	int fails[MOODY_CALLS];     /* error kinds */
	int64_t takes[MOODY_CALLS]; /* ms */
	unsigned entries;           /* of every list */
	unsigned hang_at_entry;     /* a list hangs there; 0: nowhere */
	struct moody *meets;        /* write and finish wait until the other one is inside too */
	/* what happened */
	unsigned calls[MOODY_CALLS], inside, most_inside;
	unsigned told;     /* entries that the caller of list was given */
	unsigned sinks;    /* open ones */
	unsigned finished; /* sinks that were published */
	bool met[2];       /* in write, in finish */
	bool closed;
	struct buf bytes;
};

struct moody *moody_new(void);
void moody_free(struct moody *m); /* waits until its store was closed */

/* One behind a guard. */
#define MOODY_QUEUE 4096 /* bytes of one put */
struct moody_pair {
	struct moody *m;
	struct guard *g;
	struct store *s;
};
struct moody_pair moody_pair_new(int64_t limit_ms, int64_t stall_ms);
void moody_pair_free(struct moody_pair *p);

void moody_hang(struct moody *m, enum moody_call c, bool hangs);
unsigned moody_calls(struct moody *m, enum moody_call c);
/* Waits until as many calls of this kind were begun. */
void moody_await(struct moody *m, enum moody_call c, unsigned calls);

/* Any operation, put whole. */
int moody_do(struct store *s, enum moody_call c, struct err *err);
const char *moody_call_name(enum moody_call c);

#endif
