/* Tables for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/table.h"

static const struct table_column columns[] = {{"NAME", TABLE_LEFT}, {"SIZE", TABLE_RIGHT}, {"NOTE", TABLE_LEFT}};

static void
printed(const char *const *cells, size_t n, int want_rc, const char *want)
{
	TABLE_AUTO struct table *t = NULL;
	BUF_AUTO struct buf out = {0};
	struct err err = {0};

	assert_int_equal(table_new(&t, columns, ARRAY_LEN(columns), &err), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(table_cell(t, &err, "%s", cells[i]), 0);
	assert_int_equal(table_print(t, &out, &err), want_rc);
	assert_string_equal(buf_text(&out), want);
}

static void
columns_are_as_wide_as_their_widest_cell(void **state)
{
	static const char *const cells[] = {"a", "1", "", "longer", "1234567", "x"};

	(void)state;
	printed(NULL, 0, 0, "NAME  SIZE  NOTE\n");
	printed(cells, 6, 0, "NAME       SIZE  NOTE\na             1  \nlonger  1234567  x\n");
}

static void
a_row_that_is_not_full_is_a_bug(void **state)
{
	static const char *const cells[] = {"a", "1", "x", "b", "2"};

	(void)state;
	printed(cells, 5, ERR_BUG, "");
	printed(cells, 1, ERR_BUG, "");
}

static void
a_name_from_outside_cannot_steer_the_terminal(void **state)
{
	static const char *const cells[] = {"\033[2J", "1\n2",
	    "a\xc2\x9b"
	    "b\x7f"};

	(void)state;
	printed(cells, 3, 0, "NAME  SIZE  NOTE\n?[2J   1?2  a??b?\n");
}

static void
a_letter_of_two_bytes_is_one_wide(void **state)
{
	static const char *const cells[] = {"caf\xc3\xa9s", "1", "x"};

	(void)state;
	printed(cells, 3, 0, "NAME   SIZE  NOTE\ncaf\xc3\xa9s     1  x\n");
}

static void
a_cell_without_end_is_refused(void **state)
{
	TABLE_AUTO struct table *t = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(table_new(&t, columns, ARRAY_LEN(columns), &err), 0);
	assert_int_equal(table_cell(t, &err, "%511d", 1), 0);
	assert_int_equal(table_cell(t, &err, "%512d", 1), ERR_BUG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
	    cmocka_unit_test(a_row_that_is_not_full_is_a_bug),
	    cmocka_unit_test(a_name_from_outside_cannot_steer_the_terminal),
	    cmocka_unit_test(a_letter_of_two_bytes_is_one_wide),
	    cmocka_unit_test(a_cell_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
