/*
 * How far a cluster's WAL has come without a hole in what the agent shipped, and the records that say so (repo/high_water.h):
 * at most one a minute, and only when it has moved.
 *
 * A segment counts when it and all older ones on the path to it that the server still wants archived are durable, those of the
 * timelines before its own too, and a repository holds it: one that was given up as a gap is in none, and is never named. All
 * functions want the shared lock.
 */
#ifndef PGCAIRN_AGENT_MARK_H
#define PGCAIRN_AGENT_MARK_H

#include "agent/queue.h"

struct mark {
	uint64_t sysid; /* 0: nothing yet */
	timeline_t timeline;
	lsn_t end;        /* behind the segment */
	uint64_t holders; /* bit i: lane i has it */
	bool moved;       /* since the last record */
	bool busy;        /* a record is being written */
	int64_t due_ms;   /* the next record, not before */
};

/* Something in the queue became durable. */
void mark_look(struct mark *m, const struct queue *q);

bool mark_is_due(const struct mark *m, int64_t now_ms);
/* When it will be due; INT64_MAX when nothing has moved. */
int64_t mark_wakes_ms(const struct mark *m);

#endif
