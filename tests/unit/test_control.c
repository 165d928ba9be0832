#include "told.h"
#include "wal_fixture.h"

#include <inttypes.h>

#include "base/scope.h"
#include "pg/control.h"
#include "pg/crc32c.h"

static void
fields_are_those_that_pg_controldata_prints(void **state)
{
	static const char *const names[] = {"control-main", "control-standby"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char file[64], v[128];
		size_t len, text_len;
		uint8_t *data = fixture(names[i], &len);
		struct control c;
		char *t;

		(void)snprintf(file, sizeof(file), "%s.txt", names[i]);
		t = fixture_raw(file, &text_len);
		assert_int_equal(len, CONTROL_FILE_SIZE);
		assert_int_equal(control_parse(&c, data, len, NULL), 0);
		expect_number(t, "pg_control version number:", c.version);
		expect_number(t, "Catalog version number:", c.catalog_version);
		expect_number(t, "Database system identifier:", c.sysid);
		assert_int_equal(c.state, CONTROL_SHUT_DOWN);
		expect_lsn(t, "Latest checkpoint location:", c.checkpoint_lsn);
		expect_lsn(t, "Latest checkpoint's REDO location:", c.redo_lsn);
		expect_number(t, "Latest checkpoint's TimeLineID:", c.timeline);
		expect_number(t, "Latest checkpoint's PrevTimeLineID:", c.prev_timeline);
		expect_number(t, "Latest checkpoint's NextXID:          0:", c.next_xid);
		expect_number(t, "Latest checkpoint's NextOID:", c.next_oid);
		expect_lsn(t, "Minimum recovery ending location:", c.min_recovery_lsn);
		expect_lsn(t, "Backup start location:", c.backup_start_lsn);
		expect_lsn(t, "Backup end location:", c.backup_end_lsn);
		assert_string_equal(told(t, "wal_level setting:", v, sizeof(v)), c.wal_level == 0 ? "minimal" : "replica");
		assert_true(c.full_page_writes && !c.wal_log_hints && !c.track_commit_timestamp && !c.backup_end_required);
		expect_number(t, "max_connections setting:", (uint64_t)c.limits.v[0]);
		expect_number(t, "max_worker_processes setting:", (uint64_t)c.limits.v[1]);
		expect_number(t, "max_wal_senders setting:", (uint64_t)c.limits.v[2]);
		expect_number(t, "max_prepared_xacts setting:", (uint64_t)c.limits.v[3]);
		expect_number(t, "max_locks_per_xact setting:", (uint64_t)c.limits.v[4]);
		expect_number(t, "Database block size:", c.block_size);
		expect_number(t, "Blocks per segment of large relation:", c.relation_segment_blocks);
		expect_number(t, "WAL block size:", c.wal_page_size);
		expect_number(t, "Bytes per WAL segment:", c.wal_segment_size);
		expect_number(t, "Data page checksum version:", c.data_checksum_version);
		assert_true(c.checkpoint_time > 1700000000 && c.time >= c.checkpoint_time);
		free(t);
		free(data);
	}
}

static void
seal(uint8_t *data, size_t at)
{
	uint32_t crc = crc32c_final(crc32c_update(CRC32C_INIT, data, at));

	memcpy(data + at, &crc, sizeof(crc));
}

static void
every_flipped_bit_before_the_sum_is_noticed(void **state)
{
	size_t len;
	uint8_t *data = fixture("control-main", &len);
	struct control c;

	(void)state;
	for (size_t bit = 0; bit < (size_t)292 * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(control_parse(&c, data, len, NULL), 0);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(control_parse(&c, data, len, NULL), 0);
	assert_int_equal(control_parse(&c, data, CONTROL_PARSED_MIN - 1, NULL), ERR_CORRUPT);
	free(data);
}

static void
versions_and_values_are_judged(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		size_t crc_at;
		int want;
	} rows[] = {
	    {8, 1300, 288, 0},
	    {8, 1700, 288, 0},
	    {8, 1800, 292, 0},
	    {8, 1800, 288, ERR_CORRUPT},
	    {8, 1900, 288, ERR_REFUSED},
	    {8, 1200, 288, ERR_REFUSED},
	    {8, 0, 288, ERR_CORRUPT},
	    {8, 1301, 288, ERR_CORRUPT},
	    {8, 0x14050000, 288, ERR_CORRUPT}, /* another byte order */
	    {16, 7, 288, ERR_CORRUPT},
	    {16, 0xFFFFFFFF, 288, ERR_CORRUPT},
	    {216, 0, 288, ERR_CORRUPT},
	    {216, 8191, 288, ERR_CORRUPT},
	    {220, 0, 288, ERR_CORRUPT},
	    {224, 24, 288, ERR_CORRUPT},
	    {228, 3 << 20, 288, ERR_CORRUPT},
	};
	size_t len;
	uint8_t *data = fixture("control-main", &len), *copy = malloc(len);
	struct control c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		memcpy(copy, data, len);
		memcpy(copy + rows[i].at, &rows[i].value, 4);
		seal(copy, rows[i].crc_at);
		if (control_parse(&c, copy, len, NULL) != rows[i].want)
			fail_msg("row %zu", i);
	}
	free(copy);
	free(data);
}

static void
a_version_file_says_a_major(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {{"15\n", 15}, {"18", 18}, {"", 0}, {"\n", 0}, {"9.6\n", 0}, {"15\r\n", 0}, {"15 \n", 0}, {"15\n\n", 0},
	    {"-15\n", 0}, {"1000\n", 0}, {"9\n", 0}, {"fifteen\n", 0}, {"15151515151515151515\n", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int major = 0, rc = control_parse_version(rows[i].text, strlen(rows[i].text), &major, NULL);

		if (major != rows[i].want || rc != (rows[i].want == 0 ? ERR_CORRUPT : 0))
			fail_msg("row %zu", i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_are_those_that_pg_controldata_prints),
	    cmocka_unit_test(every_flipped_bit_before_the_sum_is_noticed),
	    cmocka_unit_test(versions_and_values_are_judged),
	    cmocka_unit_test(a_version_file_says_a_major),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
