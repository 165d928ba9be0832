/* The rules for keys and prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/buf.h"
#include "store/store.h"

static void
keys_and_prefixes_are_told_from_what_is_neither(void **state)
{
	static const struct {
		const char *text;
		bool key, prefix;
	} rows[] = {
	    {"a", true, false},
	    {"pgcairn.json", true, false},
	    {"clusters/main/wal/7300000000000000001/00000001/00000000/000000010000000000000001.partial", true, false},
	    {"A-z_0+9=@.x", true, false},
	    {"a/tmp", true, false},
	    {"a/lost+found/b", true, false},
	    {"tmpfile", true, false},
	    {"", false, true},
	    {"a/", false, true},
	    {"a/b.c/", false, true},
	    {"tmp0/", false, true},
	    {"a/tmp/", false, true},
	    {"/", false, false},
	    {"//", false, false},
	    {"/a", false, false},
	    {"/a/", false, false},
	    {"a//", false, false},
	    {"a//b", false, false},
	    {"a//b/", false, false},
	    {".", false, false},
	    {"..", false, false},
	    {"./", false, false},
	    {"../", false, false},
	    {"a/..", false, false},
	    {"a/../", false, false},
	    {".a", false, false},
	    {"a/.b/", false, false},
	    {"tmp", false, false},
	    {"tmp/", false, false},
	    {"tmp/a", false, false},
	    {"lost+found/", false, false},
	    {"a b", false, false},
	    {"a\tb", false, false},
	    {"a\x7f", false, false},
	    {"a\xff", false, false},
	    {"a:b", false, false},
	    {"a\\b", false, false},
	    {"a~", false, false},
	    {"a%20", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (store_key_check(rows[i].text, false, NULL) != (rows[i].key ? 0 : ERR_BUG))
			fail_msg("key '%s'", rows[i].text);
		if (store_key_check(rows[i].text, true, NULL) != (rows[i].prefix ? 0 : ERR_BUG))
			fail_msg("prefix '%s'", rows[i].text);
	}
}

/* A key of so many segments of so many bytes. */
static const char *
built(struct buf *b, size_t segments, size_t bytes)
{
	buf_reset(b);
	for (size_t i = 0; i < segments; i++) {
		for (size_t j = 0; j < bytes; j++)
			assert_int_equal(buf_append(b, "k", 1, NULL), 0);
		if (i + 1 < segments)
			assert_int_equal(buf_append(b, "/", 1, NULL), 0);
	}
	return buf_text(b);
}

static void
length_and_depth_have_limits(void **state)
{
	static const struct {
		size_t segments, bytes;
		int want;
	} rows[] = {{1, 255, 0}, {1, 256, ERR_BUG}, {2, 255, 0}, {3, 170, 0}, {3, 171, ERR_BUG}, {16, 1, 0}, {17, 1, ERR_BUG},
	    {16, 31, 0}, {16, 32, ERR_BUG}, {1, 100000, ERR_BUG}, {60000, 1, ERR_BUG}};
	BUF_AUTO struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(store_key_check(built(&b, rows[i].segments, rows[i].bytes), false, NULL), rows[i].want);
		assert_int_equal(buf_append(&b, "/", 1, NULL), 0);
		assert_int_equal(store_key_check(buf_text(&b), true, NULL), rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_and_prefixes_are_told_from_what_is_neither),
	    cmocka_unit_test(length_and_depth_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
