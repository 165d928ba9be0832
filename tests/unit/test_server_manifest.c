#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>

#include "base/buf.h"
#include "base/str.h"
#include "pg/server_manifest.h"

#define HEAD1 "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
#define HEAD2 "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 18446744073709551615,\n"
#define FILES "\"Files\": [\n"
#define MODIFIED "\"Last-Modified\": \"2026-01-02 03:04:05 GMT\""
#define FILE1                                                                                                                  \
	"{ \"Path\": \"base/1/2\", \"Size\": 8192, " MODIFIED                                                                  \
	", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"8a744722\" }"
#define FILE2 "{ \"Encoded-Path\": \"62ff\", \"Size\": 0, " MODIFIED " }"
#define NEXT "],\n\"WAL-Ranges\": [\n"
#define RANGE "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"1/2000100\" }"
#define TAIL NEXT RANGE "\n],\n"

struct log {
	struct buf text;
	int fail_at;
	int calls;
};

static int
told(struct log *l, struct err *err)
{
	return ++l->calls == l->fail_at ? err_set(err, ERR_NOSPACE, 0, "told to fail") : 0;
}

static int
on_file(const struct server_manifest_file *f, void *arg, struct err *err)
{
	struct log *l = arg;

	(void)buf_printf(&l->text, NULL, "%s:%llu:%s:%08x:%lld\n", f->path, (unsigned long long)f->size,
	    server_checksum_name(f->algorithm), f->crc32c, (long long)f->modified_us);
	return told(l, err);
}

static int
on_range(const struct server_manifest_range *r, void *arg, struct err *err)
{
	struct log *l = arg;

	(void)buf_printf(
	    &l->text, NULL, "%u:%llx:%llx\n", r->timeline, (unsigned long long)r->start, (unsigned long long)r->end);
	return told(l, err);
}

static int
read_all(struct log *l, const void *bytes, size_t len, size_t piece, struct server_manifest_end *end)
{
	static const struct server_manifest_events events = {.file = on_file, .range = on_range};
	SERVER_MANIFEST_AUTO struct server_manifest *m = NULL;
	int rc = server_manifest_new(&m, &events, l, NULL);

	for (size_t at = 0; rc == 0 && at < len; at += piece)
		rc = server_manifest_feed(m, (const uint8_t *)bytes + at, len - at < piece ? len - at : piece, NULL);
	return rc != 0 ? rc : server_manifest_finish(m, end, NULL);
}

/* Add the checksum that belongs to what is there. */
static void
seal(struct buf *b)
{
	uint8_t sum[32];
	char hex[65];

	crypto_hash_sha256(sum, b->data, b->len);
	str_to_hex(hex, sum, sizeof(sum));
	assert_int_equal(buf_printf(b, NULL, "\"Manifest-Checksum\": \"%s\"}\n", hex), 0);
}

static void
chunks_of_any_size_give_the_same_files(void **state)
{
	static const size_t pieces[] = {1, 2, 7, 100, 65536};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		BUF_AUTO struct buf b = {0};
		struct server_manifest_end end = {0};
		struct log l = {0};

		assert_int_equal(buf_printf(&b, NULL, "%s", HEAD2 FILES FILE1 ",\n" FILE2 "\n" TAIL), 0);
		seal(&b);
		assert_int_equal(read_all(&l, b.data, b.len, pieces[i], &end), 0);
		assert_string_equal(buf_text(&l.text),
		    "base/1/"
		    "2:8192:CRC32C:2247748a:1767323045000000\nb\xff:0:NONE:00000000:1767323045000000\n1:2000028:102000100\n");
		assert_int_equal(end.version, 2);
		assert_true(end.has_system_identifier && end.system_identifier == UINT64_MAX);
		assert_true(end.files == 2 && end.ranges == 1 && end.bytes == b.len);
		buf_free(&l.text);
	}
}

/* Each row is sealed, so that only its shape is at fault. */
static void
shapes_that_no_server_writes_are_refused(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
	    {HEAD1 FILES FILE1 "\n" TAIL, 0},
	    {HEAD1 FILES TAIL, 0}, /* no files at all */
	    {HEAD2 FILES FILE1 "\n" NEXT RANGE ",\n" RANGE "\n],\n", 0},
	    {"", ERR_CORRUPT},
	    {FILES FILE1 "\n" TAIL, ERR_CORRUPT},
	    {"\n" HEAD1 FILES FILE1 "\n" TAIL, ERR_CORRUPT},
	    {"{ \"PostgreSQL-Backup-Manifest-Version\": 0,\n" FILES TAIL, ERR_CORRUPT},
	    {"{ \"PostgreSQL-Backup-Manifest-Version\": 3,\n" FILES TAIL, ERR_CORRUPT},
	    {"{ \"PostgreSQL-Backup-Manifest-Version\": -1,\n" FILES TAIL, ERR_CORRUPT},
	    {"{ \"PostgreSQL-Backup-Manifest-Version\": 1x,\n" FILES TAIL, ERR_CORRUPT},
	    {"{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n" FILES TAIL, ERR_CORRUPT},
	    {"{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 18446744073709551616,\n" FILES TAIL,
		ERR_CORRUPT},
	    {"{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": \"7\",\n" FILES TAIL, ERR_CORRUPT},
	    {HEAD1 "\"Files\": [ " FILE1 "\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES FILE1 ",\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" FILE1 "\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES ",\n" FILE1 "\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES FILE1 ",,\n" FILE1 "\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES FILE1 ", " FILE1 "\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES "[]\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES "{}\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES "{\n" TAIL, ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" NEXT "],\n", ERR_CORRUPT}, /* no WAL */
	    {HEAD1 FILES FILE1 "\n" NEXT "{ \"Timeline\": 0, \"Start-LSN\": \"0/1\", \"End-LSN\": \"0/2\" }\n],\n",
		ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" NEXT "{ \"Timeline\": 4294967296, \"Start-LSN\": \"0/1\", \"End-LSN\": \"0/2\" }\n],\n",
		ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" NEXT "{ \"Timeline\": 1, \"Start-LSN\": \"0/3\", \"End-LSN\": \"0/2\" }\n],\n",
		ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" NEXT "{ \"Timeline\": 1, \"Start-LSN\": \"0/1\" }\n],\n", ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" NEXT "{ \"Timeline\": 1, \"Start-LSN\": \"0-1\", \"End-LSN\": \"0/2\" }\n],\n",
		ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" NEXT "{ \"Timeline\": 1, \"Start-LSN\": \"0/1\", \"End-LSN\": \"0/2\", \"X\": 1 }\n],\n",
		ERR_CORRUPT},
	    {HEAD1 FILES FILE1 "\n" TAIL "\"More\": 1,\n", ERR_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf b = {0};
		struct server_manifest_end end;
		struct log l = {0};

		assert_int_equal(buf_printf(&b, NULL, "%s", rows[i].text), 0);
		seal(&b);
		if (read_all(&l, b.data, b.len, 4096, &end) != rows[i].want)
			fail_msg("row %zu", i);
		buf_free(&l.text);
	}
}

static void
a_file_that_is_not_as_it_should_be_is_refused(void **state)
{
	static const struct {
		const char *members;
		int want;
	} rows[] = {
	    {"\"Path\": \"a\", \"Size\": 9223372036854775807, " MODIFIED, 0},
	    {"\"Path\": \"\\u00e4 b\", \"Size\": 1, " MODIFIED, 0},
	    {"\"Path\": \"a\", \"Size\": 1, \"Last-Modified\": \"long ago\"", 0}, /* a date is not worth a backup */
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum-Algorithm\": \"SHA224\", \"Checksum\": "
	     "\"00000000000000000000000000000000000000000000000000000000\"",
		0},
	    {"\"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Encoded-Path\": \"61\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Path\": \"b\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": 5, \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"/a\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a/../../b\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\\u0000b\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"\xff\", \"Size\": 1, " MODIFIED, ERR_CORRUPT}, /* must be encoded */
	    {"\"Encoded-Path\": \"\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Encoded-Path\": \"6\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Encoded-Path\": \"616\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Encoded-Path\": \"6g\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Encoded-Path\": \"610062\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Encoded-Path\": \"2e2e\", \"Size\": 1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": -1, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1.5, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": \"1\", " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 9223372036854775808, " MODIFIED, ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1", ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, \"Last-Modified\": 5", ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum-Algorithm\": \"CRC32C\"", ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum\": \"8a744722\"", ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum-Algorithm\": \"MD5\", \"Checksum\": \"8a744722\"",
		ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum-Algorithm\": \"NONE\", \"Checksum\": \"\"", ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"8a7447\"",
		ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"8a74472200\"",
		ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"8a74472z\"",
		ERR_CORRUPT},
	    {"\"Path\": \"a\", \"Size\": 1, " MODIFIED ", \"Mode\": 7", ERR_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf b = {0};
		struct server_manifest_end end;
		struct log l = {0};

		assert_int_equal(buf_printf(&b, NULL, "%s{ %s }\n%s", HEAD1 FILES, rows[i].members, TAIL), 0);
		seal(&b);
		if (read_all(&l, b.data, b.len, 4096, &end) != rows[i].want)
			fail_msg("row %zu", i);
		buf_free(&l.text);
	}
}

static void
a_manifest_cut_short_or_continued_is_corrupt(void **state)
{
	BUF_AUTO struct buf b = {0};
	struct server_manifest_end end;

	(void)state;
	assert_int_equal(buf_printf(&b, NULL, "%s", HEAD2 FILES FILE1 ",\n" FILE2 "\n" TAIL), 0);
	seal(&b);
	for (size_t len = 0; len < b.len; len++) {
		struct log l = {0};

		assert_int_equal(read_all(&l, b.data, len, 4096, &end), ERR_CORRUPT);
		buf_free(&l.text);
	}
	assert_int_equal(buf_append(&b, "\n", 1, NULL), 0);
	for (size_t piece = 1; piece < 10000; piece += 9998) {
		struct log l = {0};

		assert_int_equal(read_all(&l, b.data, b.len, piece, &end), ERR_CORRUPT);
		buf_free(&l.text);
	}
}

static void
a_flipped_bit_anywhere_is_corrupt(void **state)
{
	BUF_AUTO struct buf b = {0};
	struct server_manifest_end end;
	size_t sum;

	(void)state;
	assert_int_equal(buf_printf(&b, NULL, "%s", HEAD1 FILES FILE1 ",\n" FILE2 "\n" TAIL), 0);
	sum = b.len + strlen("\"Manifest-Checksum\": \"");
	seal(&b);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		struct log l = {0};
		int rc;

		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		rc = read_all(&l, b.data, b.len, 4096, &end);
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		buf_free(&l.text);
		if (bit % 8 == 5 && bit / 8 >= sum && bit / 8 < sum + 64 && b.data[bit / 8] >= 'a')
			continue; /* a hex digit in the other case */
		if (rc != ERR_CORRUPT)
			fail_msg("bit %zu", bit);
	}
}

static void
a_line_over_its_cap_is_refused_before_it_is_whole(void **state)
{
	static const char blanks[1024] = "";
	static const struct server_manifest_events events = {.file = on_file, .range = on_range};
	SERVER_MANIFEST_AUTO struct server_manifest *m = NULL;
	struct log l = {0};
	int rc = server_manifest_new(&m, &events, &l, NULL);

	(void)state;
	for (size_t i = 0; rc == 0 && i < SERVER_MANIFEST_LINE_MAX / sizeof(blanks); i++)
		rc = server_manifest_feed(m, blanks, sizeof(blanks), NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(server_manifest_feed(m, blanks, 1, NULL), ERR_CORRUPT);
	assert_int_equal(server_manifest_feed(m, blanks, 1, NULL), ERR_BUG);
}

static void
a_failing_callback_ends_the_reading_with_its_kind(void **state)
{
	(void)state;
	for (int at = 1; at <= 4; at++) {
		BUF_AUTO struct buf b = {0};
		struct server_manifest_end end;
		struct log l = {.fail_at = at};

		assert_int_equal(buf_printf(&b, NULL, "%s", HEAD1 FILES FILE1 ",\n" FILE2 "\n" TAIL), 0);
		seal(&b);
		assert_int_equal(read_all(&l, b.data, b.len, 4096, &end), at <= 3 ? ERR_NOSPACE : 0);
		buf_free(&l.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chunks_of_any_size_give_the_same_files),
	    cmocka_unit_test(shapes_that_no_server_writes_are_refused),
	    cmocka_unit_test(a_file_that_is_not_as_it_should_be_is_refused),
	    cmocka_unit_test(a_manifest_cut_short_or_continued_is_corrupt),
	    cmocka_unit_test(a_flipped_bit_anywhere_is_corrupt),
	    cmocka_unit_test(a_line_over_its_cap_is_refused_before_it_is_whole),
	    cmocka_unit_test(a_failing_callback_ends_the_reading_with_its_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
