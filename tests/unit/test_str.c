/* Text from outside: numbers within their range or not at all. */
#include "check.h"

#include "base/str.h"

static void
a_number_is_whole_and_within_its_range(void **state)
{
	static const struct {
		const char *text;
		uint64_t lo, hi, want;
		bool ok;
	} rows[] = {
	    {"0", 0, UINT64_MAX, 0, true},
	    {"007", 0, 7, 7, true},
	    {"18446744073709551615", 0, UINT64_MAX, UINT64_MAX, true},
	    {"18446744073709551616", 0, UINT64_MAX, 0, false},
	    {"99999999999999999999999", 0, UINT64_MAX, 0, false},
	    {"5", 6, 10, 0, false},
	    {"11", 6, 10, 0, false},
	    {"", 0, 10, 0, false},
	    {" 1", 0, 10, 0, false},
	    {"1 ", 0, 10, 0, false},
	    {"+1", 0, 10, 0, false},
	    {"-1", 0, UINT64_MAX, 0, false},
	    {"0x1", 0, 10, 0, false},
	    {"1e1", 0, 10, 0, false},
	    {"NaN", 0, 10, 0, false},
	    {"13am", 0, 20, 0, false},
	    {"\xd9\xa1", 0, 10, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t got = 77;

		if (str_to_u64(rows[i].text, rows[i].lo, rows[i].hi, &got) != rows[i].ok)
			fail_msg("'%s'", rows[i].text);
		assert_int_equal(got, rows[i].ok ? rows[i].want : 77);
	}
}

static void
hex_is_exact(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		uint64_t want;
		bool ok;
	} rows[] = {{"00000001", 8, 1, true}, {"fF", 2, 255, true}, {"FFFFFFFFFFFFFFFF", 16, UINT64_MAX, true},
	    {"1x", 1, 1, true}, {"", 0, 0, false}, {"1", 2, 0, false}, {"0x", 2, 0, false}, {"g", 1, 0, false},
	    {" 1", 2, 0, false}, {"00000000000000001", 17, 0, false}};
	uint8_t bytes[3];
	char text[7];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t got = 0;

		assert_int_equal(str_hex_to_u64(rows[i].text, rows[i].n, &got), rows[i].ok);
		if (rows[i].ok)
			assert_int_equal(got, rows[i].want);
	}
	assert_true(str_from_hex("00fFa9", bytes, 3));
	str_to_hex(text, bytes, 3);
	assert_string_equal(text, "00ffa9");
	assert_false(str_from_hex("00fFa", bytes, 3));
	assert_false(str_from_hex("00fFa99", bytes, 3));
	assert_false(str_from_hex("", bytes, 1));
	assert_false(str_from_hex("0", bytes, 1));
	assert_false(str_from_hex("0-", bytes, 1));
	assert_true(str_from_hex("", bytes, 0));
}

static void
sizes_and_durations_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
		int64_t ms;
	} rows[] = {
	    {"0", 0, -1},
	    {"8192", 8192, -1},
	    {"16MB", 16 << 20, -1},
	    {"1 GB", 1 << 30, -1},
	    {"512kB", 512 << 10, -1},
	    {"8388607TB", UINT64_C(8388607) << 40, -1},
	    {"8388608TB", UINT64_MAX, -1},
	    {"9223372036854775807B", INT64_MAX, -1},
	    {"9223372036854775808", UINT64_MAX, -1},
	    {"18446744073709551616B", UINT64_MAX, -1},
	    {"1mb", UINT64_MAX, -1},
	    {"1.5GB", UINT64_MAX, -1},
	    {"-1", UINT64_MAX, -1},
	    {"GB", UINT64_MAX, -1},
	    {"1 GBx", UINT64_MAX, -1},
	    {"0s", UINT64_MAX, 0},
	    {"500ms", UINT64_MAX, 500},
	    {"30s", UINT64_MAX, 30000},
	    {"5min", UINT64_MAX, 300000},
	    {"12h", UINT64_MAX, 43200000},
	    {"14d", UINT64_MAX, 1209600000},
	    {"2w", UINT64_MAX, 1209600000},
	    {"9223372036854775807ms", UINT64_MAX, INT64_MAX},
	    {"106751991168d", UINT64_MAX, -1},
	    {"5m", UINT64_MAX, -1},
	    {"1D", UINT64_MAX, -1},
	    {"", UINT64_MAX, -1},
	    {"111111111111111111111111111111s", UINT64_MAX, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t size = UINT64_MAX;
		int64_t ms = -1;

		assert_int_equal(str_to_size(rows[i].text, &size), rows[i].size != UINT64_MAX);
		assert_int_equal(str_to_duration_ms(rows[i].text, &ms), rows[i].ms != -1);
		if (size != rows[i].size || ms != rows[i].ms)
			fail_msg("'%s'", rows[i].text);
	}
}

static void
a_size_is_readable(void **state)
{
	static const struct {
		uint64_t n;
		const char *want;
	} rows[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 kB"}, {1536 << 10, "1.5 MB"}, {UINT64_MAX, "16.0 EB"}};
	char out[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		str_from_size(out, sizeof(out), rows[i].n);
		assert_string_equal(out, rows[i].want);
	}
}

/* What the shell makes of a quoted text is the text. */
static void
quoted_text_comes_back_from_a_shell(void **state)
{
	static const char *const texts[] = {"", "a", "it's", "''", "'", "a b\tc", "$(touch /tmp/x)", "`id`", "\\", "\"", "a\nb",
	    "%f %p", "*", "-n", "!x", "\xff\x01"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		FREE_AUTO char *quoted = str_shell_quote(texts[i]), *command = str_printf("printf %%s. %s", quoted);
		char got[64] = "";
		FILE *p = popen(command, "r");

		assert_non_null(p);
		got[fread(got, 1, sizeof(got) - 1, p)] = '\0';
		assert_int_equal(pclose(p), 0);
		assert_int_equal(got[strlen(got) - 1], '.');
		got[strlen(got) - 1] = '\0';
		assert_string_equal(got, texts[i]);
	}
}

static void
nothing_is_ever_cut(void **state)
{
	char out[4] = "old";
	struct err err = {0};

	(void)state;
	must_fail(str_copy(out, sizeof(out), "1234", "thing", &err), ERR_CONFIG, &err, "too long");
	assert_string_equal(out, "old");
	assert_non_null(strstr(err.msg, "thing"));
	must(str_copy(out, sizeof(out), "123", "thing", &err), &err);
	must(str_copy(out, sizeof(out), "", "thing", &err), &err);
	assert_string_equal(out, "");
	assert_true(str_starts("abc", "") && str_starts("abc", "ab") && !str_starts("ab", "abc"));
	assert_true(str_ends("abc", "") && str_ends("abc", "bc") && !str_ends("bc", "abc"));
}

static void
what_a_terminal_obeys_is_taken_out(void **state)
{
	char text[] = "a\x1b[31m\tb\x7f\n\xc3\xa4\rz";

	(void)state;
	str_disarm(text, sizeof(text) - 1);
	assert_string_equal(text, "a?[31m?b?\n\xc3\xa4?z");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_number_is_whole_and_within_its_range),
	    cmocka_unit_test(hex_is_exact),
	    cmocka_unit_test(sizes_and_durations_have_units),
	    cmocka_unit_test(a_size_is_readable),
	    cmocka_unit_test(quoted_text_comes_back_from_a_shell),
	    cmocka_unit_test(nothing_is_ever_cut),
	    cmocka_unit_test(what_a_terminal_obeys_is_taken_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
