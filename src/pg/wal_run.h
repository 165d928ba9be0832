/*
 * A row of WAL segments as one: what a summary says of a segment, said of all of them together. The row joins its neighbours as
 * if it were one long segment, so whoever holds this need not look at what is between. The members of all mean the same as
 * those of one segment, over the row: head is what an earlier record leaves at its beginning, in however many of its segments;
 * tail the record that goes on behind it, wherever in the row it began; sums, minima and maxima where one segment has those.
 */
#ifndef PGCAIRN_PG_WAL_RUN_H
#define PGCAIRN_PG_WAL_RUN_H

#include "pg/wal_join.h"

/* What the row says about the newest record whose end it holds, which may lie over an edge inside. */
enum wal_run_last {
	WAL_RUN_LAST_BEFORE,  /* it holds none, but perhaps that of the record that began before it */
	WAL_RUN_LAST_KNOWN,   /* it begins at last_seen */
	WAL_RUN_LAST_UNKNOWN, /* its beginning cannot be told without keys */
};

struct wal_run {
	struct wal_summary all; /* restore points are counted, not kept */
	uint64_t n;             /* segments */
	enum wal_run_last last;
	lsn_t last_seen;
	/* while it grows: */
	struct wal_join join;
	bool in_head; /* all of it belongs to the record that began before it */
	bool has_first;
	bool end_spills; /* the last segment's tail may be a target's */
};

void wal_run_init(struct wal_run *r);

/*
 * One more segment. False: it does not belong into this row, which stays as it was. It does not continue it, or the row could
 * not be told as one any more; then it may begin a row of its own. In an empty row: its summary makes no sense.
 */
bool wal_run_add(struct wal_run *r, const struct wal_summary *s);

/* As wal_join_next of each of its segments; no spilled record is told. Errors name the row's first segment. */
int wal_run_join(struct wal_join *j, const struct wal_run *r, struct err *err);

/*
 * Does the segment, or the row, end in a record that may be what a target is searched for, and that only the next segment
 * tells: the end of a transaction, a restore point, a change of settings?
 */
bool wal_tail_may_be_target(const struct wal_tail *t);

/* Nothing of it begins or ends here: a record that began before goes on behind it. */
bool wal_head_runs_on(const struct wal_head *h);

#endif
