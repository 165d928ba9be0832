/* What the agent ships next: the server's order, whoever waits first, and nothing of a timeline before its history. */
#include "check.h"

#include "agent/queue.h"
#include "base/scope.h"

struct fixture {
	struct queue q;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = {0};

	assert_non_null(f);
	must(queue_init(&f->q, &err), &err);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	queue_clear(&f->q);
	free(f);
	return 0;
}

static struct queue_entry *
add(struct queue *q, const char *name)
{
	struct queue_entry *e = NULL;
	struct err err = {0};

	must(queue_add(q, name, &e, &err), &err);
	assert_string_equal(e->text, name);
	return e;
}

static const char *
next(const struct queue *q)
{
	const struct queue_entry *e = queue_next(q, 0, true);

	return e != NULL ? e->text : "";
}

static void
history_files_go_first_then_names_in_order(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"000000020000000000000003", "000000010000000000000002.partial",
	    "000000010000000000000001", "00000003.history", "000000010000000000000001.00000028.backup", "00000002.history"};
	static const char *const order[] = {"00000002.history", "00000003.history", "000000010000000000000001",
	    "000000010000000000000001.00000028.backup", "000000010000000000000002.partial", "000000020000000000000003"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)add(&f->q, names[i]);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		assert_string_equal(next(&f->q), order[i]);
		queue_remove(&f->q, queue_find(&f->q, order[i]));
	}
	assert_string_equal(next(&f->q), "");
}

static void
a_name_is_held_once(void **state)
{
	struct fixture *f = *state;

	assert_ptr_equal(add(&f->q, "000000010000000000000001"), add(&f->q, "000000010000000000000001"));
	assert_int_equal(f->q.n, 1);
}

static void
what_is_no_name_of_wal_is_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"", "x", "../../../etc/passwd", "00000001000000000000000",
	    "0000000100000000000000012", "000000000000000000000001", "000000010000000000000001.done"};
	struct queue_entry *e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(queue_add(&f->q, bad[i], &e, NULL), ERR_CONFIG);
		assert_null(queue_find(&f->q, bad[i]));
	}
	assert_int_equal(f->q.n, 0);
}

static void
who_waits_goes_before_the_others(void **state)
{
	struct fixture *f = *state;

	(void)add(&f->q, "000000010000000000000001");
	add(&f->q, "000000010000000000000009")->asked = true;
	assert_string_equal(next(&f->q), "000000010000000000000009");
}

static void
nothing_of_a_timeline_goes_before_its_history_is_durable(void **state)
{
	struct fixture *f = *state;
	struct queue_entry *history = add(&f->q, "00000002.history");
	struct queue_entry *segment = add(&f->q, "000000020000000000000005");

	(void)add(&f->q, "000000030000000000000005"); /* its history was archived long ago */
	segment->asked = true;
	history->state = QUEUE_SHIPPING;
	assert_string_equal(next(&f->q), "000000030000000000000005");
	history->state = QUEUE_FAILED;
	history->retry_ms = 1000;
	assert_string_equal(next(&f->q), "000000030000000000000005");
	history->state = QUEUE_DURABLE;
	assert_string_equal(next(&f->q), "000000020000000000000005");
}

static void
what_failed_comes_again_when_its_time_has_come(void **state)
{
	struct fixture *f = *state;
	struct queue_entry *e = add(&f->q, "000000010000000000000001");

	assert_true(queue_wakes_ms(&f->q) == INT64_MAX);
	e->state = QUEUE_FAILED;
	e->retry_ms = 1000;
	assert_null(queue_next(&f->q, 999, true));
	assert_int_equal(queue_wakes_ms(&f->q), 1000);
	assert_ptr_equal(queue_next(&f->q, 1000, true), e);
	e->lacking = true; /* those that are up have it: nothing to do before another is */
	assert_null(queue_next(&f->q, 1000, false));
	assert_true(queue_wakes_ms(&f->q) == INT64_MAX);
	assert_ptr_equal(queue_next(&f->q, 1000, true), e);
}

static void
what_its_history_holds_back_wakes_nobody(void **state)
{
	struct fixture *f = *state;
	struct queue_entry *e = add(&f->q, "000000020000000000000001"), *history = add(&f->q, "00000002.history");

	e->state = QUEUE_FAILED;
	e->retry_ms = 1000;
	history->state = QUEUE_FAILED;
	history->retry_ms = 5000;
	assert_null(queue_next(&f->q, 1000, true));
	assert_int_equal(queue_wakes_ms(&f->q), 5000);
	history->state = QUEUE_DURABLE;
	assert_int_equal(queue_wakes_ms(&f->q), 1000);
	assert_ptr_equal(queue_next(&f->q, 1000, true), e);
}

static void
what_ships_or_is_durable_is_not_given_out(void **state)
{
	struct fixture *f = *state;

	add(&f->q, "000000010000000000000001")->state = QUEUE_SHIPPING;
	add(&f->q, "000000010000000000000002")->state = QUEUE_DURABLE;
	assert_null(queue_next(&f->q, INT64_MAX, true));
}

static void
fill(struct queue *q, unsigned first)
{
	char name[WAL_NAME_MAX];

	for (unsigned i = 0; i < QUEUE_MAX; i++) {
		wal_segment_name(name, 1, first + i, 16 << 20);
		(void)add(q, name);
	}
	assert_int_equal(q->n, QUEUE_MAX);
	assert_false(q->more);
}

static void
a_full_queue_keeps_what_comes_first(void **state)
{
	struct fixture *f = *state;
	struct queue_entry *e;

	fill(&f->q, 100);
	assert_int_equal(queue_add(&f->q, "000000010000009900000001", &e, NULL), ERR_RETRY);
	assert_true(f->q.more);
	f->q.more = false;
	(void)add(&f->q, "000000010000000000000001");
	assert_true(f->q.more); /* the last one made room */
	assert_int_equal(f->q.n, QUEUE_MAX);
	assert_string_equal(next(&f->q), "000000010000000000000001");
}

static void
room_is_not_made_of_what_is_worked_on(void **state)
{
	struct fixture *f = *state;
	struct queue_entry *e;

	fill(&f->q, 100);
	for (size_t i = 0; i < f->q.n; i++) {
		f->q.list[i]->state = QUEUE_SHIPPING;
		f->q.list[i]->asked = i % 2 == 0;
	}
	assert_int_equal(queue_add(&f->q, "000000010000000000000001", &e, NULL), ERR_RETRY);
	assert_int_equal(f->q.n, QUEUE_MAX);
	assert_true(f->q.more);
}

/* All of a backlog goes through a queue that is smaller, whoever fails on the way. */
static void
what_is_durable_in_front_can_be_passed_and_comes_no_more(void **state)
{
	struct fixture *f = *state;
	struct queue_entry *e;

	add(&f->q, "00000002.history")->state = QUEUE_DURABLE;
	for (unsigned i = 0; i < 10; i++) {
		char name[WAL_NAME_MAX];

		wal_segment_name(name, 1, 10 + i, 16 << 20);
		add(&f->q, name)->state = i == 3 ? QUEUE_FAILED : i == 7 ? QUEUE_SHIPPING : QUEUE_DURABLE;
	}
	queue_find(&f->q, "00000001000000000000000B")->asked = true;
	queue_pass(&f->q);
	assert_int_equal(f->q.n, 6); /* the history, B and D, and from the one that is shipping on all */
	assert_non_null(queue_find(&f->q, "00000002.history"));
	assert_non_null(queue_find(&f->q, "00000001000000000000000D"));
	assert_null(queue_find(&f->q, "00000001000000000000000A"));
	assert_int_equal(queue_add(&f->q, "00000001000000000000000A", &e, NULL), ERR_EXISTS);
	assert_int_equal(queue_add(&f->q, "000000010000000000000010", &e, NULL), ERR_EXISTS);
	assert_ptr_equal(add(&f->q, "00000001000000000000000D"), queue_find(&f->q, "00000001000000000000000D"));
	(void)add(&f->q, "000000010000000000000014");
	(void)add(&f->q, "00000003.history");
	queue_pass(&f->q); /* nothing more: one is still shipping */
	assert_int_equal(f->q.n, 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(history_files_go_first_then_names_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_name_is_held_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_no_name_of_wal_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(who_waits_goes_before_the_others, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_of_a_timeline_goes_before_its_history_is_durable, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_failed_comes_again_when_its_time_has_come, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_its_history_holds_back_wakes_nobody, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_ships_or_is_durable_is_not_given_out, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_full_queue_keeps_what_comes_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(room_is_not_made_of_what_is_worked_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_durable_in_front_can_be_passed_and_comes_no_more, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
