/*
 * Inside the guard: calls and the threads that run them. Everything in these structs is under the guard's lock, but for what a
 * call's own run uses between guard_enter and guard_leave.
 */
#ifndef PGCAIRN_STORE_GUARD_INTERNAL_H
#define PGCAIRN_STORE_GUARD_INTERNAL_H

#include <pthread.h>

#include "store/guard.h"

enum guard_state { GUARD_IDLE, GUARD_QUEUED, GUARD_RUNNING };

/* Something to be done by a thread of the guard. The caller and that thread share it; whoever is last releases it. */
struct guard_call {
	struct guard *guard;
	void (*run)(struct guard_call *c);     /* on a thread of the guard, with its lock held */
	void (*release)(struct guard_call *c); /* frees; without the lock */
	struct guard_call *next, *previous;    /* in the queue, or among those that run */
	pthread_cond_t changed;
	enum guard_state state;
	bool again;          /* run has more to do, and others wait: it goes to the end of the queue */
	bool left;           /* the caller is gone */
	bool must_run;       /* it is not dropped from the queue when the caller goes: it has to put something in order */
	bool overdue;        /* its caller has waited in vain for the operation that is under way */
	int64_t since_ms;    /* of the operation of the inner store that is under way; INT64_MAX: none */
	int64_t progress_ms; /* when one last began or ended */
	int rc;              /* of the inner store */
	struct err err;
};

struct guard_list {
	struct guard_call *first, *last;
};

struct guard {
	pthread_mutex_t lock;
	pthread_cond_t work; /* something was queued, or the guard is freed */
	pthread_cond_t gone; /* a thread has ended */
	struct guard_list queue, running;
	unsigned queued;
	unsigned threads, waiting; /* how many there are, and how many of them have nothing to do */
	unsigned parked;           /* in a listing whose entries its caller has not taken yet */
	unsigned refs;             /* the owner, stores, threads */
	bool freed;
	/* never change: */
	int64_t limit_ms, stall_ms;
	size_t queue_bytes;
	char *name;
};

/* A guarded store. */
struct guarded {
	struct store store; /* first */
	struct guard *guard;
	struct store *inner;
	struct guard_call closing;
	pthread_cond_t quiet; /* no call is left */
	unsigned users;       /* calls that are not released */
	bool closed;          /* by the caller: the last call closes the inner one */
};

void guard_unref(struct guard *g); /* without the lock; the guard may be gone then */

void guard_call_init(struct guard_call *c, struct guard *g); /* what is 0 stays 0 */
void guard_call_destroy(struct guard_call *c);               /* what init made, not c itself */

/* Around every operation of the inner store in run: without the lock, and timed. */
void guard_enter(struct guard_call *c);
void guard_leave(struct guard_call *c);

/* With the lock held. */
bool guard_is_stuck(const struct guard *g);
int guard_silent(const struct guard *g, struct err *err);                      /* the error for it */
int guard_submit(struct guard_call *c, bool even_when_stuck, struct err *err); /* an error: nothing has changed */
/*
 * Until the call is through, or *ready (which may be NULL); limit_ms from from_ms or the last progress on, whichever is later.
 * An error: it is overdue.
 */
int guard_await(struct guard_call *c, const bool *ready, int64_t from_ms, struct err *err);
/* For those who go: a call that is orderly under way is waited for, within the limit, one that hangs is not. */
void guard_await_end(struct guard_call *c);

/* Run to its end: 0, and c->rc is what the inner store said; else the guard's own error. Without the lock. */
int guard_call_do(struct guard_call *c, struct err *err);
/* The caller goes; c must not be touched any more. Without the lock. */
void guard_call_leave(struct guard_call *c);

/* The inner store lives as long as anybody uses it. Without the lock. */
void guarded_use(struct guarded *s);
void guarded_done(struct guarded *s); /* s may be gone then */

int guarded_put(struct store *store, const char *key, struct sink **out, struct err *err);
int guarded_list(struct store *store, const char *prefix, store_each *each, void *arg, struct err *err);
int guarded_list_names(struct store *store, const char *prefix, store_each *each, void *arg, struct err *err);

#endif
