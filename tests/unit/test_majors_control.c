/* pg_control of each supported major, as its server had it on disk and as it told it at the same moment. */
#include "majors_fixture.h"
#include "told.h"

#include "pg/control.h"

static void
pg_control_is_what_the_server_says_of_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MAJORS; i++) {
		unsigned major = PG_MAJOR_MIN + i;
		size_t len, text_len;
		uint8_t *data = majors_fixture(major, "control-running", &len);
		char *t = majors_text(major, "control-running.txt", &text_len), value[128];
		struct control c;
		struct err err = {0};

		assert_int_equal(len, CONTROL_FILE_SIZE);
		if (control_parse(&c, data, len, &err) < 0)
			fail_msg("%u: %s", major, err.msg);
		assert_int_equal(c.state, CONTROL_IN_PRODUCTION);
		assert_int_equal(c.version, major >= 18 ? 1800 : major == 17 ? 1700 : 1300);
		assert_memory_equal(t, "pg_control_version ", 19);
		expect_number(t, "catalog_version_no", c.catalog_version);
		expect_number(t, "system_identifier", c.sysid);
		expect_lsn(t, "checkpoint_lsn", c.checkpoint_lsn);
		expect_lsn(t, "redo_lsn", c.redo_lsn);
		expect_number(t, "timeline_id", c.timeline);
		expect_number(t, "prev_timeline_id", c.prev_timeline);
		assert_string_equal(told(t, "full_page_writes", value, sizeof(value)), c.full_page_writes ? "t" : "f");
		assert_int_equal(strtoull(told(t, "next_xid 0:", value, sizeof(value)), NULL, 10), c.next_xid);
		expect_number(t, "next_oid", c.next_oid);
		expect_lsn(t, "min_recovery_end_lsn", c.min_recovery_lsn);
		expect_number(t, "min_recovery_end_timeline", c.min_recovery_timeline);
		expect_lsn(t, "backup_start_lsn", c.backup_start_lsn);
		expect_lsn(t, "backup_end_lsn", c.backup_end_lsn);
		expect_number(t, "database_block_size", c.block_size);
		expect_number(t, "blocks_per_segment", c.relation_segment_blocks);
		expect_number(t, "wal_block_size", c.wal_page_size);
		expect_number(t, "bytes_per_wal_segment", c.wal_segment_size);
		expect_number(t, "data_page_checksum_version", c.data_checksum_version);
		assert_true(c.track_commit_timestamp && !c.wal_log_hints && c.wal_level == 1 && c.limits.v[0] == 100);
		assert_int_equal(c.limits.v[3], 5);
		for (size_t at = 0; at < 288; at += 7) {
			data[at] ^= 4;
			assert_true(control_parse(&c, data, len, &err) < 0);
			data[at] ^= 4;
		}
		free(data);
		free(t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pg_control_is_what_the_server_says_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
