/*
 * One object to several repositories at once: encoded once, written to each. A repository that fails drops out and its error is
 * kept; the others go on. Who must have the object is the caller's policy, asked after finish.
 */
#ifndef PGCAIRN_REPO_FANOUT_H
#define PGCAIRN_REPO_FANOUT_H

#include "repo/repository.h"

struct fanout_target {
	const char *name;        /* in the configuration; borrowed */
	struct repository *repo; /* borrowed; NULL: could not be opened, see err */
	bool failed;             /* out of the game; err says why */
	bool done;               /* has the object of the last put, durable */
	bool existed;            /* the name was taken when the last put was published: not done */
	struct err err;
};

struct fanout {
	struct fanout_target *targets; /* in the order of the configuration's active repositories */
	size_t n;
};

/* ERR_NOMEM alone; open repositories are put in by the caller. */
int fanout_new(struct fanout **out, size_t n, struct err *err);
void fanout_free(struct fanout *f); /* frees the repositories too */

static inline void
scope_fanout(struct fanout **f)
{
	fanout_free(*f);
}
#define FANOUT_AUTO SCOPE(scope_fanout)

/* Count and first of the targets that have not failed; NULL when none is left. */
size_t fanout_alive(const struct fanout *f);
struct repository *fanout_first(const struct fanout *f);

/*
 * A sink for one object to every target that has not failed, and not to those where skip[i] is set (skip may be NULL). write
 * and finish fail only when no target is left, with the last one's error; else look at the targets: done, existed or failed.
 * Several sinks may be open at once, but done and existed are of the one that finished last. A target that fails while sinks
 * are open drops out of all of them: none becomes visible there any more.
 */
int fanout_put(struct fanout *f, const char *relative, const bool *skip, struct sink **out, struct err *err);

/* A small record to every target; a target that has it already counts as done. Errors as fanout_put. */
int fanout_put_record(struct fanout *f, const char *relative, uint8_t kind, const json_t *clear,
    const struct signing_key *signer, struct err *err);

/* Mark a target as failed with this error. */
void fanout_fail(struct fanout *f, size_t i, const struct err *why);

#endif
