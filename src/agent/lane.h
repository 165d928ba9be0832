/*
 * One repository of one cluster in the agent: opened, kept open, and opened again after a failure, by a thread of its own. So
 * a repository that is dead costs the others nothing.
 *
 * All members but the first four are guarded by the shared lock.
 */
#ifndef PGCAIRN_AGENT_LANE_H
#define PGCAIRN_AGENT_LANE_H

#include "agent/shared.h"
#include "ops/op.h"

/* What the others have and this one does not, as far as that is known. */
struct lane_lag {
	uint64_t segments, bytes;
	int64_t oldest_us; /* when the oldest of it was stored elsewhere; 0: nothing lacks */
};

struct lane {
	struct shared *shared;       /* borrowed, as the next three */
	const struct op *op;         /* of its cluster */
	const struct writer *writer; /* fits it, checked whenever it is opened */
	const struct config_repository *c;
	struct repository *repo; /* NULL: down */
	unsigned users;          /* of repo */
	bool broken;             /* repo is closed when its last user is gone */
	bool behind;             /* the others may have what this one has not */
	timeline_t timeline;     /* whose history it has for sure, since it was opened; 0: not looked */
	struct err err;          /* why it is down */
	int64_t since_us;        /* it is up or down */
	int64_t retry_ms;        /* down: when it is tried again, on the monotonic clock */
	unsigned failures;       /* since it last stored something */
	unsigned tries;          /* to open it, that ended */
	uint64_t stored, missed; /* files since the agent runs */
	bool rows;               /* a row of its WAL may have been closed that has no index */
	struct lane_lag lag;     /* when the last round of catching up began or went on */
	struct lane_lag since;   /* on top of it: what was missed after that round began */
	pthread_t thread;
	bool started;
};

int lane_start(struct lane *l, struct err *err);
void lane_join(struct lane *l); /* after shared.ending was said */

/* With the lock: can it be borrowed? */
bool lane_is_up(const struct lane *l);

/* With the lock: the repository, for a while; NULL when it is down. */
struct repository *lane_borrow(struct lane *l);
void lane_give_back(struct lane *l);

/*
 * With the lock: what became of a file. missed: the others have these bytes and this one does not. failed: why; a failure that
 * is of the repository and not of one object in it closes it, and it is tried again later.
 */
void lane_stored(struct lane *l);
void lane_works(struct lane *l); /* something was stored that is not counted */
void lane_missed(struct lane *l, uint64_t bytes);
void lane_failed(struct lane *l, const struct err *why);

/* With the lock: all that it lacks, as far as that is known. */
struct lane_lag lane_lag(const struct lane *l);

/* With the lock: try now, not later. */
void lane_hurry(struct lane *l);

#endif
