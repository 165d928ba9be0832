/*
 * Ends of WAL that were there: each repository's newest segment against the high-water records of all repositories that answer.
 * A repository that held a position and now ends before it has lost its tail. One that never held it is only behind. And a
 * position that no repository reaches, of those that answer, is lost as far as can be seen.
 */
#ifndef PGCAIRN_OPS_TAIL_H
#define PGCAIRN_OPS_TAIL_H

#include "ops/op.h"
#include "repo/high_water.h"

/* One repository that answers, and where its WAL of the system ends; end 0: it has none. */
struct tail {
	struct repository *repo; /* borrowed */
	timeline_t timeline;
	lsn_t end;
	/* Found out: */
	bool lost;                         /* it held more, as held says: */
	struct high_water held;            /* sysid 0: no record says that it held anything */
	const struct repository *said;     /* where that stands; borrowed */
	struct high_water_reading reading; /* of its own records */
};

struct tails {
	struct high_water newest;      /* of all; sysid 0: there is none */
	const struct repository *said; /* where that stands; borrowed */
	bool reached;                  /* by any of them */
};

/* Fills what is found out in list. An error is a store's; records that cannot be believed are counted. */
int tails_compare(struct tail *list, size_t n, uint64_t sysid, struct tails *out, struct err *err);

/* "segment TTTTTTTTXXXXXXXXYYYYYYYY (0/5000000) at 2026-01-31T14:59:00Z, says db1 in repository 'far'" */
#define TAIL_TEXT 320
void tail_describe(char out[TAIL_TEXT], const struct high_water *h, const struct repository *said, uint32_t segment_size);

#endif
