/*
 * One segment in a spool: its bytes, and behind them who says so: a trailer with name, size, origin and a digest over all of
 * it, keyed with the spool's key. An entry counts only when it is a file of this user's alone, under its final name, with a
 * digest that fits: so one that is torn, was put there from another spool, or came to other bytes in any other way is refused,
 * and the segment is fetched as if there were none. Who may write this user's files is not kept out by that, and could as well
 * write PostgreSQL's.
 *
 * Rejected: the digest in the name (it would have to be looked for in a listing) and in an attribute (not on every file
 * system).
 */
#ifndef PGCAIRN_OPS_SPOOL_ENTRY_H
#define PGCAIRN_OPS_SPOOL_ENTRY_H

#include "ops/fetch_target.h"
#include "ops/spool.h"

/* Where it came from, to be told when it is handed over. */
struct spool_origin {
	char repository[LAYOUT_LABEL_MAX];
	struct err doubt; /* kind 0: none. What another repository answered that was asked before */
};

struct spool_writer;

/* name.part, locked. ERR_EXISTS when somebody else writes it. */
int spool_writer_new(struct spool_writer **out, const struct spool *s, const char *name, struct err *err);
/* In order, from one thread. */
int spool_writer_add(struct spool_writer *w, const void *data, size_t len, uint64_t offset, struct err *err);
/* The trailer; then only spool_writer_publish is left. */
int spool_writer_end(struct spool_writer *w, const struct spool_origin *origin, struct err *err);
int spool_writer_publish(struct spool_writer *w, struct err *err);
void spool_writer_free(struct spool_writer *w); /* what was not published is removed */

static inline void
scope_spool_writer(struct spool_writer **w)
{
	spool_writer_free(*w);
}
#define SPOOL_WRITER_AUTO SCOPE(scope_spool_writer)

/*
 * Hand it over: verified, to the target, gone from the spool. ERR_NOT_FOUND: there is none. ERR_RETRY: another process has it
 * in its hands. ERR_CORRUPT: it was not what was put there, and is removed. Other errors are of the target.
 */
int spool_take(const struct spool *s, const char *name, struct fetch_target *t, struct spool_origin *origin, struct err *err);

/* Is it being written now? *done: how much of it, in bytes. */
bool spool_is_writing(const struct spool *s, const char *name, uint64_t *done);

#endif
