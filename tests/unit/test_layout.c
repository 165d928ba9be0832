/* Names of objects: what they are, and that none is ever cut. */
#include "check.h"

#include "repo/layout.h"

static void
names_are_what_the_format_says(void **state)
{
	static const struct {
		const char *file, *want;
	} rows[] = {
	    {"00000001000000A200000003", "wal/18446744073709551615/00000001/000000A2/00000001000000A200000003"},
	    {"00000001000000A200000003.partial", "wal/18446744073709551615/00000001/000000A2/00000001000000A200000003.partial"},
	    {"0000000A000000000000000F.00000028.backup",
		"wal/18446744073709551615/0000000A/00000000/0000000A000000000000000F.00000028.backup"},
	    {"FFFFFFFF.history", "wal/18446744073709551615/FFFFFFFF.history"},
	};
	const uint8_t id[16] = {0xab, [15] = 0x01};
	char out[OBJECT_NAME_MAX], key[STORE_KEY_MAX];
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wal_name name;

		assert_true(wal_name_parse(rows[i].file, &name));
		must(layout_wal(out, UINT64_MAX, &name, &err), &err);
		assert_string_equal(out, rows[i].want);
		must(layout_key(key, "c", out, &err), &err);
		must(store_key_check(key, false, &err), &err);
	}
	must(layout_wal_timeline(out, 7, 10, &err), &err);
	assert_string_equal(out, "wal/7/0000000A/");
	must(layout_epoch_key(out, id, 3, &err), &err);
	assert_string_equal(out, "keys/ab000000000000000000000000000001/0003");
	must(layout_record(out, "signers", 12, &err), &err);
	assert_string_equal(out, "signers/0012");
	must(layout_pack(out, "20260101T000000F", 1234567, &err), &err);
	assert_string_equal(out, "backup/20260101T000000F/pack-1234567");
	must(layout_manifest(out, "x", 0, &err), &err);
	assert_string_equal(out, "backup/x/manifest-0000");
	{
		struct wal_name name;

		assert_true(wal_name_parse("00000001000000A200000003", &name));
		must(layout_gap_folder(out, UINT64_MAX, &name, &err), &err);
		assert_string_equal(out, "gaps/18446744073709551615/00000001000000A200000003/");
		must(layout_gap(out, 7, &name, id, LAYOUT_GAP_BYTES, &err), &err);
		assert_string_equal(out, "gaps/7/00000001000000A200000003/ab000000000000000000000000000001/bytes");
	}
	must(layout_conflict(out, "wal/1/x", id, &err), &err);
	assert_string_equal(out, "conflict/wal/1/x/ab000000000000000000000000000001");
}

static void
a_name_that_does_not_fit_is_refused_not_cut(void **state)
{
	char text[STORE_KEY_MAX + 1], out[STORE_KEY_MAX];
	const uint8_t id[16] = {0};
	struct err err = {0};

	(void)state;
	memset(text, 'x', sizeof(text));
	text[STORE_KEY_MAX] = '\0';
	must_fail(layout_key(out, "c", text, &err), ERR_BUG, &err, "key");
	must_fail(layout_record(out, text, 0, &err), ERR_BUG, &err, "record");
	must_fail(layout_pack(out, text, 0, &err), ERR_BUG, &err, "pack");
	must_fail(layout_manifest(out, text, 0, &err), ERR_BUG, &err, "manifest");
	must_fail(layout_conflict(out, text + STORE_KEY_MAX - OBJECT_NAME_MAX + 20, id, &err), ERR_BUG, &err, "conflict");
}

static void
only_plain_names_are_labels(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
	    {"a", true},
	    {"20260101T000000F", true},
	    {"A.b_c-9", true},
	    {"123456789012345678901234567890123456789012345678901234567890123", true},
	    {"1234567890123456789012345678901234567890123456789012345678901234", false},
	    {"", false},
	    {".", false},
	    {"..", false},
	    {".a", false},
	    {"-a", false},
	    {"a/b", false},
	    {"a b", false},
	    {"a\n", false},
	    {"\xc3\xa9", false},
	    {"a%", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(layout_name_valid(rows[i].name), rows[i].valid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_what_the_format_says),
	    cmocka_unit_test(a_name_that_does_not_fit_is_refused_not_cut),
	    cmocka_unit_test(only_plain_names_are_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
