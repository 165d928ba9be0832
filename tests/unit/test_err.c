/* Errors as values: cut at their buffers' ends, never overrun, and the kind decides. */
#include "check.h"

#include <errno.h>

static void
an_error_says_kind_object_and_cause(void **state)
{
	struct err err = {.hint = "old"};

	(void)state;
	assert_int_equal(err_set(&err, ERR_IO, EACCES, "open '%s'", "x"), ERR_IO);
	assert_string_equal(err.msg, "open 'x': Permission denied");
	assert_int_equal(err.sys, EACCES);
	assert_string_equal(err.hint, "");
	assert_int_equal(err_wrap(&err, "archive %d", 7), ERR_IO);
	assert_string_equal(err.msg, "archive 7: open 'x': Permission denied");
	assert_int_equal(err_hint(&err, "first"), ERR_IO);
	assert_int_equal(err_hint(&err, "second"), ERR_IO);
	assert_string_equal(err.hint, "first");
	assert_int_equal(err_set(&err, ERR_IO, ENOSPC, "w"), ERR_NOSPACE);
	assert_int_equal(err.kind, ERR_NOSPACE);
	assert_int_equal(err_set(&err, ERR_IO, EDQUOT, "w"), ERR_NOSPACE);
	assert_int_equal(err_set(&err, ERR_CONFIG, ENOSPC, "w"), ERR_CONFIG);
	assert_int_equal(err_set(NULL, ERR_IO, ENOSPC, "w"), ERR_NOSPACE);
	assert_int_equal(err_wrap(NULL, "w"), ERR_BUG);
	assert_int_equal(err_hint(NULL, "w"), ERR_BUG);
}

static void
long_messages_are_cut_with_their_nul(void **state)
{
	FREE_AUTO char *longer = malloc(5000);
	struct err err = {0};

	(void)state;
	memset(longer, 'm', 4999);
	longer[4999] = '\0';
	(void)err_set(&err, ERR_IO, ENOENT, "%s", longer);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	(void)err_wrap(&err, "%s", longer);
	assert_true(strlen(err.msg) < sizeof(err.msg));
	(void)err_hint(&err, "%s", longer);
	assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
	(void)err_set(&err, ERR_IO, ENOENT, "%.*s", 1020, longer);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	for (int i = 0; i < 10; i++)
		(void)err_wrap(&err, "%.*s", 200, longer);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void
every_kind_has_a_word(void **state)
{
	(void)state;
	assert_string_equal(err_kind_name(0), "ok");
	assert_string_equal(err_kind_name(ERR_NOT_FOUND), "not-found");
	assert_string_equal(err_kind_name(ERR_BUG), "bug");
	assert_string_equal(err_kind_name(ERR_BUG - 1), "unknown");
	assert_string_equal(err_kind_name(1), "unknown");
	assert_string_equal(err_kind_name(INT32_MIN), "unknown");
}

static void
every_kind_has_a_remedy_and_a_hint_is_a_better_one(void **state)
{
	struct err err = {0};

	(void)state;
	for (int kind = ERR_NOT_FOUND; kind >= ERR_BUG; kind--) {
		(void)err_set(&err, kind, 0, "x");
		assert_true(strlen(err_remedy(&err)) > 10);
		(void)err_hint(&err, "do this");
		assert_string_equal(err_remedy(&err), "do this");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_error_says_kind_object_and_cause),
	    cmocka_unit_test(long_messages_are_cut_with_their_nul),
	    cmocka_unit_test(every_kind_has_a_word),
	    cmocka_unit_test(every_kind_has_a_remedy_and_a_hint_is_a_better_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
