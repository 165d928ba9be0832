/*
 * Any numbers of segments in any order, repository after repository, and any names of indexes over them: the stretches that
 * come of it are in order and hold exactly those segments, and what is looked up is what a search through all of them finds.
 */
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "repo/wal_indexes.h"
#include "repo/wal_spans.h"

#define SEGMENTS 512 /* over the edge of two rows */
#define FIRST (WAL_INDEX_SEGMENTS - SEGMENTS / 2)
#define REPOSITORIES 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

struct picture {
	uint32_t mask[SEGMENTS]; /* who has it */
	struct wal_spans spans;
	struct wal_indexes indexes;
};

static void
expect_spans(const struct picture *p)
{
	const struct wal_spans *s = &p->spans;
	uint64_t count = 0;

	for (size_t i = 0; i < s->n; i++) {
		must(s->list[i].n > 0 && s->list[i].mask != 0);
		must(i == 0 || s->list[i].first > wal_span_last(&s->list[i - 1]));
		must(i == 0 || s->list[i].first > wal_span_last(&s->list[i - 1]) + 1 || s->list[i].mask != s->list[i - 1].mask);
	}
	for (uint64_t k = 0; k < SEGMENTS; k++) {
		size_t at = wal_spans_from(s, FIRST + k);

		count += p->mask[k] != 0;
		must(wal_spans_mask(s, FIRST + k) == p->mask[k]);
		must(at == s->n || wal_span_last(&s->list[at]) >= FIRST + k);
		must(at == 0 || wal_span_last(&s->list[at - 1]) < FIRST + k);
	}
	must(wal_spans_count(s) == count);
}

/* By going through all of them. */
static const struct wal_index_entry *
longest_from(const struct wal_indexes *x, uint32_t repository, uint64_t first, uint64_t last)
{
	const struct wal_index_entry *best = NULL;

	for (size_t i = 0; i < x->n; i++) {
		const struct wal_index_entry *e = &x->list[i];

		if (e->repository == repository && e->first == first && first + e->n - 1 <= last && !e->passed_over &&
		    (best == NULL || e->n > best->n))
			best = e;
	}
	return best;
}

static bool
any_over(const struct wal_indexes *x, uint32_t repository, uint64_t segno)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct wal_index_entry *e = &x->list[i];

		if (e->repository == repository && !e->passed_over && e->first <= segno && segno < e->first + e->n)
			return true;
	}
	return false;
}

static void
expect_indexes(const struct picture *p, uint64_t reach)
{
	const struct wal_indexes *x = &p->indexes;

	for (uint32_t r = 0; r < REPOSITORIES; r++) {
		for (uint64_t segno = FIRST; segno < FIRST + SEGMENTS; segno++) {
			const struct wal_index_entry *from = wal_indexes_from(x, r, segno, segno + reach),
						     *want = longest_from(x, r, segno, segno + reach),
						     *over = wal_indexes_over(x, r, segno);

			must((from == NULL) == (want == NULL) && (from == NULL || from->n == want->n));
			must((over != NULL) == any_over(x, r, segno));
			must(over == NULL || (over->repository == r && !over->passed_over && over->first <= segno &&
						 segno - over->first < over->n));
		}
	}
}

/* Two bytes name a segment, two more how many an index has; none crosses a row, as its name says. */
static void
add_index(struct picture *p, const uint8_t in[5])
{
	uint64_t first = FIRST + (uint64_t)(in[0] | in[1] << 8) % SEGMENTS,
		 room = WAL_INDEX_SEGMENTS - first % WAL_INDEX_SEGMENTS;
	const struct wal_index_name name = {1, first, (uint32_t)(1 + (uint64_t)(in[2] | in[3] << 8) % room)};

	must(wal_indexes_add(&p->indexes, in[4] % REPOSITORIES, &name, NULL) == 0);
}

/* Some that follow one another, as a listing mostly has them. */
static void
add_segments(struct picture *p, struct wal_spans *listed, const uint8_t in[3], uint32_t bit)
{
	for (uint64_t i = 0; i < in[2] % 32U; i++) {
		uint64_t k = ((uint64_t)(in[0] | in[1] << 8) + i) % SEGMENTS;

		p->mask[k] |= bit;
		must(wal_spans_add(listed, FIRST + k, bit, NULL) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct picture p = {0};
	struct wal_spans listed = {0};
	uint64_t reach = size > 0 ? data[0] : 0;
	uint32_t repository = 0;

	for (size_t i = 1; i + 6 <= size && i < 6000; i += 6) {
		switch (data[i] % 4) {
		case 0: /* the next repository's listing */
			must(wal_spans_unite(&p.spans, &listed, NULL) == 0 && listed.n == 0);
			repository = (repository + 1) % REPOSITORIES;
			break;
		case 1:
			add_index(&p, data + i + 1);
			break;
		default:
			add_segments(&p, &listed, data + i + 1, UINT32_C(1) << repository);
		}
	}
	must(wal_spans_unite(&p.spans, &listed, NULL) == 0);
	wal_indexes_sort(&p.indexes);
	for (size_t i = 0; i < p.indexes.n; i += 3)
		p.indexes.list[i].passed_over = i < size && data[i] % 2 == 1;
	expect_spans(&p);
	expect_indexes(&p, reach);
	wal_spans_free(&p.spans);
	wal_indexes_free(&p.indexes);
	return 0;
}
