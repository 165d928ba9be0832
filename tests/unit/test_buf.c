#include "check.h"

#include "base/buf.h"

static void
bytes_pile_up_with_a_nul_behind_them(void **state)
{
	BUF_AUTO struct buf b = {0};
	struct err err = {0};

	(void)state;
	assert_string_equal(buf_text(&b), "");
	must(buf_append(&b, NULL, 0, &err), &err);
	assert_string_equal(buf_text(&b), "");
	for (int i = 0; i < 1000; i++)
		must(buf_append(&b, "abc", 3, &err), &err);
	assert_int_equal(b.len, 3000);
	assert_int_equal(b.data[3000], 0);
	must(buf_printf(&b, &err, "%s-%d", "x", 42), &err);
	assert_string_equal(buf_text(&b) + 3000, "x-42");
	buf_reset(&b);
	assert_string_equal(buf_text(&b), "");
	assert_true(b.cap > 3000);
	must(buf_append(&b, "\0x", 2, &err), &err);
	assert_int_equal(b.len, 2);
}

static void
the_cap_holds_and_a_refusal_changes_nothing(void **state)
{
	BUF_AUTO struct buf b = {.max = 10};
	struct err err = {0};

	(void)state;
	must(buf_append(&b, "0123456789", 10, &err), &err);
	must_fail(buf_append(&b, "x", 1, &err), ERR_NOMEM, &err, "one more");
	must_fail(buf_printf(&b, &err, "%d", 1), ERR_NOMEM, &err, "printf");
	must_fail(buf_reserve(&b, SIZE_MAX, &err), ERR_NOMEM, &err, "overflow");
	must_fail(buf_reserve(&b, SIZE_MAX - 5, &err), ERR_NOMEM, &err, "overflow");
	assert_string_equal(buf_text(&b), "0123456789");
	buf_free(&b);
	assert_int_equal(b.max, 10);
	must_fail(buf_reserve(&b, 11, &err), ERR_NOMEM, &err, "the cap outlives free");
	b.max = 0;
	must_fail(buf_reserve(&b, BUF_MAX_DEFAULT + 1, &err), ERR_NOMEM, &err, "default");
	must(buf_reserve(&b, 0, &err), &err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_pile_up_with_a_nul_behind_them),
	    cmocka_unit_test(the_cap_holds_and_a_refusal_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
