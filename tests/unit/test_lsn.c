/* Positions and names of WAL files, for every segment size. */
#include "check.h"

#include "pg/lsn.h"

static void
a_position_is_two_numbers_of_hex(void **state)
{
	static const struct {
		const char *text;
		lsn_t want;
		bool ok;
		const char *back;
	} rows[] = {
	    {"0/0", 0, true, "0/0"},
	    {"1/A", (UINT64_C(1) << 32) + 10, true, "1/A"},
	    {"0/03000028", 0x3000028, true, "0/3000028"},
	    {"ffffffff/FFFFFFFF", UINT64_MAX, true, "FFFFFFFF/FFFFFFFF"},
	    {"0/FFFFFFFF", UINT32_MAX, true, "0/FFFFFFFF"},
	    {"", 0, false, NULL},
	    {"/", 0, false, NULL},
	    {"1/", 0, false, NULL},
	    {"/1", 0, false, NULL},
	    {"1", 0, false, NULL},
	    {"1/2/3", 0, false, NULL},
	    {"1/2 ", 0, false, NULL},
	    {" 1/2", 0, false, NULL},
	    {"100000000/0", 0, false, NULL},
	    {"0/100000000", 0, false, NULL},
	    {"000000001/0", 0, false, NULL},
	    {"0x1/0", 0, false, NULL},
	    {"-1/0", 0, false, NULL},
	    {"g/0", 0, false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		lsn_t got = 5;
		char back[LSN_TEXT];

		if (lsn_parse(rows[i].text, &got) != rows[i].ok)
			fail_msg("'%s'", rows[i].text);
		assert_int_equal(got, rows[i].ok ? rows[i].want : 5);
		if (!rows[i].ok)
			continue;
		lsn_format(back, got);
		assert_string_equal(back, rows[i].back);
	}
}

static void
a_name_is_what_a_server_writes_or_nothing(void **state)
{
	static const struct {
		const char *text;
		int kind; /* -1: refused */
	} rows[] = {
	    {"000000010000000000000001", WAL_NAME_SEGMENT},
	    {"FFFFFFFFFFFFFFFFFFFFFFFF", WAL_NAME_SEGMENT},
	    {"0000000A00000001000000FF.partial", WAL_NAME_PARTIAL},
	    {"000000010000000000000001.00000028.backup", WAL_NAME_BACKUP_HISTORY},
	    {"0000000A.history", WAL_NAME_HISTORY},
	    {"", -1},
	    {"00000000.history", -1},
	    {"000000000000000000000001", -1},
	    {"00000001000000000000001", -1},
	    {"0000000100000000000000011", -1},
	    {"00000001000000000000000a", -1},
	    {"0000000a.history", -1},
	    {"00000001.History", -1},
	    {"00000001.history ", -1},
	    {"000000010000000000000001.partial2", -1},
	    {"000000010000000000000001.00000028.Backup", -1},
	    {"000000010000000000000001.0000028.backup", -1},
	    {"000000010000000000000001.00000028.backup.x", -1},
	    {"000000010000000000000001.done", -1},
	    {"../../etc/passwd", -1},
	    {"000000010000000000000001/", -1},
	    {"0000000100000000000000 1", -1},
	    {"+00000010000000000000001", -1},
	    {"000000010000000000000001.00000028.backup000000000000000000000000000000000000", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wal_name n = {.timeline = 77};
		char back[WAL_NAME_MAX];

		if (wal_name_parse(rows[i].text, &n) != (rows[i].kind >= 0))
			fail_msg("'%s'", rows[i].text);
		if (rows[i].kind < 0) {
			assert_int_equal(n.timeline, 77);
			continue;
		}
		assert_int_equal(n.kind, rows[i].kind);
		wal_name_format(back, &n);
		assert_string_equal(back, rows[i].text);
	}
}

static void
a_segment_number_and_its_name_agree_for_every_size(void **state)
{
	(void)state;
	for (uint32_t size = 1 << 20; size <= 1 << 30; size *= 2) {
		uint64_t per_log = (UINT64_C(1) << 32) / size;
		const uint64_t numbers[] = {
		    0, 1, per_log - 1, per_log, per_log + 1, per_log * 0xFFFFFFFF, per_log * 0x100000000 - 1};

		assert_true(wal_segment_size_valid(size));
		for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
			char text[WAL_NAME_MAX];
			struct wal_name n;

			wal_segment_name(text, 10, numbers[i], size);
			assert_true(wal_name_parse(text, &n));
			assert_int_equal(n.timeline, 10);
			assert_true(wal_name_fits(&n, size));
			assert_int_equal(wal_name_segno(&n, size), numbers[i]);
			assert_int_equal(wal_segment_start(numbers[i], size) / size, numbers[i]);
			n.seg = (uint32_t)per_log;
			assert_false(wal_name_fits(&n, size));
		}
	}
	assert_false(wal_segment_size_valid(0));
	assert_false(wal_segment_size_valid(1 << 19));
	assert_false(wal_segment_size_valid((1 << 20) + 1));
	assert_false(wal_segment_size_valid(UINT64_C(1) << 31));
	assert_false(wal_segment_size_valid(UINT64_C(1) << 52));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_position_is_two_numbers_of_hex),
	    cmocka_unit_test(a_name_is_what_a_server_writes_or_nothing),
	    cmocka_unit_test(a_segment_number_and_its_name_agree_for_every_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
