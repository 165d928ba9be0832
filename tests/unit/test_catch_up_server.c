/* Segments that come from the server instead of another repository: exactly what was archived, or nothing. */
#include "catch_up_fixture.h"

#include "ops/catch_up_server.h"
#include "ops/gap.h"

/* The server's side of a round. */
static int
ask_server(const char *file_name, const uint8_t content_id[CONTENT_ID], void *arg, struct err *err)
{
	struct lagging *l = arg;
	struct catch_up_server s = {.op = &l->w.op, .writer = l->writer, .target = l->target};

	return catch_up_server_segment(&s, file_name, content_id, err);
}

/* One segment is gone from pg_wal, and one is another file than what was archived. */
static void
what_the_server_still_has_is_taken_from_it(void **state)
{
	struct lagging l;
	struct catch_up_result r;
	struct err err = {0};

	(void)state;
	lagging_open(&l, 2);
	synthesize(&l, "a", &(struct wal_name){.timeline = 1, .seg = 13}, "not what the server has");
	(void)world_wal_file(&l.w, "00000001000000000000000D");
	assert_int_equal(unlink(world_path(&l.w, "pgdata/pg_wal/00000001000000000000000A")), 0);
	world_flip(world_path(&l.w, "pgdata/pg_wal/00000001000000000000000B"), 9000);

	mood_set(l.target, MOOD_PUT, ERR_NOSPACE, 2); /* a history, a key */
	must_fail(run_round(&l, &(struct catch_up_round){.from_server = ask_server}, &r, &err), ERR_NOSPACE, &err, "full");
	assert_int_equal(r.troubles, 0);
	mood_set(l.target, MOOD_PUT, 0, 0);

	r = must_round(&l, &(struct catch_up_round){.from_server = ask_server});
	assert_int_equal(r.from_server, 3); /* 9, C, and the other timeline's 13 */
	assert_int_equal(r.copied, LAGGING_OBJECTS - 1 - 3 + 1);
	assert_int_equal(r.troubles, 0);
	must_be_level(&r);
	must_read_all(&l, "b");
	must_be_the_same(&l);
	lagging_close(&l);
}

/*
 * A damaged segment was given up everywhere; then a standby's good copy was archived to a, while b was away. The server still
 * has the damaged one, of which archiving says 0 since nothing more is wanted of it; b lacks the good one all the same.
 */
static void
a_file_that_was_given_up_does_not_count_as_the_good_copy(void **state)
{
	struct gap_options o = {.segment = "00000001000000000000000B", .reason = "disk 3 returned zeros"};
	struct gap_result gap;
	struct lagging l;
	struct catch_up_result r;
	struct err err = {0};

	(void)state;
	lagging_open(&l, 2);
	l.writer = world_writer(&l.w);
	world_flip(world_path(&l.w, "pgdata/pg_wal/00000001000000000000000B"), 8192 + 8); /* a page's address */
	must(gap_record(&l.w.op, &o, &gap, &err), &err);
	assert_int_equal(gap.stored, 2);
	r = must_round(&l, &(struct catch_up_round){.from_server = ask_server});
	assert_int_equal(r.troubles, 0);
	must_be_level(&r);
	assert_true(has(&l, "b", "00000001000000000000000B"));
	must_be_the_same(&l);
	lagging_close(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_the_server_still_has_is_taken_from_it),
	    cmocka_unit_test(a_file_that_was_given_up_does_not_count_as_the_good_copy),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
