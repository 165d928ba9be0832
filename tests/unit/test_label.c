#include "wal_fixture.h"

#include "base/scope.h"
#include "pg/label.h"
#include "pg/tablespace_map.h"

#define L1 "START WAL LOCATION: 0/1200028 (file 000000010000000000000012)\n"
#define L2 "CHECKPOINT LOCATION: 0/1200060\n"
#define L3 "BACKUP METHOD: streamed\n"
#define L4 "BACKUP FROM: primary\n"
#define L5 "START TIME: 2026-11-23 18:11:12 UTC\n"
#define L6 "LABEL: a label: with a colon\n"
#define L7 "START TIMELINE: 1\n"
#define STOP "STOP WAL LOCATION: 0/1200100 (file 000000010000000000000012)\n"

static int
parse(struct label *l, const char *text)
{
	return label_parse(l, text, strlen(text), NULL);
}

static void
labels_of_all_majors_are_read(void **state)
{
	struct label l;

	(void)state;
	assert_int_equal(parse(&l, L1 L2 L3 L4 L5 L6 L7), 0);
	assert_int_equal(l.start_lsn, 0x1200028);
	assert_string_equal(l.start_segment, "000000010000000000000012");
	assert_int_equal(l.checkpoint_lsn, 0x1200060);
	assert_string_equal(l.text, "a label: with a colon");
	assert_int_equal(l.start_timeline, 1);
	assert_false(l.from_standby || l.has_stop || l.incremental);
	assert_int_equal(parse(&l, L1 L2 L3 "BACKUP FROM: standby\n" L5 L6 L7), 0);
	assert_true(l.from_standby);
	assert_int_equal(parse(&l, "START WAL LOCATION: 0/01200028 (file 000000010000000000000012)\n"
				   "CHECKPOINT LOCATION: A/01200060\n" L3 L4 L5 "LABEL: \n" L7
				   "INCREMENTAL FROM LSN: 0/02000028\nINCREMENTAL FROM TLI: 3\n"),
	    0);
	assert_true(l.incremental);
	assert_int_equal(l.incremental_lsn, 0x2000028);
	assert_int_equal(l.incremental_timeline, 3);
	assert_int_equal(parse(&l, L1 L2 L3 L4 L5 L6 L7 "SOMETHING NEW: 1\n"), 0);
}

static void
the_history_file_of_a_real_backup_is_read(void **state)
{
	size_t len;
	char *text = fixture_raw("000000010000000000000012.00000028.backup", &len);
	struct label l;

	(void)state;
	assert_int_equal(label_parse(&l, text, len, NULL), 0);
	assert_true(l.has_stop);
	assert_int_equal(l.start_lsn, 0x1200028);
	assert_true(l.stop_lsn > l.checkpoint_lsn);
	assert_string_equal(l.stop_segment, "000000010000000000000012");
	assert_int_equal(l.stop_timeline, 1);
	for (size_t n = 0; n < len; n++) /* cut anywhere */
		assert_int_equal(label_parse(&l, text, n, NULL), ERR_CORRUPT);
	free(text);
}

static void
labels_that_the_server_would_misread_are_refused(void **state)
{
	static const char *const rows[] = {
	    "",
	    L1 L2 L3 L4 L5 L6 "START TIMELINE: 1",
	    L1 L2 L3 L4 L5 L6,
	    L2 L3 L4 L5 L6 L7,
	    L2 L1 L3 L4 L5 L6 L7,
	    L1 L1 L2 L3 L4 L5 L6 L7,
	    L1 L2 L3 L4 L5 "LABEL: two\nlines\n" L7,
	    L1 L2 L3 L4 L5 L6 "START TIMELINE: 1\r\n",
	    L1 L2 L3 L4 L5 L6 "START TIMELINE: 0\n",
	    L1 L2 L3 L4 L5 L6 "START TIMELINE: 4294967296\n",
	    L1 L2 "BACKUP METHOD: magic\n" L4 L5 L6 L7,
	    L1 L2 L3 "BACKUP FROM: friend\n" L5 L6 L7,
	    "START WAL LOCATION: 0/1200028\n" L2 L3 L4 L5 L6 L7,
	    "START WAL LOCATION: 0/1200028 (file 00000001000000000000001)\n" L2 L3 L4 L5 L6 L7,
	    "START WAL LOCATION: 0/1200028 (file 000000000000000000000012)\n" L2 L3 L4 L5 L6 L7,
	    "START WAL LOCATION: zero (file 000000010000000000000012)\n" L2 L3 L4 L5 L6 L7,
	    L1 "CHECKPOINT LOCATION: 0/1200060 \n" L3 L4 L5 L6 L7,
	    L1 STOP L2 L3 L4 L5 L6 L7,
	    L1 STOP L2 L3 L4 L5 L6 L7 "STOP TIME: x\n",
	    L1 L2 L3 L4 L5 L6 L7 "STOP TIMELINE: 1\n",
	    L1 L2 L3 L4 L5 L6 L7 "INCREMENTAL FROM LSN: 0/1\n",
	    L1 L2 L3 L4 L5 L6 L7 "no colon\n",
	    L1 "UNKNOWN: early\n" L2 L3 L4 L5 L6 L7,
	};
	struct label l;
	char longer[4000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (parse(&l, rows[i]) != ERR_CORRUPT)
			fail_msg("row %zu passed", i);
	}
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\n';
	assert_int_equal(label_parse(&l, longer, sizeof(longer), NULL), ERR_CORRUPT);
}

static void
tablespaces_come_back_as_they_were_written(void **state)
{
	static const char *const paths[] = {
	    "/srv/a", "/srv/with blank", "/srv/back\\slash", "/srv/line\nfeed", "/srv/cr\rx", "\\"};
	struct tablespace_entry entries[ARRAY_LEN(paths)];
	struct tablespace_map map = {.n = ARRAY_LEN(paths), .entries = entries};
	TABLESPACE_MAP_AUTO struct tablespace_map back = {0};
	BUF_AUTO struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		entries[i] = (struct tablespace_entry){.oid = (uint32_t)(16400 + i), .path = strdup(paths[i])};
	assert_int_equal(tablespace_map_write(&map, &b, NULL), 0);
	assert_non_null(strstr(buf_text(&b), "16402 /srv/back\\\\slash\n16403 /srv/line\\\nfeed\n"));
	assert_int_equal(tablespace_map_parse(&back, buf_text(&b), b.len, NULL), 0);
	assert_int_equal(back.n, map.n);
	for (size_t i = 0; i < map.n; i++) {
		assert_int_equal(back.entries[i].oid, entries[i].oid);
		assert_string_equal(back.entries[i].path, paths[i]);
	}
	entries[0].path[0] = '\0';
	assert_int_equal(tablespace_map_write(&map, &b, NULL), ERR_CONFIG);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		free(entries[i].path);
}

static void
maps_that_the_server_would_misread_are_refused(void **state)
{
	static const char *const rows[] = {"\n", "16400\n", "16400 \n", " /srv\n", "abc /srv\n", "0 /srv\n",
	    "4294967296 /srv\n", "16400 /srv", "16400 /srv\\\n", "16400 /srv\r\n", "16400 /a\n16400 /b\n", "16400 /a\n\n"};
	TABLESPACE_MAP_AUTO struct tablespace_map map = {0};
	char longer[3000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (tablespace_map_parse(&map, rows[i], strlen(rows[i]), NULL) != ERR_CORRUPT)
			fail_msg("row %zu passed", i);
	}
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "16400 /", 7);
	longer[sizeof(longer) - 1] = '\n';
	assert_int_equal(tablespace_map_parse(&map, longer, sizeof(longer), NULL), ERR_CORRUPT);
	assert_int_equal(tablespace_map_parse(&map, "16400 /a\0b\n", 11, NULL), ERR_CORRUPT);
	assert_int_equal(tablespace_map_parse(&map, "", 0, NULL), 0);
	assert_int_equal(map.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(labels_of_all_majors_are_read),
	    cmocka_unit_test(the_history_file_of_a_real_backup_is_read),
	    cmocka_unit_test(labels_that_the_server_would_misread_are_refused),
	    cmocka_unit_test(tablespaces_come_back_as_they_were_written),
	    cmocka_unit_test(maps_that_the_server_would_misread_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
