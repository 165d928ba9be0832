/* The summary of a segment as the parts of an object, and back; parts that are not so are refused. */
#include "wal_fixture.h"
#include "check.h"

#include "repo/wal_object.h"

static const uint8_t content[CONTENT_ID] = {1, 2, 3};

static void
encode(const struct wal_summary *s, json_t **clear, json_t **sealed)
{
	BUF_AUTO struct buf c = {0}, h = {0};
	struct err err = {0};

	must(wal_object_encode(s, content, 1 << 20, "000000010000000000000009", &c, &h, &err), &err);
	must(json_read(clear, c.data, c.len, "clear", &err), &err);
	must(json_read(sealed, h.data, h.len, "sealed", &err), &err);
}

static void
a_summary_of_real_wal_comes_back(void **state)
{
	static const char *const names[] = {"000000010000000000000009", "00000001000000000000000A", "00000001000000000000000B",
	    "00000001000000000000000C", "00000001000000000000000D", "00000001000000000000000E", "00000001000000000000000F",
	    "000000010000000000000010", "000000010000000000000015", "000000010000000000000016", "000000020000000000000013"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct wal_walk_options o = fixture_options(names[i], WAL_COMPLETE);
		JSON_AUTO json_t *clear = NULL, *sealed = NULL;
		struct wal_summary s, back;
		struct err err = {0};
		uint8_t id[CONTENT_ID];
		size_t len;
		FREE_AUTO uint8_t *data = fixture(names[i], &len);

		must(fixture_walk(&o, data, len, len, &s, &err), &err);
		encode(&s, &clear, &sealed);
		must(wal_object_content_id(clear, id, &err), &err);
		assert_memory_equal(id, content, CONTENT_ID);
		must(wal_object_decode(&back, clear, sealed, &err), &err);
		memset(s.tail.bytes + s.tail.kept, 0, sizeof(s.tail.bytes) - s.tail.kept);
		memset(s.head.bytes + s.head.kept, 0, sizeof(s.head.bytes) - s.head.kept);
		assert_int_equal(back.start, s.start);
		assert_int_equal(back.end, s.end);
		assert_int_equal(back.sysid, s.sysid);
		assert_int_equal(back.n_records, s.n_records);
		assert_int_equal(back.first_prev, s.first_prev);
		assert_int_equal(back.last_record, s.last_record);
		assert_int_equal(back.commit_count, s.commit_count);
		assert_int_equal(back.max_time_us, s.max_time_us);
		assert_int_equal(back.contains_switch, s.contains_switch);
		assert_int_equal(back.point_count, s.point_count);
		assert_memory_equal(back.head.bytes, s.head.bytes, sizeof(s.head.bytes));
		assert_int_equal(back.head.crc0, s.head.crc0);
		assert_int_equal(back.head.end, s.head.end);
		assert_memory_equal(&back.tail, &s.tail, sizeof(s.tail));
		assert_int_equal(back.has_limits, s.has_limits);
		assert_memory_equal(&back.limits, &s.limits, sizeof(s.limits));
		for (uint64_t k = 0; k < s.point_count; k++)
			assert_string_equal(back.points[k].name, s.points[k].name);
		must(wal_object_decode(&back, clear, NULL, &err), &err);
		assert_int_equal(back.head.kept, 0);
		assert_true(back.tail.kept <= WAL_RECORD_HEADER); /* no more is said to everybody */
		assert_int_equal(back.point_count, s.point_count);
	}
}

static void
limits_of_a_server_come_back(void **state)
{
	JSON_AUTO json_t *clear = NULL, *sealed = NULL;
	struct wal_summary s = {.start = 1 << 20, .has_limits = true, .limits = {{100, 8, 10, 0, 64}}}, back;
	struct err err = {0};

	(void)state;
	encode(&s, &clear, &sealed);
	must(wal_object_decode(&back, clear, sealed, &err), &err);
	assert_true(back.has_limits);
	assert_memory_equal(&back.limits, &s.limits, sizeof(s.limits));
}

/* Nothing that a user wrote stands in the part that a store's operator reads. */
static void
names_of_restore_points_are_sealed(void **state)
{
	JSON_AUTO json_t *clear = NULL, *sealed = NULL;
	BUF_AUTO struct buf written = {0};
	const char *text;
	struct wal_summary s = {.start = 1 << 20, .point_count = 2}, back;
	struct err err = {0};

	(void)state;
	memcpy(s.points[0].name, "a secret name", 14);
	memcpy(s.points[1].name, "\xff\xfe", 3); /* not UTF-8 */
	s.head = (struct wal_head){.expected = 40, .len = 40, .kept = 16};
	memset(s.head.bytes, 0xcd, 16);
	encode(&s, &clear, &sealed);
	must(json_write(clear, &written, &err), &err);
	text = buf_text(&written);
	assert_null(strstr(text, "secret"));
	assert_null(strstr(text, "cdcdcd"));
	assert_null(strstr(text, "000000010000000000000009"));
	must(wal_object_decode(&back, clear, sealed, &err), &err);
	assert_string_equal(back.points[0].name, "a secret name");
	assert_string_equal(back.points[1].name, "\xff\xfe");
	assert_memory_equal(back.head.bytes, s.head.bytes, 16);
}

/* One byte more than is kept of what lies over an edge. */
#define HEX_16 "00000000000000000000000000000000"
#define HEX_TOO_LONG "\"" HEX_16 HEX_16 HEX_16 HEX_16 HEX_16 HEX_16 HEX_16 HEX_16 "00\""

static void
parts_that_are_not_so_are_refused(void **state)
{
	static const struct {
		const char *member, *value;
		bool sealed;
	} rows[] = {
	    {"system_identifier", "1", false},
	    {"system_identifier", "\"x\"", false},
	    {"system_identifier", "\"18446744073709551616\"", false},
	    {"timeline", "-1", false},
	    {"timeline", "4294967296", false},
	    {"records", "\"1\"", false},
	    {"start", "\"0/x\"", false},
	    {"start", "16", false},
	    {"verified", "1", false},
	    {"magic", "65536", false},
	    {"major", "1001", false},
	    {"max_time", "1.5", false},
	    {"max_time", "null", false},
	    {"records", "null", false},
	    {"tail", "{\"start\":\"x\",\"total\":48,\"length\":24,\"crc\":1,\"header\":\"00\"}", false},
	    {"tail", "{\"start\":\"0/100000\",\"total\":48,\"length\":24,\"crc\":1,\"header\":\"000\"}", false},
	    {"tail",
		"{\"start\":\"0/"
		"100000\",\"total\":48,\"length\":24,\"crc\":1,\"header\":"
		"\"00000000000000000000000000000000000000000000000000\"}",
		false},
	    {"tail", "{\"start\":\"0/0\",\"total\":48,\"length\":24,\"crc\":1,\"header\":\"00\"}", false},
	    {"tail", "{\"start\":\"0/100000\",\"total\":48,\"length\":24,\"header\":\"00\"}", false},
	    {"head", "{\"expected\":-1,\"length\":1,\"crc0\":1}", false},
	    {"head", "{\"expected\":0,\"length\":1,\"crc0\":1}", false},
	    {"head", "{\"length\":1,\"crc0\":1}", false},
	    {"head", "\"x\"", false},
	    {"tail", "[]", false},
	    {"limits", "1", false},
	    {"limits", "null", false},
	    {"limits", "[1,2,3,4]", false},
	    {"limits", "[1,2,3,4,-5]", false},
	    {"limits", "[1,2,3,4,2147483648]", false},
	    {"limits", "[1,2,3,4,\"5\"]", false},
	    {"head", "\"zz\"", true},
	    {"head", HEX_TOO_LONG, true},
	    {"tail", HEX_TOO_LONG, true},
	    {"tail", "7", true},
	    {"tail", NULL, false}, /* and in the sealed part what follows it */
	    {"restore_points", "[{\"name\":\"a\"},{\"name\":\"b\"}]", true},
	    {"restore_points", "[{}]", true},
	    {"restore_points", "[1]", true},
	    {"restore_points", "[{\"name\":\"1234567890123456789012345678901234567890123456789012345678901234\"}]", true},
	    {"restore_points", "[{\"name_hex\":\"0\"}]", true},
	};
	struct wal_summary s = {.start = 1 << 20,
			       .commit_count = 1,
			       .point_count = 1,
			       .tail = {.start = (2 << 20) - 200, .total = 400, .have = 200, .kept = WAL_KEEP}},
			   back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		JSON_AUTO json_t *clear = NULL, *sealed = NULL;
		struct err err = {0};
		char row[160];
		int rc;

		encode(&s, &clear, &sealed);
		must(wal_object_decode(&back, clear, sealed, &err), &err);
		if (rows[i].value == NULL)
			json_object_del(rows[i].sealed ? sealed : clear, rows[i].member);
		else
			json_object_set_new(
			    rows[i].sealed ? sealed : clear, rows[i].member, json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
		(void)snprintf(row, sizeof(row), "%s = %s", rows[i].member, rows[i].value ? rows[i].value : "left out");
		rc = wal_object_decode(&back, clear, sealed, &err);
		if (rc != ERR_CONFIG) /* a name that is too long */
			must_fail(rc, ERR_CORRUPT, &err, row);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_summary_of_real_wal_comes_back),
	    cmocka_unit_test(names_of_restore_points_are_sealed),
	    cmocka_unit_test(limits_of_a_server_come_back),
	    cmocka_unit_test(parts_that_are_not_so_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
