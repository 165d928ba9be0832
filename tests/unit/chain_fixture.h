/* Real WAL in real repositories, and the chain that a recovery would read of it. */
#ifndef PGCAIRN_TESTS_CHAIN_FIXTURE_H
#define PGCAIRN_TESTS_CHAIN_FIXTURE_H

#include "repo/wal_chain.h"
#include "wal_fixture.h"
#include "world.h"

#define SEGMENT_LSN(segno) ((lsn_t)(segno) << 20)

static const char *const main_segments[] = {"000000010000000000000009", "00000001000000000000000A", "00000001000000000000000B",
    "00000001000000000000000C", "00000001000000000000000D", "00000001000000000000000E", "00000001000000000000000F",
    "000000010000000000000010", "000000010000000000000011", "000000010000000000000012", "000000010000000000000013",
    "000000010000000000000014", "000000010000000000000015", "000000010000000000000016"};

static const char *const spill_segments[] = {"spill/00000001000000000000000A", "spill/00000001000000000000000B",
    "spill/00000001000000000000000C", "spill/00000001000000000000000D", "spill/00000001000000000000000E",
    "spill/00000001000000000000000F"};

struct links {
	struct repository *repositories[2];
	size_t n;
	struct wal_set *set;
	struct timeline_history path;
	struct keyring *ring;
	struct wal_chain *chain; /* NULL when it was not built; err says why */
	struct err err;
};

/* The chain from the beginning of segment first along the path to timeline. */
static inline int
links_open(struct links *l, struct world *w, timeline_t timeline, uint64_t first, lsn_t upto)
{
	static const char *const names[] = {"a", "b"};
	const struct wal_set_timeline *t;

	memset(l, 0, sizeof(*l));
	for (; l->n < w->n && l->n < 2; l->n++)
		l->repositories[l->n] = world_repository(w, names[l->n]);
	l->ring = world_keyring(w);
	must(wal_set_load(&l->set, l->repositories, l->n, w->sysid, &l->err), &l->err);
	t = wal_set_timeline(l->set, timeline);
	assert_non_null(t);
	l->path = (struct timeline_history){.timeline = timeline, .n = t->history.n, .entries = t->history.entries};
	return wal_chain_build(&l->chain, l->repositories, l->n, l->set, &l->path,
	    &(struct wal_chain_options){.start = SEGMENT_LSN(first), .upto = upto}, &l->err);
}

static inline void
links_close(struct links *l)
{
	wal_chain_free(l->chain);
	wal_set_free(l->set);
	keyring_free(l->ring);
	for (size_t i = 0; i < l->n; i++)
		repository_free(l->repositories[i]);
}

/* All records of interest, in order. */
struct found {
	struct wal_record_info list[4000];
	size_t n;
};

static inline int
find_record(const struct wal_record_info *r, void *arg, struct err *err)
{
	struct found *f = arg;

	(void)err;
	assert_true(f->n < ARRAY_LEN(f->list));
	if (f->n > 0)
		assert_true(r->lsn > f->list[f->n - 1].lsn);
	f->list[f->n++] = *r;
	return 0;
}

static inline struct found *
find_all(struct links *l)
{
	struct found *f = calloc(1, sizeof(*f));
	struct err err = {0};

	assert_non_null(f);
	must(wal_chain_scan(l->chain, 0, l->chain->n - 1, l->ring, find_record, f, &err), &err);
	return f;
}

static inline bool
ends_transaction(const struct wal_record_info *r)
{
	return r->kind >= WAL_RECORD_COMMIT && r->kind <= WAL_RECORD_ABORT_PREPARED;
}

#endif
