/* Another program's output, its end, and what happens when it does neither end nor exist. */
#include "check.h"

#include "base/clock.h"
#include "base/spawn.h"

static void
both_outputs_and_the_status_come_back(void **state)
{
	static const struct {
		const char *script, *out, *errors;
		int status;
	} rows[] = {
	    {"echo a; echo b >&2", "a\n", "b\n", 0}, {"exit 7", "", "", 7}, {"kill -9 $$", "", "", 128 + 9},
	    {"cat", "", "", 0}, /* nothing comes on standard input */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *argv[] = {"sh", "-c", rows[i].script, NULL};
		BUF_AUTO struct buf out = {.max = 100}, errors = {.max = 100};
		struct err err = {0};
		int status = -1;

		must(spawn_output(argv, 20000, &out, &errors, &status, &err), &err);
		assert_int_equal(status, rows[i].status);
		assert_string_equal(buf_text(&out), rows[i].out);
		assert_string_equal(buf_text(&errors), rows[i].errors);
	}
}

static void
a_program_that_is_not_there_is_not_found(void **state)
{
	const char *argv[] = {"/no/such/program", NULL};
	BUF_AUTO struct buf out = {.max = 100}, errors = {.max = 100};
	struct err err = {0};
	int status;

	(void)state;
	must_fail(spawn_output(argv, 20000, &out, &errors, &status, &err), ERR_NOT_FOUND, &err, "missing");
	assert_non_null(strstr(err.msg, "/no/such/program"));
}

static void
one_that_does_not_end_is_killed_at_the_limit(void **state)
{
	const char *argv[] = {"sh", "-c", "echo began; exec sleep 60", NULL};
	BUF_AUTO struct buf out = {.max = 100}, errors = {.max = 100};
	int64_t began = clock_monotonic_ms();
	struct err err = {0};
	int status;

	(void)state;
	must_fail(spawn_output(argv, 300, &out, &errors, &status, &err), ERR_RETRY, &err, "too long");
	assert_true(clock_monotonic_ms() - began < 30000);
	assert_int_equal(status, 128 + 9);
}

static void
more_than_there_is_room_for_is_an_error(void **state)
{
	const char *argv[] = {"sh", "-c", "head -c 100000 /dev/zero", NULL};
	BUF_AUTO struct buf out = {.max = 1000}, errors = {.max = 100};
	struct err err = {0};
	int status;

	(void)state;
	assert_true(spawn_output(argv, 20000, &out, &errors, &status, &err) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_outputs_and_the_status_come_back),
	    cmocka_unit_test(a_program_that_is_not_there_is_not_found),
	    cmocka_unit_test(one_that_does_not_end_is_killed_at_the_limit),
	    cmocka_unit_test(more_than_there_is_room_for_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
