/* The file that is archived: what was checked and what is stored are the same bytes, and a file that is not so is refused. */
#include "world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "ops/archive_source.h"
#include "wal_fixture.h"

struct bench {
	char dir[64], path[96];
	struct secret *comparison;
};

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	memcpy(b->dir, "/tmp/pgcairn-source-XXXXXX", 27);
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->path, sizeof(b->path), "%s/RECOVERYXLOG", b->dir);
	b->comparison = secret_new();
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	(void)fs_remove_tree(b->dir, NULL);
	secret_free(b->comparison);
	free(b);
	return 0;
}

static void
put(struct bench *b, const void *data, size_t len)
{
	struct err err = {0};

	must(fs_write_file(b->path, data, len, 0600, FS_REPLACE, &err), &err);
}

static int
pass(struct bench *b, const char *name, struct archive_source *s, struct err *err)
{
	int rc = archive_source_open(s, b->path, name, err);

	if (rc == 0)
		rc = archive_source_pass(s, b->comparison, NULL, err);
	archive_source_close(s);
	archive_source_close(s);
	return rc;
}

static void
a_segment_says_whose_it_is_and_is_the_same_twice(void **state)
{
	struct bench *b = *state;
	struct archive_source s, again;
	struct err err = {0};
	size_t len;
	FREE_AUTO uint8_t *data = fixture("00000001000000000000000C", &len);

	put(b, data, len);
	must(pass(b, "00000001000000000000000C", &s, &err), &err);
	assert_int_equal(s.segment_size, 1 << 20);
	assert_int_equal(s.summary.sysid, s.sysid);
	assert_true(archive_source_is_segment(&s));
	assert_string_equal(s.file_name, "00000001000000000000000C");
	must(pass(b, "00000001000000000000000C", &again, &err), &err);
	assert_memory_equal(s.content_id, again.content_id, CONTENT_ID);
	b->comparison->bytes[0] ^= 1;
	must(pass(b, "00000001000000000000000C", &again, &err), &err);
	assert_memory_not_equal(s.content_id, again.content_id, CONTENT_ID);
	must(pass(b, "00000001000000000000000C.partial", &again, &err), &err);
	assert_int_equal(again.kind, OBJECT_WAL_PARTIAL);
	must_fail(pass(b, "00000001000000000000000D", &s, &err), ERR_CORRUPT, &err, "another name");
	data[len / 2] ^= 1;
	put(b, data, len);
	must_fail(pass(b, "00000001000000000000000C", &s, &err), ERR_CORRUPT, &err, "a flipped bit");
	data[len / 2] ^= 1;
	for (size_t n = 0; n < len; n = n * 3 + 1) {
		put(b, data, n);
		must_fail(pass(b, "00000001000000000000000C", &s, &err), ERR_CORRUPT, &err, "cut");
	}
}

static void
names_that_no_server_uses_are_refused(void **state)
{
	static const char *const names[] = {
	    "", "RECOVERYXLOG", "00000001000000000000000c", "../000000010000000000000009", "000000010000000000000009.gz", "%f"};
	struct bench *b = *state;

	put(b, "x", 1);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct archive_source s;
		struct err err = {0};

		must_fail(pass(b, names[i], &s, &err), ERR_CONFIG, &err, names[i]);
		assert_non_null(strstr(err.hint, "%p %f"));
	}
}

static void
small_files_must_be_what_they_are_called(void **state)
{
	static const struct {
		const char *name, *text;
		int want;
	} rows[] = {
	    {"00000002.history", "1\t0/3000000\tno recovery target specified\n", 0},
	    {"00000002.history", "2\t0/3000000\tx\n", ERR_CORRUPT},
	    {"00000002.history", "garbage\n", ERR_CORRUPT},
	    {"00000002.history", "", ERR_CORRUPT},
	    {"000000010000000000000012.00000028.backup", "", ERR_CORRUPT},
	    {"000000010000000000000012.00000028.backup", "START WAL LOCATION: nonsense\n", ERR_CORRUPT},
	};
	struct bench *b = *state;
	FREE_AUTO uint8_t *big = calloc(1, (1 << 20) + 1);
	struct archive_source s;
	struct err err = {0};
	size_t len;
	FREE_AUTO char *backup = fixture_raw("000000010000000000000012.00000028.backup", &len);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int rc;

		put(b, rows[i].text, strlen(rows[i].text));
		rc = pass(b, rows[i].name, &s, &err);
		if (rows[i].want == 0)
			must(rc, &err);
		else
			must_fail(rc, rows[i].want, &err, rows[i].text);
	}
	put(b, backup, len);
	must(pass(b, "000000010000000000000012.00000028.backup", &s, &err), &err);
	put(b, big, (1 << 20) + 1);
	must_fail(pass(b, "00000002.history", &s, &err), ERR_CORRUPT, &err, "too large");
}

static void
what_is_no_regular_file_is_refused_without_waiting(void **state)
{
	struct bench *b = *state;
	struct archive_source s;
	struct err err = {0};

	must_fail(pass(b, "000000010000000000000009", &s, &err), ERR_IO, &err, "absent");
	assert_int_equal(mkfifo(b->path, 0600), 0);
	must_fail(pass(b, "000000010000000000000009", &s, &err), ERR_CORRUPT, &err, "a fifo");
	assert_int_equal(unlink(b->path), 0);
	assert_int_equal(mkdir(b->path, 0700), 0);
	must_fail(pass(b, "000000010000000000000009", &s, &err), ERR_CORRUPT, &err, "a directory");
}

static void
a_file_that_shrinks_under_the_reader_is_refused(void **state)
{
	struct bench *b = *state;
	struct archive_source s;
	struct err err = {0};
	size_t len;
	FREE_AUTO uint8_t *data = fixture("00000001000000000000000C", &len);

	put(b, data, len);
	must(archive_source_open(&s, b->path, "00000001000000000000000C", &err), &err);
	assert_int_equal(truncate(b->path, (off_t)len - 1), 0);
	must_fail(archive_source_pass(&s, b->comparison, NULL, &err), ERR_CORRUPT, &err, "shorter");
	archive_source_close(&s);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_segment_says_whose_it_is_and_is_the_same_twice),
	    CASE(names_that_no_server_uses_are_refused),
	    CASE(small_files_must_be_what_they_are_called),
	    CASE(what_is_no_regular_file_is_refused_without_waiting),
	    CASE(a_file_that_shrinks_under_the_reader_is_refused),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
