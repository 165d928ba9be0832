/* One segment at a time: real WAL passes, in pieces of any size, and is seen as pg_waldump sees it; damage does not pass. */
#include "wal_fixture.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/scope.h"

static const char DENSE[] = "000000010000000000000009";

struct counted {
	uint64_t n, commits;
	lsn_t last;
	int64_t last_commit_us;
	uint32_t prepared[8];
	size_t n_prepared;
};

static void
count(const struct wal_record_info *r, void *arg)
{
	struct counted *c = arg;

	assert_true(r->lsn > c->last);
	assert_true(r->end_lsn > r->lsn);
	assert_true(c->last == 0 || r->prev == c->last);
	c->last = r->lsn;
	c->n++;
	if (r->kind >= WAL_RECORD_COMMIT && r->kind <= WAL_RECORD_ABORT_PREPARED) {
		assert_true(r->has_time);
		c->commits++;
		c->last_commit_us = r->time_us;
	}
	if (r->kind == WAL_RECORD_COMMIT_PREPARED || r->kind == WAL_RECORD_ABORT_PREPARED) {
		assert_true(c->n_prepared < 8);
		c->prepared[c->n_prepared++] = r->xid;
	}
}

static void
records_are_those_that_pg_waldump_sees(void **state)
{
	size_t len, rows = 0;
	char *text = fixture_raw("oracle.txt", &len);

	(void)state;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save), rows++) {
		char name[32], first_text[24], last_text[24];
		struct counted c = {0};
		uint64_t n, commits, tail;
		lsn_t first, last;
		struct wal_summary s;
		struct err err = {0};
		struct wal_walk_options opt;
		uint8_t *data;

		assert_int_equal(
		    sscanf(line, "%31s %" SCNu64 " %" SCNu64 " %23s %23s", name, &n, &commits, first_text, last_text), 5);
		assert_true(lsn_parse(first_text, &first) && lsn_parse(last_text, &last));
		data = fixture(name, &len);
		opt = fixture_options(name, WAL_COMPLETE);
		opt.on_record = count;
		opt.arg = &c;
		if (fixture_walk(&opt, data, len, len, &s, &err) < 0)
			fail_msg("%s: %s", name, err.msg);
		/* the torn record of this one was given up: pg_waldump never shows it */
		tail = s.tail.start != 0 && strcmp(name, "000000010000000000000014") != 0;
		assert_true(s.verified);
		assert_int_equal(s.major, 15);
		assert_int_equal(s.n_records, c.n);
		assert_int_equal(s.n_records + tail, n);
		assert_int_equal(s.commit_count, c.commits);
		assert_int_equal(s.commit_count, commits);
		assert_int_equal(s.first_record, first);
		assert_int_equal(tail ? s.tail.start : s.last_record, last);
		if (commits > 0)
			assert_int_equal(s.last_time_us, c.last_commit_us);
		free(data);
	}
	assert_true(rows >= 9);
	free(text);
}

static void
pieces_of_any_size_give_the_same_summary(void **state)
{
	static const char *const names[] = {"000000010000000000000009", "00000001000000000000000A", "00000001000000000000000C",
	    "00000001000000000000000F", "000000010000000000000015", "000000020000000000000013"};
	static const size_t steps[] = {1, 3, 8, 23, 4096, 8191, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct wal_walk_options opt = fixture_options(names[i], WAL_COMPLETE);
		struct wal_summary want, got;
		struct err err = {0};
		size_t len;
		uint8_t *data = fixture(names[i], &len);

		assert_int_equal(fixture_walk(&opt, data, len, len, &want, &err), 0);
		for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
			if (fixture_walk(&opt, data, len, steps[k], &got, &err) < 0)
				fail_msg("%s by %zu: %s", names[i], steps[k], err.msg);
			assert_memory_equal(&want, &got, sizeof(got));
		}
		free(data);
	}
}

static void
a_segment_without_any_record_start_passes(void **state)
{
	struct wal_walk_options opt = fixture_options("00000001000000000000000A", WAL_COMPLETE);
	struct wal_summary s;
	size_t len;
	uint8_t *data = fixture("00000001000000000000000A", &len);

	(void)state;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, NULL), 0);
	assert_int_equal(s.n_records, 0);
	assert_int_equal(s.first_record, 0);
	assert_int_equal(s.end, 0);
	assert_int_equal(s.tail.start, 0);
	assert_int_equal(s.head.len, len - 128 * 24 - 16);
	assert_true(s.head.expected > s.head.len);
	free(data);
}

static void
restore_points_and_prepared_transactions_are_reported(void **state)
{
	struct wal_walk_options opt = fixture_options("00000001000000000000000C", WAL_COMPLETE);
	struct wal_summary s;
	struct counted c = {0};
	size_t len;
	uint8_t *data = fixture("00000001000000000000000C", &len);

	(void)state;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, NULL), 0);
	assert_int_equal(s.point_count, 1);
	assert_string_equal(s.points[0].name, "after the big one");
	assert_true(s.points[0].time_us > INT64_C(1700000000000000) && s.points[0].lsn > s.start);
	free(data);

	opt = fixture_options(DENSE, WAL_COMPLETE);
	opt.on_record = count;
	opt.arg = &c;
	data = fixture(DENSE, &len);
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, NULL), 0);
	assert_int_equal(c.n_prepared, 2);
	assert_int_equal(c.prepared[1], c.prepared[0] + 1);
	assert_true(c.prepared[0] > s.min_xid && c.prepared[1] <= s.max_xid);
	assert_false(s.xid_unknown);
	assert_true(s.min_time_us <= s.first_time_us && s.max_time_us >= s.last_time_us && s.min_time_us < s.max_time_us);
	free(data);
}

static void
a_switch_split_by_the_segment_end_leaves_zeros(void **state)
{
	struct wal_walk_options opt = fixture_options("00000001000000000000000F", WAL_COMPLETE);
	struct wal_summary s;
	struct err err = {0};
	size_t len;
	uint8_t *data = fixture("00000001000000000000000F", &len);

	(void)state;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), 0);
	assert_true(s.head.zeros_follow);
	assert_int_equal(s.head.expected, 8);
	assert_int_equal(s.n_records, 0);
	assert_int_equal(s.end, s.start + len);
	data[len - 1] = 1;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), ERR_CORRUPT);
	free(data);
}

static void
a_promoted_partial_ends_quietly_and_is_no_complete_segment(void **state)
{
	struct wal_walk_options opt = fixture_options("000000010000000000000013.partial", WAL_PARTIAL);
	struct wal_summary s;
	struct err err = {0};
	size_t len;
	lsn_t end;
	uint8_t *data = fixture("000000010000000000000013.partial", &len);

	(void)state;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), 0);
	end = s.end;
	assert_int_equal(end, 0x1315778); /* where the history file says that timeline 1 was left */
	assert_true(s.n_records > 100 && s.tail.start == 0 && !s.contains_switch);
	assert_int_equal(fixture_walk(&opt, data, len, 1000, &s, &err), 0);
	assert_int_equal(s.end, end);

	/* garbage of an earlier use behind the end changes nothing */
	for (size_t i = (size_t)(end & 0xFFFFF); i < len; i++)
		data[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), 0);
	assert_int_equal(s.end, end);
	assert_int_equal(fixture_walk(&opt, data, (size_t)(end & 0xFFFFF) - 8, len, &s, &err), 0);
	assert_true(s.end < end);

	opt.mode = WAL_COMPLETE;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), ERR_CORRUPT);
	opt.mode = WAL_PARTIAL;
	memset(data, 0, len);
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), ERR_CORRUPT);
	assert_int_equal(fixture_walk(&opt, data, 0, 1, &s, &err), ERR_CORRUPT);
	free(data);
}

static void
wal_level_minimal_is_flagged(void **state)
{
	struct wal_walk_options opt = fixture_options("000000010000000000000017", WAL_PARTIAL);
	struct wal_summary s;
	size_t len;
	uint8_t *data = fixture("minimal-000000010000000000000017.partial", &len);

	(void)state;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, NULL), 0);
	assert_true(s.wal_level_minimal);
	/* the record that says so says the limits too: those with which the server was started */
	assert_true(s.has_limits && s.limits.v[0] > 0 && s.limits.v[1] > 0 && s.limits.v[2] == 0 && s.limits.v[4] > 0);
	free(data);
	opt = fixture_options(DENSE, WAL_COMPLETE);
	data = fixture(DENSE, &len);
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, NULL), 0);
	assert_false(s.wal_level_minimal || s.has_limits);
	free(data);
}

static void
damaged_headers_are_refused_by_name(void **state)
{
	static const struct {
		const char *what;
		size_t at, width;
		uint64_t value;
		int kind;
		const char *msg;
	} rows[] = {
	    {"as it is", 0, 0, 0, 0, ""},
	    {"no WAL at all", 0, 2, 0x8B1F, ERR_CORRUPT, "magic 8B1F"},
	    {"before 14", 0, 2, 0xD106, ERR_CORRUPT, "magic D106"},
	    {"newer by one bit, the other pages not", 0, 2, 0xD130, ERR_CORRUPT, "magic"},
	    {"no long header", 2, 2, 0, ERR_CORRUPT, "flags"},
	    {"unknown flag", 2, 2, 0x12, ERR_CORRUPT, "flags"},
	    {"timeline 0", 4, 4, 0, ERR_CORRUPT, "timeline 0"},
	    {"timeline above the name's", 4, 4, 2, ERR_CORRUPT, "timeline 2"},
	    {"recycled", 8, 8, 0x500000, ERR_CORRUPT, "000000010000000000000005"},
	    {"rest of a record without the flag", 16, 4, 8, ERR_CORRUPT, "does not go on"},
	    {"foreign system", 24, 8, 42, ERR_REFUSED, "belongs to system 42"},
	    {"segment size of no power", 32, 4, 3 << 20, ERR_CORRUPT, "3145728"},
	    {"other segment size", 32, 4, 16 << 20, ERR_CORRUPT, "expected"},
	    {"page size", 36, 4, 100, ERR_CORRUPT, "100 bytes"},
	    {"page size of another power", 36, 4, 16384, ERR_CORRUPT, ""},
	    {"second page: magic", 8192, 2, 0xD10D, ERR_CORRUPT, "page at 0/902000: magic D10D"},
	    {"second page: long", 8194, 2, 3, ERR_CORRUPT, "page at 0/902000"},
	    {"second page: stale", 8200, 8, 0x302000, ERR_CORRUPT, "000000010000000000000003"},
	    {"second page: rest", 8208, 4, 4000, ERR_CORRUPT, "bytes of a record should go on"},
	    {"second page: given up", 8194, 2, 8, ERR_CORRUPT, "page at 0/902000"},
	    {"record length 0", 40, 4, 0, ERR_CORRUPT, "record at 0/900028: there is none"},
	    {"record length 23", 40, 4, 23, ERR_CORRUPT, "23 bytes"},
	    {"record length 2 GB", 40, 4, UINT32_C(1) << 31, ERR_CORRUPT, "2147483648 bytes"},
	    {"record: xl_prev is later", 48, 8, 0x900028, ERR_CORRUPT, "said to be at 0/900028"},
	    {"record: CRC", 60, 4, 0, ERR_CORRUPT, "record at 0/900028: CRC is"},
	};
	size_t len;
	uint8_t *data = fixture(DENSE, &len), *copy = malloc(len);
	uint64_t sysid = le64_get(data + 24);

	(void)state;
	assert_non_null(copy);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wal_walk_options opt = fixture_options(DENSE, WAL_COMPLETE);
		struct wal_summary s;
		struct err err = {0};
		int rc;

		opt.sysid = sysid;
		opt.segment_size = (uint32_t)len;
		memcpy(copy, data, len);
		memcpy(copy + rows[i].at, &rows[i].value, rows[i].width);
		rc = fixture_walk(&opt, copy, len, len, &s, &err);
		if (rc != rows[i].kind || strstr(err.msg, rows[i].msg) == NULL)
			fail_msg("%s: %d '%s'", rows[i].what, rc, err.msg);
	}
	free(data);
	free(copy);
}

static void
wrong_sizes_and_wrong_names_are_refused(void **state)
{
	size_t len;
	uint8_t *data = fixture(DENSE, &len), *longer = calloc(1, len + 1);
	struct wal_walk_options opt = fixture_options(DENSE, WAL_COMPLETE);
	struct wal_summary s;
	struct err err = {0};

	(void)state;
	assert_int_equal(fixture_walk(&opt, data, len - 1, len, &s, &err), ERR_CORRUPT);
	assert_int_equal(fixture_walk(&opt, data, 30, len, &s, &err), ERR_CORRUPT);
	assert_int_equal(fixture_walk(&opt, data, 0, len, &s, &err), ERR_CORRUPT);
	memcpy(longer, data, len);
	assert_int_equal(fixture_walk(&opt, longer, len + 1, len + 1, &s, &err), ERR_CORRUPT);
	opt.mode = WAL_PARTIAL;
	assert_int_equal(fixture_walk(&opt, longer, len + 1, 4096, &s, &err), ERR_CORRUPT);
	opt = fixture_options("00000001000000000000000A", WAL_COMPLETE);
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.msg, DENSE));
	opt = fixture_options("000000010000000000001009", WAL_COMPLETE); /* there are 4096 segments of 1 MB */
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), ERR_CORRUPT);
	opt.name.kind = WAL_NAME_HISTORY;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), ERR_BUG);
	free(data);
	free(longer);
}

static void
a_newer_major_is_stored_unverified_but_not_from_another_system(void **state)
{
	size_t len;
	uint8_t *data = fixture(DENSE, &len);
	struct wal_walk_options opt = fixture_options(DENSE, WAL_COMPLETE);
	struct wal_summary s;
	struct err err = {0};

	(void)state;
	for (size_t at = 0; at < len; at += 8192)
		memcpy(data + at, "\x21\xd1", 2);
	data[100] ^= 1;
	assert_int_equal(fixture_walk(&opt, data, len, 777, &s, &err), 0);
	assert_false(s.verified);
	assert_int_equal(s.segment_size, len);
	assert_int_equal(s.sysid, le64_get(data + 24));
	assert_int_equal(fixture_walk(&opt, data, len - 1, 777, &s, &err), ERR_CORRUPT);
	opt.sysid = 1;
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), ERR_REFUSED);
	memset(data + 32, 0xFF, 8); /* a header of another shape: nothing in it is trusted */
	assert_int_equal(fixture_walk(&opt, data, len, len, &s, &err), 0);
	assert_false(s.verified);
	assert_int_equal(s.sysid, 0);
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_are_those_that_pg_waldump_sees),
	    cmocka_unit_test(pieces_of_any_size_give_the_same_summary),
	    cmocka_unit_test(a_segment_without_any_record_start_passes),
	    cmocka_unit_test(restore_points_and_prepared_transactions_are_reported),
	    cmocka_unit_test(a_switch_split_by_the_segment_end_leaves_zeros),
	    cmocka_unit_test(a_promoted_partial_ends_quietly_and_is_no_complete_segment),
	    cmocka_unit_test(wal_level_minimal_is_flagged),
	    cmocka_unit_test(damaged_headers_are_refused_by_name),
	    cmocka_unit_test(wrong_sizes_and_wrong_names_are_refused),
	    cmocka_unit_test(a_newer_major_is_stored_unverified_but_not_from_another_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
