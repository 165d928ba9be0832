/* Rows of the option table, one value at a time, and the guesses at mistyped words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/scope.h"
#include "config/option.h"
#include "config/suggest.h"

#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10

static void
every_row_is_documented(void **state)
{
	size_t n;
	const struct option *rows = option_rows(&n);
	BUF_AUTO struct buf doc = {0};

	(void)state;
	assert_int_equal(option_document(&doc, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		char key[80];

		(void)snprintf(key, sizeof(key), "\n| `%s` | ", rows[i].key);
		assert_non_null(strstr(buf_text(&doc), key));
		assert_non_null(strstr(buf_text(&doc), rows[i].doc));
		assert_null(strchr(rows[i].doc, '|'));
		assert_true(rows[i].type != OPTION_ENUM || rows[i].words != NULL);
	}
	assert_non_null(strstr(buf_text(&doc), "| `url` | string | required | "));
	assert_non_null(strstr(buf_text(&doc), "| `wal-compression` | lz4, zstd | `lz4` | "));
	assert_non_null(strstr(buf_text(&doc), "### [repository:NAME]\n"));
}

static void
a_boolean_is_one_of_six_words(void **state)
{
	static const struct {
		const char *text;
		int want; /* -1: refused */
	} rows[] = {{"on", 1}, {"off", 0}, {"yes", 1}, {"no", 0}, {"true", 1}, {"false", 0}, {"", -1}, {"1", -1}, {"ON", -1},
	    {"on ", -1}, {"nope", -1}};
	static const struct option o = {.key = "k", .type = OPTION_BOOL, .preset = "off"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool field = i % 2 == 0, before = field;
		BUF_AUTO struct buf shown = {0};
		struct err err = {0};
		int rc = option_parse(&o, &field, rows[i].text, &err);

		assert_int_equal(rc, rows[i].want < 0 ? ERR_CONFIG : 0);
		assert_int_equal(field, rows[i].want < 0 ? before : rows[i].want);
		assert_int_equal(option_format(&o, &field, &shown, &err), 0);
		assert_string_equal(buf_text(&shown), field ? "on" : "off");
		if (rc < 0)
			assert_string_equal(err.hint, "write on or off");
	}
}

static void
a_refused_secret_is_not_repeated(void **state)
{
	static const struct option o = {.key = "k", .type = OPTION_PATH, .secret = true};
	char *field = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(option_parse(&o, &field, "sesame", &err), ERR_CONFIG);
	assert_string_equal(err.msg, "k: the value is not an absolute path");
	assert_null(field);
}

static void
suggestions_are_near_or_none(void **state)
{
	static const struct {
		const char *word, *want;
	} rows[] = {{"bakcup", "backup"}, {"backups", "backup"}, {"ackup", "backup"}, {"restor", "restore"}, {"inf", "info"},
	    {"INFO", NULL}, {"x", NULL}, {"", NULL}, {"remove", NULL}, {"back", NULL}, {X50, NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct suggest s = suggest_for(rows[i].word);

		suggest_offer(&s, "backup");
		suggest_offer(&s, "restore");
		suggest_offer(&s, "info");
		suggest_offer(&s, X50 X50);
		if (rows[i].want == NULL)
			assert_null(suggest_best(&s));
		else
			assert_string_equal(suggest_best(&s), rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_row_is_documented),
	    cmocka_unit_test(a_boolean_is_one_of_six_words),
	    cmocka_unit_test(a_refused_secret_is_not_repeated),
	    cmocka_unit_test(suggestions_are_near_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
