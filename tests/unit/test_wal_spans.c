/* Numbers of segments as stretches, against a plain array of masks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "repo/wal_spans.h"

#define NUMBERS 64

static void
add_all(struct wal_spans *s, const uint64_t *list, size_t n, uint32_t mask)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(wal_spans_add(s, list[i], mask, NULL), 0);
}

/* In order, nothing twice, neighbours that could be one are one; and the masks are these. */
static void
expect(const struct wal_spans *s, const uint32_t *masks)
{
	uint64_t count = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct wal_span *x = &s->list[i], *before = i > 0 ? x - 1 : NULL;

		assert_true(x->n > 0 && x->mask != 0);
		if (before != NULL)
			assert_true(x->first > wal_span_last(before) + (before->mask == x->mask));
	}
	for (uint64_t at = 0; at < NUMBERS; at++) {
		size_t k = wal_spans_from(s, at);

		count += masks[at] != 0;
		assert_int_equal(wal_spans_mask(s, at), masks[at]);
		if (k < s->n)
			assert_true(wal_span_last(&s->list[k]) >= at && (k == 0 || wal_span_last(&s->list[k - 1]) < at));
		else
			assert_true(s->n == 0 || wal_span_last(&s->list[s->n - 1]) < at);
	}
	assert_int_equal(wal_spans_count(s), count);
}

static void
nothing_has_nobody(void **state)
{
	SCOPE(wal_spans_free) struct wal_spans s = {0}, from = {0};
	const uint32_t none[NUMBERS] = {0};

	(void)state;
	expect(&s, none);
	assert_int_equal(wal_spans_unite(&s, &from, NULL), 0);
	expect(&s, none);
}

static void
a_million_in_a_row_are_one_stretch(void **state)
{
	SCOPE(wal_spans_free) struct wal_spans s = {0}, from = {0};

	(void)state;
	for (uint64_t i = 0; i < 1000000; i++)
		assert_int_equal(wal_spans_add(&from, i + 77, 1, NULL), 0);
	assert_int_equal(from.n, 1);
	assert_int_equal(wal_spans_unite(&s, &from, NULL), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(from.n, 0);
	assert_int_equal(wal_spans_count(&s), 1000000);
	assert_int_equal(wal_spans_mask(&s, 76), 0);
	assert_int_equal(wal_spans_mask(&s, 1000076), 1);
	assert_int_equal(wal_spans_mask(&s, 1000077), 0);
	assert_int_equal(wal_spans_mask(&s, UINT64_MAX), 0);
}

/* A store that lists in another order, or one name twice, changes nothing. */
static void
order_and_repetition_do_not_matter(void **state)
{
	static const uint64_t list[] = {9, 3, 4, 4, 5, 20, 2, 9, 10, 3};
	SCOPE(wal_spans_free) struct wal_spans s = {0}, from = {0};
	uint32_t masks[NUMBERS] = {0};

	(void)state;
	add_all(&from, list, ARRAY_LEN(list), 4);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		masks[list[i]] = 4;
	assert_int_equal(wal_spans_unite(&s, &from, NULL), 0);
	expect(&s, masks);
	assert_int_equal(s.n, 3);
}

static void
every_repository_keeps_its_own(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		SCOPE(wal_spans_free) struct wal_spans s = {0};
		uint32_t masks[NUMBERS] = {0};

		srand(round);
		for (uint32_t r = 0; r < 4; r++) {
			SCOPE(wal_spans_free) struct wal_spans from = {0};
			int density = rand() % 4;

			for (uint64_t at = 0; at < NUMBERS; at++) {
				if (rand() % 4 > density)
					continue;
				assert_int_equal(wal_spans_add(&from, at, UINT32_C(1) << r, NULL), 0);
				masks[at] |= UINT32_C(1) << r;
			}
			assert_int_equal(wal_spans_unite(&s, &from, NULL), 0);
			expect(&s, masks);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_has_nobody),
	    cmocka_unit_test(a_million_in_a_row_are_one_stretch),
	    cmocka_unit_test(order_and_repetition_do_not_matter),
	    cmocka_unit_test(every_repository_keeps_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
