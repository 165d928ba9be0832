#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"
#include "tar_builder.h"

/* Everything that was told, as one text. */
struct log {
	struct buf text;
	int fail_at; /* the call, from 1, that fails; 0: none */
	int calls;
	uint64_t bytes;
};

static int
told(struct log *l, struct err *err)
{
	return ++l->calls == l->fail_at ? err_set(err, ERR_NOSPACE, 0, "told to fail") : 0;
}

static int
on_begin(const struct tar_entry *e, void *arg, struct err *err)
{
	struct log *l = arg;

	(void)buf_printf(&l->text, NULL, "%c%s:%llu:%o:%lld:%s(", "fdl"[e->type], e -> name, (unsigned long long)e -> size,
	    e -> mode, (long long)e -> mtime_s, e -> link);
	return told(l, err);
}

static int
on_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct log *l = arg;

	assert_true(len > 0);
	l->bytes += len;
	if (l->bytes < 4096)
		(void)buf_append(&l->text, bytes, len, NULL);
	return told(l, err);
}

static int
on_end(void *arg, struct err *err)
{
	struct log *l = arg;

	(void)buf_append(&l->text, ")", 1, NULL);
	return told(l, err);
}

static const struct tar_events events = {.begin = on_begin, .data = on_data, .end = on_end};

/* Feed it in pieces, then finish. */
static int
read_all(struct log *l, const void *bytes, size_t len, size_t piece, struct err *err)
{
	TAR_READER_AUTO struct tar_reader *r = NULL;
	int rc = tar_reader_new(&r, &events, l, err);

	for (size_t at = 0; rc == 0 && at < len; at += piece)
		rc = tar_reader_feed(r, (const uint8_t *)bytes + at, len - at < piece ? len - at : piece, err);
	return rc != 0 ? rc : tar_reader_finish(r, err);
}

static void
sample(struct buf *out)
{
	char many[1025];

	memset(many, 'z', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	tar_add(out, "backup_label", '0', "START", "");
	tar_add(out, "tablespace_map", '0', "", "");
	tar_add(out, "base/", '5', "", "");
	tar_add(out, "./pg_wal/archive_status/", '5', "", "");
	tar_add(out, "pg_tblspc/16400/", '2', "", "/srv/ts");
	tar_add(out, "base/1", '0', many, "");
	tar_add(out, "global/pg_control", '0', many + 512, "");
}

static void
add_zeros(struct buf *out, size_t len)
{
	static const uint8_t zeros[4096];

	assert_int_equal(buf_append(out, zeros, len, NULL), 0);
}

static void
chunks_of_any_size_give_the_same_entries(void **state)
{
	static const size_t pieces[] = {1, 3, 511, 512, 513, 1000, 100000};
	BUF_AUTO struct buf tar = {0}, want = {0};

	(void)state;
	sample(&tar);
	add_zeros(&tar, 1024);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct log l = {0};

		assert_int_equal(read_all(&l, tar.data, tar.len, pieces[i], NULL), 0);
		if (i == 0)
			assert_int_equal(buf_append(&want, l.text.data, l.text.len, NULL), 0);
		assert_string_equal(buf_text(&l.text), buf_text(&want));
		buf_free(&l.text);
	}
	assert_true(str_starts(buf_text(&want), "fbackup_label:5:600:100:(START)ftablespace_map:0:600:100:()dbase:0:600:100:()"
						"dpg_wal/archive_status:0:600:100:()lpg_tblspc/16400:0:600:100:/srv/ts()"
						"fbase/1:1024:600:100:(zzz"));
}

static void
the_trailer_may_be_missing_whole_but_not_in_part(void **state)
{
	static const struct {
		size_t zeros;
		int want;
	} rows[] = {{0, 0}, {1024, 0}, {1536, 0}, {4096, 0}, {512, ERR_CORRUPT}, {1023, ERR_CORRUPT}, {1, ERR_CORRUPT},
	    {1025, ERR_CORRUPT}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf tar = {0};
		struct log l = {0};

		sample(&tar);
		add_zeros(&tar, rows[i].zeros);
		assert_int_equal(read_all(&l, tar.data, tar.len, 700, NULL), rows[i].want);
		buf_free(&l.text);
	}
}

static void
an_archive_cut_anywhere_but_between_entries_is_corrupt(void **state)
{
	BUF_AUTO struct buf tar = {0};
	size_t good = 0;

	(void)state;
	sample(&tar);
	for (size_t len = 0; len < tar.len; len += 64) {
		struct log l = {0};

		good += read_all(&l, tar.data, len, 4096, NULL) == 0;
		buf_free(&l.text);
	}
	assert_int_equal(good, 7); /* before each of the entries */
}

static void
a_flipped_bit_in_a_header_is_corrupt(void **state)
{
	uint8_t h[TAR_BLOCK];

	(void)state;
	for (size_t bit = 0; bit < (size_t)TAR_BLOCK * 8; bit++) {
		struct log l = {0};

		tar_header(h, "base/1/1259", '0', 0, "");
		h[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit == 155 * 8 + 5) /* the blank behind the sum turns into a NUL, which closes it as well */
			continue;
		assert_int_equal(read_all(&l, h, sizeof(h), 512, NULL), ERR_CORRUPT);
		assert_int_equal(l.calls, 0);
		buf_free(&l.text);
	}
}

static void
names_that_lead_elsewhere_are_refused(void **state)
{
	static const struct {
		const char *name, *link;
		char type;
		int want;
	} rows[] = {
	    {"base/1", "", '0', 0},
	    {"./base/1", "", '0', 0},
	    {"...", "", '0', 0},
	    {"a b\n", "", '0', 0},
	    {"pg_wal", "../../elsewhere", '2', 0},
	    {"", "", '0', ERR_CORRUPT},
	    {"/etc/passwd", "", '0', ERR_CORRUPT},
	    {".//etc/passwd", "", '0', ERR_CORRUPT},
	    {"..", "", '5', ERR_CORRUPT},
	    {"../x", "", '0', ERR_CORRUPT},
	    {"base/../../x", "", '0', ERR_CORRUPT},
	    {"base/..", "", '0', ERR_CORRUPT},
	    {"././x", "", '0', ERR_CORRUPT},
	    {"./", "", '5', ERR_CORRUPT},
	    {"/", "", '5', ERR_CORRUPT},
	    {"base//", "", '5', ERR_CORRUPT},
	    {"base//1", "", '0', ERR_CORRUPT},
	    {"base/1/", "", '0', ERR_CORRUPT}, /* a file */
	    {"base", "target", '0', ERR_CORRUPT},
	    {"base/", "target", '5', ERR_CORRUPT},
	    {"pg_wal", "", '2', ERR_CORRUPT},
	    {"base/1", "", '1', ERR_CORRUPT},
	    {"base/1", "", '3', ERR_CORRUPT},
	    {"base/1", "", 'L', ERR_CORRUPT},
	    {"base/1", "", 'x', ERR_CORRUPT},
	    {"base/1", "", '\0', ERR_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t h[TAR_BLOCK];
		struct log l = {0};

		tar_header(h, rows[i].name, rows[i].type, 0, rows[i].link);
		if (read_all(&l, h, sizeof(h), 512, NULL) != rows[i].want)
			fail_msg("row %zu: '%s'", i, rows[i].name);
		assert_int_equal(l.calls, rows[i].want == 0 ? 2 : 0);
		buf_free(&l.text);
	}
}

static void
spoiled_fields_are_refused(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t len;
		int want;
	} rows[] = {
	    {124, "00000000000 ", 12, 0},
	    {124, "00000000000\0", 12, 0},
	    {124, "\x80\0\0\0\0\0\0\0\0\0\0\0", 12, 0},
	    {136, "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12, 0}, /* a time before 1970 */
	    {124, "-0000000001 ", 12, ERR_CORRUPT},
	    {124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, ERR_CORRUPT}, /* -1 */
	    {124, "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12, ERR_CORRUPT},       /* beyond INT64_MAX */
	    {124, "\x80\0\0\1\0\0\0\0\0\0\0\0", 12, ERR_CORRUPT},                       /* beyond 64 bits */
	    {124, "\x80\x01\0\0\0\0\0\0\0\0\0\0", 12, ERR_CORRUPT},
	    {124, "00000000008 ", 12, ERR_CORRUPT},
	    {124, "000000000000", 12, ERR_CORRUPT},
	    {124, "            ", 12, ERR_CORRUPT},
	    {124, "0000 0000001", 12, ERR_CORRUPT},
	    {124, "\0\0\0\0\0\0\0\0\0\0\0\0", 12, ERR_CORRUPT},
	    {100, "0100644 ", 8, ERR_CORRUPT}, /* more than permission bits */
	    {100, "rw------", 8, ERR_CORRUPT},
	    {136, "yesterday  \0", 12, ERR_CORRUPT},
	    {257, "ustar  \0", 8, ERR_CORRUPT},
	    {257, "\0\0\0\0\0\0\0\0", 8, ERR_CORRUPT},
	    {345, "deep/", 5, ERR_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t h[TAR_BLOCK];
		struct log l = {0};

		tar_header(h, "base/1", '0', 0, "");
		memcpy(h + rows[i].at, rows[i].bytes, rows[i].len);
		tar_seal(h);
		if (read_all(&l, h, sizeof(h), 512, NULL) != rows[i].want)
			fail_msg("row %zu", i);
		buf_free(&l.text);
	}
}

static void
a_name_or_target_without_end_is_refused(void **state)
{
	static const size_t fields[] = {0, 157};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		for (size_t len = 99; len <= 100; len++) {
			uint8_t h[TAR_BLOCK];
			struct log l = {0};

			tar_header(h, "link", '2', 0, "target");
			memset(h + fields[i], 'n', len);
			tar_seal(h);
			assert_int_equal(read_all(&l, h, sizeof(h), 512, NULL), len == 99 ? 0 : ERR_CORRUPT);
			buf_free(&l.text);
		}
	}
}

static void
a_directory_with_bytes_is_refused(void **state)
{
	uint8_t h[TAR_BLOCK];
	struct log l = {0};

	(void)state;
	tar_header(h, "base/", '5', 512, "");
	assert_int_equal(read_all(&l, h, sizeof(h), 512, NULL), ERR_CORRUPT);
	buf_free(&l.text);
}

static void
bytes_in_the_padding_or_behind_the_trailer_are_refused(void **state)
{
	BUF_AUTO struct buf padded = {0}, behind = {0};
	struct log l = {0};

	(void)state;
	tar_add(&padded, "a", '0', "abc", "");
	padded.data[padded.len - 1] = 'x';
	assert_int_equal(read_all(&l, padded.data, padded.len, 512, NULL), ERR_CORRUPT);
	tar_add(&behind, "a", '0', "abc", "");
	add_zeros(&behind, 1024);
	tar_add(&behind, "b", '0', "abc", "");
	assert_int_equal(read_all(&l, behind.data, behind.len, 512, NULL), ERR_CORRUPT);
	buf_free(&l.text);
}

static void
a_file_over_8_gib_keeps_its_size(void **state)
{
	static const uint8_t block[1 << 20];
	const uint64_t size = (UINT64_C(8) << 30) + 1;
	TAR_READER_AUTO struct tar_reader *r = NULL;
	uint8_t h[TAR_BLOCK];
	struct log l = {0};

	(void)state;
	tar_header(h, "base/5/1.1", '0', size, "");
	assert_int_equal(h[124], 0x80);
	assert_int_equal(tar_reader_new(&r, &events, &l, NULL), 0);
	assert_int_equal(tar_reader_feed(r, h, sizeof(h), NULL), 0);
	for (int i = 0; i < 8 << 10; i++)
		assert_int_equal(tar_reader_feed(r, block, sizeof(block), NULL), 0);
	assert_int_equal(tar_reader_feed(r, block, 512, NULL), 0);
	assert_int_equal(tar_reader_finish(r, NULL), 0);
	assert_true(l.bytes == size);
	buf_free(&l.text);
}

static void
many_tiny_files_all_arrive(void **state)
{
	BUF_AUTO struct buf tar = {0};
	struct log l = {.text = {.max = 16 << 20}};

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "base/5/%d", i);
		tar_add(&tar, name, '0', i % 2 == 0 ? "" : "x", "");
	}
	assert_int_equal(read_all(&l, tar.data, tar.len, 4099, NULL), 0);
	assert_int_equal(l.bytes, 10000);
	assert_int_equal(l.calls, 50000);
	buf_free(&l.text);
}

static void
a_failing_callback_ends_the_reading_with_its_kind(void **state)
{
	BUF_AUTO struct buf tar = {0};
	int rc;

	(void)state;
	sample(&tar);
	for (int at = 1;; at++) {
		TAR_READER_AUTO struct tar_reader *r = NULL;
		struct log l = {.fail_at = at};
		struct err err = {0};

		assert_int_equal(tar_reader_new(&r, &events, &l, &err), 0);
		rc = tar_reader_feed(r, tar.data, tar.len, &err);
		buf_free(&l.text);
		if (rc == 0) {
			assert_int_equal(at, 18); /* 7 begins, 7 ends and 3 times data went well */
			break;
		}
		assert_int_equal(rc, ERR_NOSPACE);
		assert_string_equal(err.msg, "told to fail");
		assert_int_equal(tar_reader_feed(r, tar.data, 1, &err), ERR_BUG);
		assert_int_equal(tar_reader_finish(r, &err), ERR_BUG);
		assert_int_equal(l.calls, at);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chunks_of_any_size_give_the_same_entries),
	    cmocka_unit_test(the_trailer_may_be_missing_whole_but_not_in_part),
	    cmocka_unit_test(an_archive_cut_anywhere_but_between_entries_is_corrupt),
	    cmocka_unit_test(a_flipped_bit_in_a_header_is_corrupt),
	    cmocka_unit_test(names_that_lead_elsewhere_are_refused),
	    cmocka_unit_test(spoiled_fields_are_refused),
	    cmocka_unit_test(a_name_or_target_without_end_is_refused),
	    cmocka_unit_test(a_directory_with_bytes_is_refused),
	    cmocka_unit_test(bytes_in_the_padding_or_behind_the_trailer_are_refused),
	    cmocka_unit_test(a_file_over_8_gib_keeps_its_size),
	    cmocka_unit_test(many_tiny_files_all_arrive),
	    cmocka_unit_test(a_failing_callback_ends_the_reading_with_its_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
