/* The manifest: what is written is read back, and what is not so is refused, line by line and member by member. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"
#include "repo/manifest.h"

/* Two packs: 1000 and 50 plain bytes. */
static struct manifest_pack packs[] = {
    {.plain = 1000, .stored = 900, .digest = {1}}, {.plain = 50, .stored = 60, .digest = {2}}};

static struct manifest_head
sample(void)
{
	return (struct manifest_head){
	    .label = "20260101T000000Z-0001",
	    .sysid = UINT64_C(17000000000000000001),
	    .major = 15,
	    .server_version = 150020,
	    .segment_size = 16 << 20,
	    .data_checksums = true,
	    .start_timeline = 3,
	    .stop_timeline = 4,
	    .start_lsn = UINT64_C(0x1F00000028),
	    .stop_lsn = UINT64_C(0x1F00000100),
	    .checkpoint_lsn = UINT64_C(0x1F00000060),
	    .from_standby = true,
	    .start_time_us = 1767225600000000,
	    .stop_time_us = 1767225601000001,
	    .size = 30,
	    .files = 1,
	    .bad_pages = 0,
	    .packs = packs,
	    .n_packs = ARRAY_LEN(packs),
	};
}

static json_t *
encoded(const struct manifest_head *h)
{
	BUF_AUTO struct buf text = {0};
	json_t *o;

	assert_int_equal(manifest_head_encode(h, &text, NULL), 0);
	assert_int_equal(json_read(&o, text.data, text.len, "head", NULL), 0);
	return o;
}

static void
a_head_comes_back_as_it_was(void **state)
{
	struct manifest_head h = sample(), back;
	JSON_AUTO json_t *o = encoded(&h);

	(void)state;
	assert_int_equal(json_object_set_new(o, "of_a_later_version", json_true()), 0);
	assert_int_equal(manifest_head_decode(&back, o, NULL), 0);
	assert_int_equal(back.n_packs, h.n_packs);
	assert_memory_equal(back.packs, h.packs, sizeof(packs));
	free(back.packs);
	back.packs = h.packs;
	assert_string_equal(back.label, h.label);
	assert_memory_equal(&back, &h, sizeof(h));
}

static void
a_malformed_head_is_refused(void **state)
{
	static const struct {
		const char *member, *value; /* value NULL: the member is missing */
	} rows[] = {
	    {"label", NULL},
	    {"label", "\"\""},
	    {"label", "\"../x\""},
	    {"label", "7"},
	    {"type", "\"differential\""},
	    {"system_identifier", "17"},
	    {"system_identifier", "\"0\""},
	    {"system_identifier", "\"18446744073709551616\""},
	    {"major", "9"},
	    {"server_version", "15"},
	    {"segment_size", "16777215"},
	    {"segment_size", "-16777216"},
	    {"data_checksums", "1"},
	    {"start_timeline", "0"},
	    {"start_timeline", "5"}, /* behind the stop's */
	    {"stop_timeline", "4294967296"},
	    {"start_lsn", "\"1F/200\""}, /* behind the stop */
	    {"start_lsn", "\"1F00000028\""},
	    {"stop_lsn", "\"1F/27\""},
	    {"stop_lsn", NULL},
	    {"checkpoint_lsn", "\"1F/0\""},
	    {"from_standby", NULL},
	    {"start_time", "\"2026-01-01\""},
	    {"size", "-1"},
	    {"files", "1.5"},
	    {"bad_pages", NULL},
	    {"packs", NULL},
	    {"packs", "{}"},
	    {"packs", "[7]"},
	    {"packs", "[[1,2]]"},
	    {"packs", "[[1,2,\"00\"]]"},
	    {"packs", "[[-1,2,\"0000000000000000000000000000000000000000000000000000000000000000\"]]"},
	    {"packs", "[[17179869185,2,\"0000000000000000000000000000000000000000000000000000000000000000\"]]"},
	};
	struct manifest_head h = sample();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		JSON_AUTO json_t *o = encoded(&h);
		struct manifest_head back = {.files = 77};
		struct err err;

		if (rows[i].value == NULL)
			assert_int_equal(json_object_del(o, rows[i].member), 0);
		else
			assert_int_equal(
			    json_object_set_new(o, rows[i].member, json_loads(rows[i].value, JSON_DECODE_ANY, NULL)), 0);
		if (manifest_head_decode(&back, o, &err) != ERR_CORRUPT)
			fail_msg("row %zu was taken: %s = %s", i, rows[i].member, rows[i].value);
		assert_int_equal(back.files, 77); /* outputs are written on success only */
	}
}

/* What came out of the parser, as text. */
static int
collect(const struct manifest_entry *e, void *arg, struct err *err)
{
	struct buf *out = arg;

	return manifest_entry_encode(e, out, err);
}

static int
parse(const char *text, size_t len, size_t step, struct buf *out, struct err *err)
{
	MANIFEST_PARSER_AUTO struct manifest_parser *p = NULL;
	struct manifest_head h = sample();
	int rc = manifest_parser_new(&p, &h, collect, out, err);

	for (size_t at = 0; rc == 0 && at < len; at += step)
		rc = manifest_parser_feed(p, text + at, len - at < step ? len - at : step, err);
	return rc == 0 ? manifest_parser_finish(p, err) : rc;
}

#define DIR_LINE "{\"dir\":\"base\",\"mode\":448}\n"
#define FILE_LINE                                                                                                              \
	"{\"file\":\"base/"                                                                                                    \
	"1\",\"mode\":384,\"size\":30,\"mtime\":-5,\"crc32c\":4294967295,\"runs\":[[0,0,990,10],[10,1,30,20]]}\n"
#define END(dirs, files, configs, spaces, bad)                                                                                 \
	"{\"end\":true,\"dirs\":" #dirs ",\"files\":" #files ",\"configs\":" #configs ",\"tablespaces\":" #spaces              \
	",\"bad_pages\":" #bad "}\n"

static void
lines_come_back_wherever_their_pieces_are_cut(void **state)
{
	static const char lines[] =
	    "{\"tablespace\":16401,\"location\":\"/srv/t s\"}\n" DIR_LINE "{\"dir_hex\":\"62ff2f63\",\"mode\":448}\n" FILE_LINE
	    "{\"setting\":\"hba_file\",\"config\":\"/etc/"
	    "pg_hba.conf\",\"mode\":416,\"size\":0,\"mtime\":1,\"crc32c\":0,\"runs\":[]}\n";
	static const char text[] = "%s" END(2, 1, 1, 1, 0);
	FREE_AUTO char *whole = str_printf("%s%s", lines, text + 2);

	(void)state;
	for (size_t step = 1; step <= strlen(whole); step++) {
		BUF_AUTO struct buf out = {0};
		struct err err = {0};

		if (parse(whole, strlen(whole), step, &out, &err) != 0)
			fail_msg("pieces of %zu bytes: %s", step, err.msg);
		assert_string_equal(buf_text(&out), lines);
	}
}

static void
a_file_in_pgdata_keeps_the_setting_that_names_it(void **state)
{
	static const char line[] = "{\"setting\":\"config_file\",\"file\":\"conf/x\",\"mode\":384,\"size\":30,\"mtime\":5,"
				   "\"crc32c\":7,\"runs\":[[0,0,990,10],[10,1,30,20]]}\n";
	static const char end[] = END(0, 1, 0, 0, 0);
	FREE_AUTO char *whole = str_printf("%s%s", line, end);
	BUF_AUTO struct buf out = {0};
	struct err err = {0};

	(void)state;
	if (parse(whole, strlen(whole), strlen(whole), &out, &err) != 0)
		fail_msg("%s", err.msg);
	assert_string_equal(buf_text(&out), line);
}

static void
unknown_members_are_passed_over_and_unknown_lines_are_not(void **state)
{
	static const char more[] = "{\"dir\":\"base\",\"mode\":448,\"of_a_later_version\":[1]}\n" FILE_LINE END(1, 1, 0, 0, 0);
	static const char other[] = "{\"link\":\"base\"}\n" FILE_LINE END(0, 1, 0, 0, 0);
	BUF_AUTO struct buf out = {0};
	struct err err;

	(void)state;
	assert_int_equal(parse(more, strlen(more), 7, &out, NULL), 0);
	assert_string_equal(buf_text(&out), DIR_LINE FILE_LINE);
	assert_int_equal(parse(other, strlen(other), 7, &out, &err), ERR_CORRUPT);
}

#define FILE_OF(path, size, runs)                                                                                              \
	"{\"file\":\"" path "\",\"mode\":384,\"size\":" #size ",\"mtime\":0,\"crc32c\":0,\"runs\":" runs "}\n"

static void
a_malformed_manifest_is_refused(void **state)
{
	static const char *const rows[] = {
	    /* the end */
	    "",
	    "\n",
	    FILE_LINE,
	    FILE_LINE "{\"end\":true}\n",
	    FILE_LINE END(0, 1, 0, 0, 0) "\n",
	    FILE_LINE END(0, 1, 0, 0, 0) DIR_LINE,
	    FILE_LINE END(0, 1, 0, 0, 0) "{",
	    FILE_LINE "{\"end\":true,\"dirs\":0,\"files\":1,\"configs\":0,\"tablespaces\":0,\"bad_pages\":0}",
	    FILE_LINE END(1, 1, 0, 0, 0),
	    FILE_LINE END(0, 2, 0, 0, 0),
	    FILE_LINE DIR_LINE END(0, 1, 0, 0, 0),
	    /* what the clear part says: one file, 30 bytes, no bad page */
	    END(0, 0, 0, 0, 0),
	    FILE_LINE FILE_LINE END(0, 2, 0, 0, 0),
	    FILE_OF("a", 29, "[[0,0,0,29]]") END(0, 1, 0, 0, 0),
	    FILE_LINE "{\"bad_page\":\"base/1\",\"block\":7}\n" END(0, 1, 0, 0, 1),
	    /* no line */
	    "nonsense\n",
	    "[]\n",
	    "{}\n",
	    "{\"dir\":\"base\",\"dir\":\"base\",\"mode\":448}\n",
	    /* paths */
	    FILE_OF("", 30, "[[0,0,0,30]]"),
	    FILE_OF("/etc/passwd", 30, "[[0,0,0,30]]"),
	    FILE_OF("../x", 30, "[[0,0,0,30]]"),
	    FILE_OF("a/../../x", 30, "[[0,0,0,30]]"),
	    FILE_OF("pg_tblspc/16384/x.conf", 30, "[[0,0,0,30]]") END(0, 1, 0, 0, 0),
	    FILE_OF("pg_tblspc/16384/x/PG_15", 30, "[[0,0,0,30]]") END(0, 1, 0, 0, 0),
	    FILE_OF("a//b", 30, "[[0,0,0,30]]"),
	    FILE_OF("a/", 30, "[[0,0,0,30]]"),
	    FILE_OF("a\\u0000b", 30, "[[0,0,0,30]]"),
	    "{\"file\":7,\"mode\":384,\"size\":0,\"mtime\":0,\"crc32c\":0,\"runs\":[]}\n",
	    "{\"dir\":\".\",\"mode\":448}\n",
	    "{\"dir_hex\":\"2e2e\",\"mode\":448}\n",
	    "{\"dir_hex\":\"610062\",\"mode\":448}\n",
	    "{\"dir_hex\":\"616\",\"mode\":448}\n",
	    "{\"dir_hex\":\"zz\",\"mode\":448}\n",
	    "{\"dir_hex\":\"\",\"mode\":448}\n",
	    "{\"dir\":\"a\",\"mode\":4096}\n",
	    "{\"dir\":\"a\"}\n",
	    "{\"tablespace\":0,\"location\":\"/srv\"}\n",
	    "{\"tablespace\":1,\"location\":\"srv\"}\n",
	    "{\"tablespace\":1}\n",
	    "{\"bad_page\":\"../a\",\"block\":1}\n",
	    "{\"bad_page\":\"a\",\"block\":4294967296}\n",
	    "{\"config\":\"a\",\"mode\":384,\"size\":0,\"mtime\":0,\"crc32c\":0,\"runs\":[]}\n",
	    "{\"config\":\"/etc/../a\",\"mode\":384,\"size\":0,\"mtime\":0,\"crc32c\":0,\"runs\":[]}\n",
	    "{\"file\":\"a\",\"setting\":\"x\",\"mode\":384,\"size\":30,\"mtime\":0,\"crc32c\":0,\"runs\":[[0,0,0,30]]}\n" END(
		0, 1, 0, 0, 0),
	    "{\"config\":\"/a\",\"setting\":\"x\",\"mode\":384,\"size\":0,\"mtime\":0,\"crc32c\":0,\"runs\":[]}\n",
	    /* runs; packs hold 1000 and 50 bytes */
	    FILE_OF("a", 30, "[]"),
	    FILE_OF("a", 30, "7"),
	    FILE_OF("a", 30, "[7]"),
	    FILE_OF("a", 30, "[[0,0,0]]"),
	    FILE_OF("a", 30, "[[0,0,0,30,0]]"),
	    FILE_OF("a", 30, "[[0,0,0,-30]]"),
	    FILE_OF("a", 30, "[[0,0,0,29]]"),
	    FILE_OF("a", 30, "[[0,0,0,31]]"),
	    FILE_OF("a", 30, "[[1,0,0,30]]"),
	    FILE_OF("a", 30, "[[0,0,0,10],[11,0,0,19]]"),
	    FILE_OF("a", 30, "[[0,0,0,10],[9,0,0,21]]"),
	    FILE_OF("a", 30, "[[0,0,0,0],[0,0,0,30]]"),
	    FILE_OF("a", 30, "[[0,2,0,30]]"),
	    FILE_OF("a", 30, "[[0,4294967296,0,30]]"),
	    FILE_OF("a", 30, "[[0,0,971,30]]"),
	    FILE_OF("a", 30, "[[0,0,9223372036854775807,30]]"),
	    FILE_OF("a", 30, "[[0,1,21,30]]"),
	    FILE_OF("a", -1, "[]"),
	    FILE_OF("a", 1e3, "[]"),
	    "{\"file\":\"a\",\"mode\":384,\"size\":0,\"mtime\":0,\"crc32c\":4294967296,\"runs\":[]}\n",
	    "{\"file\":\"a\",\"mode\":384,\"size\":0,\"mtime\":0,\"runs\":[]}\n",
	};
	static const char good[] = FILE_LINE END(0, 1, 0, 0, 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf out = {0};
		struct err err;

		assert_int_equal(parse(good, strlen(good), 11, &out, NULL), 0);
		if (parse(rows[i], strlen(rows[i]), 11, &out, &err) != ERR_CORRUPT)
			fail_msg("row %zu was taken: %s", i, rows[i]);
	}
}

static void
a_line_without_an_end_is_refused_before_memory_is_used_up(void **state)
{
	FREE_AUTO char *blanks = malloc(MANIFEST_LINE_MAX + 2);
	BUF_AUTO struct buf out = {0};
	struct err err;

	(void)state;
	memset(blanks, ' ', MANIFEST_LINE_MAX + 2);
	assert_int_equal(parse(blanks, MANIFEST_LINE_MAX + 2, 1 << 20, &out, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.msg, "too long"));
}

static void
a_callback_that_fails_ends_the_reading(void **state)
{
	static const char text[] = FILE_LINE END(0, 1, 0, 0, 0);
	struct buf full = {.max = 1};
	struct err err;

	(void)state;
	assert_int_equal(parse(text, strlen(text), 5, &full, &err), ERR_NOMEM);
	buf_free(&full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_head_comes_back_as_it_was),
	    cmocka_unit_test(a_malformed_head_is_refused),
	    cmocka_unit_test(lines_come_back_wherever_their_pieces_are_cut),
	    cmocka_unit_test(a_file_in_pgdata_keeps_the_setting_that_names_it),
	    cmocka_unit_test(unknown_members_are_passed_over_and_unknown_lines_are_not),
	    cmocka_unit_test(a_malformed_manifest_is_refused),
	    cmocka_unit_test(a_line_without_an_end_is_refused_before_memory_is_used_up),
	    cmocka_unit_test(a_callback_that_fails_ends_the_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
