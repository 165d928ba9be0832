/* How far WAL has come for sure: never past what is not durable, never backwards, never at what nobody holds. */
#include "check.h"

#include "agent/mark.h"
#include "base/scope.h"

#define MB (UINT64_C(1) << 20)
#define SYSTEM 7

struct row {
	const char *names[4];
	char states[5]; /* d: durable, f: failed, w: waiting, g: given up, held by nobody */
	lsn_t want;     /* 0: nothing moves */
	timeline_t timeline;
};

static const enum queue_state STATES[] = {
    ['d'] = QUEUE_DURABLE, ['g'] = QUEUE_DURABLE, ['f'] = QUEUE_FAILED, ['w'] = QUEUE_WAITING, ['s'] = QUEUE_SHIPPING};

static void
look(struct mark *m, const struct row *r, uint64_t sysid)
{
	struct queue q;
	struct err err = {0};

	must(queue_init(&q, &err), &err);
	for (size_t i = 0; r->states[i] != '\0'; i++) {
		struct queue_entry *e;

		must(queue_add(&q, r->names[i], &e, &err), &err);
		e->state = STATES[(unsigned char)r->states[i]];
		e->sysid = sysid;
		e->file.size = MB;
		e->holders = r->states[i] == 'g' ? 0 : 2;
	}
	mark_look(m, &q);
	queue_clear(&q);
}

static const struct row ROWS[] = {
    {{"000000010000000000000005"}, "d", 6 * MB, 1},
    {{"000000010000000000000005", "000000010000000000000006"}, "wd", 0, 0},
    {{"000000010000000000000005", "000000010000000000000006"}, "fd", 0, 0},
    {{"000000010000000000000005", "000000010000000000000006"}, "sd", 0, 0},
    {{"000000010000000000000005", "000000010000000000000006"}, "dd", 7 * MB, 1},
    {{"000000010000000000000005", "000000010000000000000006", "000000010000000000000007"}, "dfd", 6 * MB, 1},
    {{"000000010000000000000005"}, "g", 0, 0},
    {{"000000010000000000000005", "000000010000000000000006"}, "dg", 6 * MB, 1},
    {{"00000002.history"}, "d", 0, 0},
    {{"000000010000000000000005.partial"}, "d", 0, 0},
    {{"000000010000000000000005", "000000020000000000000005"}, "fd", 6 * MB, 2},
    {{"000000010000000000000005", "000000020000000000000004"}, "df", 6 * MB, 1},
    /* below the fork as far as can be seen: no recovery gets past it to the timeline behind */
    {{"000000010000000000000005", "000000020000000000000006"}, "fd", 0, 0},
    {{"000000010000000000000005", "000000020000000000000006"}, "wd", 0, 0},
    {{"000000010000000000000005", "000000020000000000000006"}, "sd", 0, 0},
    {{"0000000100000001000000FE", "000000020000000200000003"}, "fd", 0, 0},
    {{"000000010000000000000004", "000000010000000000000005", "000000020000000000000006"}, "dfd", 5 * MB, 1},
    {{"000000010000000000000005", "000000020000000000000006", "000000030000000000000007"}, "dfd", 6 * MB, 1},
    {{"000000010000000000000005", "000000020000000000000006", "000000030000000000000007"}, "fdd", 0, 0},
    /* behind the fork: the other timeline began before it */
    {{"000000010000000000000006", "000000020000000000000005", "000000020000000000000006"}, "fdd", 7 * MB, 2},
    {{"000000010000000000000005", "000000020000000000000007", "000000030000000000000005"}, "fdd", 6 * MB, 3},
};

static void
it_is_the_end_of_what_is_durable_without_a_hole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
		struct mark m = {0};

		look(&m, &ROWS[i], SYSTEM);
		assert_int_equal(m.end, ROWS[i].want);
		assert_int_equal(m.timeline, ROWS[i].timeline);
		assert_int_equal(mark_is_due(&m, 0), ROWS[i].want != 0);
	}
}

static void
it_never_goes_back_but_for_another_system(void **state)
{
	const struct row newer = {{"000000020000000000000009"}, "d", 0, 0}, older = {{"000000010000000000000005"}, "d", 0, 0};
	struct mark m = {0};

	(void)state;
	look(&m, &newer, SYSTEM);
	m.moved = false;
	look(&m, &older, SYSTEM);
	assert_false(m.moved);
	assert_int_equal(m.end, 10 * MB);
	look(&m, &older, SYSTEM + 1);
	assert_true(m.moved);
	assert_int_equal(m.end, 6 * MB);
}

static void
one_record_at_a_time_and_not_before_its_minute(void **state)
{
	struct mark m = {.moved = true, .due_ms = 50};

	(void)state;
	assert_false(mark_is_due(&m, 49));
	assert_true(mark_is_due(&m, 50));
	assert_int_equal(mark_wakes_ms(&m), 50);
	m.busy = true;
	assert_false(mark_is_due(&m, 50));
	m = (struct mark){0};
	assert_false(mark_is_due(&m, 50));
	assert_int_equal(mark_wakes_ms(&m), INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_the_end_of_what_is_durable_without_a_hole),
	    cmocka_unit_test(it_never_goes_back_but_for_another_system),
	    cmocka_unit_test(one_record_at_a_time_and_not_before_its_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
