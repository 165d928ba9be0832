#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "pg/timeline.h"

static int
parse(struct timeline_history *h, timeline_t tli, const char *text)
{
	return timeline_history_parse(h, tli, text, strlen(text), NULL);
}

static void
files_that_the_server_reads_are_read(void **state)
{
	static const struct {
		timeline_t tli;
		const char *text;
		size_t n;
	} rows[] = {
	    {1, "", 0},
	    {2, "1\t0/1315778\tno recovery target specified\n", 1},
	    {2, "1\t0/1315778", 1},
	    {2, "1 0/1315778 by hand\n", 1},
	    {2, "\n \t\n# a comment\n  # another\n1\t0/01315778\tzeros in front\r\n\n", 1},
	    {4, "1\t0/D00000\tx\n2\t0/B3C5A0\tbackwards\n3\t1/0\ty\n", 3},
	    {4294967295u, "1\tFFFFFFFF/FFFFFFFE\tx\n4294967294\t0/1\tx\n", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		TIMELINE_HISTORY_AUTO struct timeline_history h = {0};

		if (parse(&h, rows[i].tli, rows[i].text) != 0 || h.n != rows[i].n || h.timeline != rows[i].tli)
			fail_msg("row %zu", i);
	}
}

static void
anything_else_is_refused(void **state)
{
	static const struct {
		timeline_t tli;
		const char *text;
	} rows[] = {
	    {0, ""},
	    {2, "one\t0/1315778\n"},
	    {2, "1\n"},
	    {2, "1\t\n"},
	    {2, "1\t0/\n"},
	    {2, "1\t0/XYZ\treason\n"},
	    {2, "1\t0-1315778\n"},
	    {2, "1\t0/131577800\n"},
	    {2, "1\tFFFFFFFF/FFFFFFFF\tthe mark for no end\n"},
	    {2, "0\t0/1\n"},
	    {2, "-1\t0/1\n"},
	    {2, "4294967296\t0/1\n"},
	    {2, "2\t0/1\n"},
	    {2, "3\t0/1\n"},
	    {3, "1\t0/1\n1\t0/2\n"},
	    {4, "2\t0/1\n1\t0/2\n"},
	    {1, "1\t0/1\n"},
	    {2, "1\t0/1315778\tok\ngarbage\n"},
	};
	struct timeline_history h = {.timeline = 77};
	char longer[2000];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (parse(&h, rows[i].tli, rows[i].text) != ERR_CORRUPT)
			fail_msg("row %zu", i);
	}
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "1\t0/1\t", 6);
	assert_int_equal(timeline_history_parse(&h, 2, longer, sizeof(longer), NULL), ERR_CORRUPT);
	assert_int_equal(timeline_history_parse(&h, 2, "1\t0/1\0\n", 7, NULL), ERR_CORRUPT);
	assert_int_equal(timeline_history_parse(&h, 2, longer, TIMELINE_FILE_MAX + 1, NULL), ERR_CORRUPT);
	assert_int_equal(h.timeline, 77); /* untouched */
}

static void
a_position_lies_on_one_timeline_of_the_path(void **state)
{
	static const char plain[] = "1\t0/500\tx\n3\t0/900\tx\n", backwards[] = "1\t0/D00\tx\n2\t0/B00\tx\n";
	static const struct {
		const char *text;
		timeline_t tli;
		lsn_t lsn;
		timeline_t want;
	} rows[] = {
	    {"", 1, 0, 1},
	    {"", 1, UINT64_MAX, 1},
	    {plain, 4, 0, 1},
	    {plain, 4, 0x4FF, 1},
	    {plain, 4, 0x500, 3},
	    {plain, 4, 0x8FF, 3},
	    {plain, 4, 0x900, 4},
	    {plain, 4, UINT64_MAX - 1, 4},
	    {backwards, 3, 0xAFF, 1},
	    {backwards, 3, 0xB00, 3}, /* timeline 2 holds nothing of this path */
	    {backwards, 3, 0xC00, 3},
	    {backwards, 3, 0xD00, 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		TIMELINE_HISTORY_AUTO struct timeline_history h = {0};

		assert_int_equal(parse(&h, rows[i].tli, rows[i].text), 0);
		if (timeline_of_lsn(&h, rows[i].lsn) != rows[i].want)
			fail_msg("row %zu: %u", i, timeline_of_lsn(&h, rows[i].lsn));
		assert_true(timeline_history_covers(&h, rows[i].want, rows[i].lsn));
		assert_false(timeline_history_covers(&h, rows[i].want + 1, rows[i].lsn));
		assert_false(timeline_history_covers(&h, 2, rows[i].lsn));
	}
}

static void
a_timeline_ends_at_the_lowest_later_switch(void **state)
{
	TIMELINE_HISTORY_AUTO struct timeline_history h = {0};
	lsn_t end = 1;

	(void)state;
	assert_int_equal(parse(&h, 7, "1\t0/D00\tx\n2\t0/B00\tx\n5\t0/C00\tx\n"), 0);
	assert_true(timeline_switch_end(&h, 1, &end) && end == 0xB00);
	assert_true(timeline_switch_end(&h, 2, &end) && end == 0xB00);
	assert_true(timeline_switch_end(&h, 5, &end) && end == 0xC00);
	assert_true(timeline_switch_end(&h, 7, &end) && end == TIMELINE_LSN_END);
	assert_false(timeline_switch_end(&h, 3, &end));
	assert_false(timeline_switch_end(&h, 8, &end));
}

static void
paths_part_where_the_first_of_them_leaves(void **state)
{
	static const struct {
		timeline_t a;
		const char *a_text;
		timeline_t b;
		const char *b_text;
		lsn_t want;
	} rows[] = {
	    {1, "", 1, "", TIMELINE_LSN_END},
	    {1, "", 2, "1\t0/B00\tx\n", 0xB00},
	    {2, "1\t0/B00\tx\n", 3, "1\t0/A00\tx\n", 0xA00},
	    {2, "1\t0/B00\tx\n", 3, "1\t0/B00\tx\n2\t0/D00\tx\n", 0xD00},
	    /* a restore to before the earlier fork: nothing of 2 is on the path of 3 */
	    {2, "1\t0/B00\tx\n", 3, "1\t0/B00\tx\n2\t0/900\tx\n", 0x900},
	    {4, "2\t0/B00\tx\n", 1, "", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		TIMELINE_HISTORY_AUTO struct timeline_history a = {0}, b = {0};

		assert_int_equal(parse(&a, rows[i].a, rows[i].a_text), 0);
		assert_int_equal(parse(&b, rows[i].b, rows[i].b_text), 0);
		if (timeline_fork(&a, &b) != rows[i].want || timeline_fork(&b, &a) != rows[i].want)
			fail_msg("row %zu", i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_that_the_server_reads_are_read),
	    cmocka_unit_test(paths_part_where_the_first_of_them_leaves),
	    cmocka_unit_test(anything_else_is_refused),
	    cmocka_unit_test(a_position_lies_on_one_timeline_of_the_path),
	    cmocka_unit_test(a_timeline_ends_at_the_lowest_later_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
