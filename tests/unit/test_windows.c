/* Gaps that the names of segments show, over timelines that fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/windows.h"

#define SEGMENT ((uint32_t)1 << 20)
#define SEGMENTS_MAX 8

struct given_timeline {
	timeline_t timeline;
	timeline_t parent; /* 0: none */
	lsn_t fork;
	uint64_t segments[SEGMENTS_MAX];
	size_t n;
};

struct row {
	const char *what;
	struct given_timeline timelines[3];
	size_t n;
	struct {
		timeline_t timeline;
		uint64_t first, missing;
	} want[3];
	size_t n_want;
};

static const struct row rows[] = {
    {"nothing", {{1, 0, 0, {0}, 0}}, 1, {{0}}, 0},
    {"one segment", {{1, 0, 0, {7}, 1}}, 1, {{0}}, 0},
    {"a row of segments", {{1, 0, 0, {7, 8, 9}, 3}}, 1, {{0}}, 0},
    {"one missing", {{1, 0, 0, {7, 9}, 2}}, 1, {{1, 8, 1}}, 1},
    {"two holes", {{1, 0, 0, {7, 9, 13}, 3}}, 1, {{1, 8, 1}, {1, 10, 3}}, 2},
    {"a fork inside a segment, whole", {{1, 0, 0, {7, 8}, 2}, {2, 1, 9 * SEGMENT + 100, {9, 10}, 2}}, 2, {{0}}, 0},
    {"a fork at a segment's edge, whole", {{1, 0, 0, {7, 8}, 2}, {2, 1, 9 * SEGMENT, {9}, 1}}, 2, {{0}}, 0},
    {"the older timeline went on", {{1, 0, 0, {7, 8, 9, 10}, 4}, {2, 1, 9 * SEGMENT + 1, {9}, 1}}, 2, {{0}}, 0},
    {"the end of the older timeline is missing", {{1, 0, 0, {6, 7}, 2}, {2, 1, 9 * SEGMENT + 100, {9}, 1}}, 2, {{1, 8, 1}}, 1},
    {"the beginning of the newer is missing", {{1, 0, 0, {7, 8}, 2}, {2, 1, 9 * SEGMENT + 100, {11}, 1}}, 2, {{2, 9, 2}}, 1},
    {"the older was expired", {{2, 1, 9 * SEGMENT + 100, {20, 21}, 2}}, 1, {{0}}, 0},
    {"the older begins behind the fork", {{1, 0, 0, {15}, 1}, {2, 1, 9 * SEGMENT + 100, {20}, 1}}, 2, {{0}}, 0},
    {"a newer timeline without segments", {{1, 0, 0, {7, 8}, 2}, {2, 1, 9 * SEGMENT, {0}, 0}}, 2, {{0}}, 0},
};

static struct wal_set *
make_set(const struct row *row)
{
	struct wal_set *set = calloc(1, sizeof(*set));

	assert_non_null(set);
	set->segment_size = SEGMENT;
	set->timelines = calloc(row->n, sizeof(*set->timelines));
	assert_non_null(set->timelines);
	set->n = row->n;
	for (size_t i = 0; i < row->n; i++) {
		const struct given_timeline *g = &row->timelines[i];
		struct wal_set_timeline *t = &set->timelines[i];

		*t = (struct wal_set_timeline){.timeline = g->timeline, .known = true};
		t->history.timeline = g->timeline;
		t->history.entries = calloc(1, sizeof(*t->history.entries));
		assert_non_null(t->history.entries);
		for (size_t k = 0; k < g->n; k++)
			assert_int_equal(wal_spans_add(&t->spans, g->segments[k], 1, NULL), 0);
		if (g->parent == 0)
			continue;
		t->history.entries[0] = (struct timeline_entry){g->parent, g->fork};
		t->history.n = 1;
	}
	return set;
}

static void
every_hole_is_named_once_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct wal_set *set = make_set(row);
		struct windows w = {0};
		struct err err;

		print_message("%s\n", row->what);
		assert_int_equal(windows_gaps(&w, set, &err), 0);
		assert_int_equal(windows_gaps(&w, set, &err), 0); /* again: nothing is told twice */
		assert_int_equal(w.n_gaps, row->n_want);
		for (size_t k = 0; k < w.n_gaps; k++) {
			char first[WAL_NAME_MAX], last[WAL_NAME_MAX];

			wal_segment_name(first, row->want[k].timeline, row->want[k].first, SEGMENT);
			wal_segment_name(last, row->want[k].timeline, row->want[k].first + row->want[k].missing - 1, SEGMENT);
			assert_string_equal(w.gaps[k].first, first);
			assert_string_equal(w.gaps[k].last, last);
			assert_int_equal(w.gaps[k].missing, row->want[k].missing);
			assert_int_equal(w.gaps[k].timeline, row->want[k].timeline);
		}
		windows_free(&w);
		wal_set_free(set);
	}
}

/* Segments 7, 8, 11, 13 are there; 9, 12, 14 and the healed 8 were given up. */
static void
a_segment_that_was_given_up_is_a_hole_of_its_own_and_a_good_copy_closes_it(void **state)
{
	static const struct row row = {"", {{1, 0, 0, {7, 8, 11, 13}, 4}}, 1, {{0}}, 0};
	static const uint64_t given_up[] = {9, 12, 14, 8};
	static const struct {
		uint64_t first, missing;
		bool recorded;
	} want[] = {{9, 1, true}, {10, 1, false}, {12, 1, true}, {14, 1, true}};
	struct wal_set *set = make_set(&row);
	struct windows w = {0};
	struct err err;

	(void)state;
	set->sysid = 7;
	set->gaps.list = calloc(ARRAY_LEN(given_up), sizeof(*set->gaps.list));
	assert_non_null(set->gaps.list);
	for (; set->gaps.n < ARRAY_LEN(given_up); set->gaps.n++) {
		struct gap_record *g = &set->gaps.list[set->gaps.n];
		char text[WAL_NAME_MAX];

		wal_segment_name(text, 1, given_up[set->gaps.n], SEGMENT);
		assert_true(wal_name_parse(text, &g->name));
		(void)snprintf(g->decision.reason, sizeof(g->decision.reason), "disk 3");
	}
	assert_int_equal(windows_gaps(&w, set, &err), 0);
	assert_int_equal(w.n_gaps, ARRAY_LEN(want));
	for (size_t i = 0; i < w.n_gaps; i++) {
		char first[WAL_NAME_MAX];

		wal_segment_name(first, 1, want[i].first, SEGMENT);
		assert_string_equal(w.gaps[i].first, first);
		assert_int_equal(w.gaps[i].missing, want[i].missing);
		assert_int_equal(w.gaps[i].recorded, want[i].recorded);
		assert_int_equal(w.gaps[i].sysid, 7);
		assert_int_equal(strstr(w.gaps[i].what, "disk 3") != NULL, want[i].recorded);
	}
	windows_free(&w);
	wal_set_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_hole_is_named_once_and_nothing_else),
	    cmocka_unit_test(a_segment_that_was_given_up_is_a_hole_of_its_own_and_a_good_copy_closes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
