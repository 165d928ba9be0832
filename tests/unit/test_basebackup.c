#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "pg/basebackup.h"

#define FIXED "TABLESPACE_MAP true, VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')"
#define FIXED14 "TABLESPACE_MAP NOVERIFY_CHECKSUMS MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"

static void
each_major_gets_the_grammar_that_it_takes(void **state)
{
	static const struct {
		unsigned major;
		struct basebackup_options options;
		const char *want;
	} rows[] = {
	    {15, {0}, "BASE_BACKUP (LABEL 'pgcairn', PROGRESS true, CHECKPOINT 'fast', WAL false, WAIT false, " FIXED},
	    {18, {.label = "it's", .spread = true, .max_rate_kb = 32, .without_progress = true},
		"BASE_BACKUP (LABEL 'it''s', CHECKPOINT 'spread', WAL false, WAIT false, MAX_RATE 32, " FIXED},
	    {17, {.label = "'); DROP", .max_rate_kb = 1048576},
		"BASE_BACKUP (LABEL '''); DROP', PROGRESS true, CHECKPOINT 'fast', WAL false, WAIT false, MAX_RATE "
		"1048576, " FIXED},
	    {14, {0}, "BASE_BACKUP LABEL 'pgcairn' PROGRESS FAST NOWAIT " FIXED14},
	    {14, {.spread = true, .max_rate_kb = 64}, "BASE_BACKUP LABEL 'pgcairn' PROGRESS NOWAIT MAX_RATE 64 " FIXED14},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf b = {0};

		assert_int_equal(basebackup_command(&b, rows[i].major, &rows[i].options, NULL), 0);
		assert_string_equal(buf_text(&b), rows[i].want);
	}
}

static void
options_that_no_server_takes_are_refused(void **state)
{
	char longest[BASEBACKUP_LABEL_MAX + 2];
	const struct {
		unsigned major;
		struct basebackup_options options;
		int want;
	} rows[] = {
	    {15, {.label = longest + 1}, 0},
	    {15, {.label = longest}, ERR_CONFIG},
	    {15, {.label = ""}, ERR_CONFIG},
	    {15, {.label = "a\nSTART TIMELINE: 7"}, ERR_CONFIG},
	    {15, {.label = "a\x7f"}, ERR_CONFIG},
	    {15, {.max_rate_kb = 31}, ERR_CONFIG},
	    {15, {.max_rate_kb = 1048577}, ERR_CONFIG},
	    {13, {0}, ERR_CONFIG},
	};

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf b = {0};

		if (basebackup_command(&b, rows[i].major, &rows[i].options, NULL) != rows[i].want)
			fail_msg("row %zu", i);
		assert_int_equal(b.len > 0, rows[i].want == 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_major_gets_the_grammar_that_it_takes),
	    cmocka_unit_test(options_that_no_server_takes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
