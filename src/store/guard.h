/*
 * A store whose operations run on threads of a guard, so that one that hangs (a dead network file system, a disk that does not
 * come back) costs its caller a limit and not for ever: ERR_RETRY, "does not answer". A thread that hangs in the kernel cannot
 * be ended, only left behind; so while an operation is overdue every new one fails at once with the same error instead of
 * adding another such thread, and when the operation comes back the guard works again by itself.
 *
 * A guard belongs to one place (a repository) and outlives the stores that are opened through it: whoever opens again and again
 * what hangs leaves no more threads behind than the guard has. Rejected: a thread for each store, which has just that leak, and
 * a process for each, which would copy every byte twice.
 *
 * Several threads may use a guarded store at once; GUARD_THREADS of their operations run at the same time, the others wait. The
 * contract is store.h's, with these differences:
 *
 * put      answers at once; what the store says to it comes with the next write, or with finish. write copies into a queue of
 *          queue_bytes that a thread of the guard empties, so that several stores are written to at the same time; a queue that
 *          stays full for stall_ms is ERR_RETRY, "too slow". finish waits for the rest and for the publishing, limit_ms from
 * the last progress on. After ERR_RETRY from finish the blob may still become visible, whole: the next put says ERR_EXISTS.
 * list     limit_ms from the last entry on; entries come on the caller's thread, in batches, never after the call.
 * close    waits for what is orderly under way, and for nothing that is overdue.
 */
#ifndef PGCAIRN_STORE_GUARD_H
#define PGCAIRN_STORE_GUARD_H

#include "store/store.h"

#define GUARD_THREADS 8

struct guard;

struct guard_options {
	const char *name;   /* of the repository, for messages */
	int64_t limit_ms;   /* for one operation; 0: 30 s */
	int64_t stall_ms;   /* a put's queue may stay full so long; 0: 10 s */
	size_t queue_bytes; /* of one put; 0: 4 MiB */
};

int guard_new(struct guard **out, const struct guard_options *o, struct err *err);
/* When all its stores are closed. Never waits for what is overdue: whoever comes last frees. NULL is fine. */
void guard_free(struct guard *g);

static inline void
scope_guard(struct guard **g)
{
	guard_free(*g);
}
#define GUARD_AUTO SCOPE(scope_guard)

/* store_open, within the limit. */
int guard_open(struct guard *g, struct store **out, const char *url, struct err *err);

/* Any other store, which is taken over, with an error too. */
int guard_wrap(struct guard *g, struct store **out, struct store *inner, struct err *err);

/* Any other work that may hang. */
struct guard_work {
	int (*run)(void *arg, struct err *err); /* on a thread of the guard */
	void (*take)(void *arg);                /* on the caller's, after a 0: what is taken out of arg is the caller's */
	void (*release)(void *arg);             /* at the end, on either */
};
int guard_do(struct guard *g, const struct guard_work *work, void *arg, struct err *err);

/* 0, or the error that every operation would give now because one is overdue. */
int guard_answers(struct guard *g, struct err *err);

#endif
