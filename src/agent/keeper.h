/*
 * Keeps one repository complete: what it missed is brought to it (ops/catch_up.h) by a thread of its own, beside the lane's,
 * which stays free to notice that the repository fails, and beside the ship threads, which store new WAL in it meanwhile.
 *
 * What a former agent or the direct way missed is not known: so the first round comes when the repository was opened for the
 * first time, and another one each hour.
 *
 * Where nothing lacks it writes the indexes over rows of WAL that were closed; over a hole there would be none to write.
 *
 * The sources are opened for the round alone, not borrowed from their lanes: one that is full or out of favour as a target is
 * as good to read as any, and its lane need not wait for a round to end.
 */
#ifndef PGCAIRN_AGENT_KEEPER_H
#define PGCAIRN_AGENT_KEEPER_H

#include "agent/lane.h"
#include "ops/catch_up.h"

struct keeper {
	struct lane *lane;     /* borrowed, as the next two */
	struct writer *writer; /* of the cluster */
	struct lane *lanes;    /* of the cluster, this one among them */
	size_t n_lanes;
	struct catch_up *memory;
	struct catch_up_result brought; /* by the rounds since it was complete */
	unsigned tries;                 /* rounds in a row that left something behind */
	int64_t retry_ms, look_ms;      /* on the monotonic clock, as the next */
	int64_t index_ms;
	pthread_t thread;
	bool started;
};

int keeper_start(struct keeper *k, struct err *err);
void keeper_join(struct keeper *k); /* after shared.ending was said */

#endif
