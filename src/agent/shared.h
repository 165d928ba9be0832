/*
 * What the agent's threads share. One lock guards all queues, lanes and counters: it is held for moments only, never while a
 * repository or a file is worked on.
 */
#ifndef PGCAIRN_AGENT_SHARED_H
#define PGCAIRN_AGENT_SHARED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/object_writer.h"

struct shared {
	pthread_mutex_t lock;
	pthread_cond_t work; /* something may be there for who waits: a file to ship, a lane that changed */
	int event;           /* an eventfd: the same for the main thread, which polls */
	bool ending;
	bool encoding;              /* somebody encodes for a repository that catches up: one at a time, for the memory */
	struct object_slots *slots; /* whoever does so has them; NULL: not made yet */
};

int shared_init(struct shared *s, struct err *err);
void shared_close(struct shared *s);

void shared_lock(struct shared *s);
void shared_unlock(struct shared *s);

/* Wake everybody. With the lock. */
void shared_ring(struct shared *s);

/* Wait to be woken, at most until at_ms on the monotonic clock. With the lock, which is free meanwhile, if only for a moment.
 */
void shared_wait(struct shared *s, int64_t at_ms);

/* How long what has failed so many times in a row is left alone: longer each time, with an end. */
int64_t shared_pause_ms(unsigned failures);

#endif
