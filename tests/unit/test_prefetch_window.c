/* Which segments a prefetcher begins, keeps and gives up. */
#include "check.h"

#include "ops/prefetch_window.h"

struct dropped {
	uint64_t list[PREFETCH_MOST];
	timeline_t timeline;
	size_t n;
};

static void
note_drop(void *arg, timeline_t timeline, uint64_t segno)
{
	struct dropped *d = arg;

	d->timeline = timeline;
	d->list[d->n++] = segno;
}

static void
wants_next(struct prefetch_window *w, timeline_t timeline, uint64_t segno, struct prefetch_piece *p)
{
	assert_true(prefetch_window_next(w, p));
	assert_int_equal(p->timeline, timeline);
	assert_int_equal(p->segno, segno);
}

static void
wants_none(struct prefetch_window *w)
{
	struct prefetch_piece p;

	assert_false(prefetch_window_next(w, &p));
}

static void
few_are_begun_at_first_and_never_more_than_fit(void **state)
{
	struct prefetch_window w;
	struct prefetch_piece p;
	struct dropped d = {.n = 0};
	uint64_t last = 10;

	(void)state;
	prefetch_window_init(&w, 1, 10, 7);
	for (size_t round = 0, width = PREFETCH_FIRST; round < 6; round++, width = width * 2 < 7 ? width * 2 : 7) {
		for (; last < 10 + round + width; last++) {
			wants_next(&w, 1, last + 1, &p);
			prefetch_window_done(&w, &p, true);
		}
		wants_none(&w);
		prefetch_window_delivered(&w, 1, 11 + round, note_drop, &d);
		assert_int_equal(d.n, round + 1);
		assert_int_equal(d.list[round], 11 + round);
	}
	prefetch_window_init(&w, 1, 10, 1);
	wants_next(&w, 1, 11, &p);
	wants_none(&w);
}

static void
what_cannot_be_had_is_tried_once_for_each_that_is_delivered(void **state)
{
	struct prefetch_window w;
	struct prefetch_piece a, b;
	struct dropped d = {.n = 0};

	(void)state;
	prefetch_window_init(&w, 1, 10, 8);
	wants_next(&w, 1, 11, &a);
	wants_next(&w, 1, 12, &b);
	prefetch_window_done(&w, &b, false);
	wants_none(&w);
	assert_false(prefetch_window_at_end(&w)); /* 11 is under way */
	prefetch_window_done(&w, &a, true);
	wants_none(&w);
	assert_false(prefetch_window_at_end(&w)); /* and ready */
	prefetch_window_delivered(&w, 1, 11, note_drop, &d);
	wants_next(&w, 1, 12, &b);
	wants_next(&w, 1, 13, &a);
	prefetch_window_done(&w, &a, true);
	prefetch_window_done(&w, &b, false);
	wants_none(&w);
	prefetch_window_delivered(&w, 1, 12, note_drop, &d); /* fetched directly: the hole is closed, and 13 kept */
	wants_next(&w, 1, 14, &b);
	prefetch_window_done(&w, &b, false);
	prefetch_window_delivered(&w, 1, 13, note_drop, &d);
	wants_next(&w, 1, 14, &b);
	prefetch_window_done(&w, &b, false);
	assert_true(prefetch_window_at_end(&w));
}

static void
a_jump_drops_what_is_ready_and_what_is_under_way(void **state)
{
	static const struct {
		timeline_t timeline;
		uint64_t segno;
	} jumps[] = {{2, 11}, {2, 13}, {1, 9}, {1, 0}, {1, 11 + PREFETCH_MOST}, {1, UINT64_MAX / 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
		struct prefetch_window w;
		struct prefetch_piece ready, busy, p;
		struct dropped d = {.n = 0};

		prefetch_window_init(&w, 1, 10, 8);
		wants_next(&w, 1, 11, &ready);
		wants_next(&w, 1, 12, &busy);
		prefetch_window_done(&w, &ready, true);
		prefetch_window_delivered(&w, jumps[i].timeline, jumps[i].segno, note_drop, &d);
		assert_int_equal(d.n, 1);
		assert_int_equal(d.list[0], 11);
		assert_int_equal(d.timeline, 1);
		assert_false(prefetch_window_wants(&w, &busy));
		prefetch_window_done(&w, &busy, true); /* leaves no trace */
		wants_next(&w, jumps[i].timeline, jumps[i].segno + 1, &p);
		wants_next(&w, jumps[i].timeline, jumps[i].segno + 2, &p);
		wants_none(&w); /* few again */
	}
}

static void
the_same_segment_again_is_no_jump(void **state)
{
	struct prefetch_window w;
	struct prefetch_piece p;
	struct dropped d = {.n = 0};

	(void)state;
	prefetch_window_init(&w, 1, 10, 8);
	wants_next(&w, 1, 11, &p);
	prefetch_window_done(&w, &p, true);
	prefetch_window_delivered(&w, 1, 10, note_drop, &d);
	assert_int_equal(d.n, 0);
	wants_next(&w, 1, 12, &p);
	wants_none(&w);
}

static void
what_is_fetched_without_us_is_not_begun(void **state)
{
	struct prefetch_window w;
	struct prefetch_piece p;

	(void)state;
	prefetch_window_init(&w, 1, 10, 8);
	prefetch_window_asked(&w, 1, 11);
	prefetch_window_asked(&w, 2, 12); /* of another timeline */
	prefetch_window_asked(&w, 1, 10);
	prefetch_window_asked(&w, 1, 11 + PREFETCH_MOST);
	wants_next(&w, 1, 12, &p);
	prefetch_window_asked(&w, 1, 12); /* too late: it goes on */
	prefetch_window_done(&w, &p, true);
	wants_none(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(few_are_begun_at_first_and_never_more_than_fit),
	    cmocka_unit_test(what_cannot_be_had_is_tried_once_for_each_that_is_delivered),
	    cmocka_unit_test(a_jump_drops_what_is_ready_and_what_is_under_way),
	    cmocka_unit_test(the_same_segment_again_is_no_jump),
	    cmocka_unit_test(what_is_fetched_without_us_is_not_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
