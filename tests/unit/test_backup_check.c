/* What was received against what the server lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ops/backup_check.h"

static int
listed(struct backup_check *c, const char *path, uint64_t size, uint32_t crc, struct err *err)
{
	const struct server_manifest_file f = {.path = path, .size = size, .algorithm = SERVER_CHECKSUM_CRC32C, .crc32c = crc};

	return backup_check_listed(c, &f, err);
}

static void
many_files_in_any_order_agree(void **state)
{
	enum { FILES = 20000 };
	BACKUP_CHECK_AUTO struct backup_check *c = NULL;
	char path[32];

	(void)state;
	assert_int_equal(backup_check_new(&c, NULL), 0);
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "base/%u", i);
		assert_int_equal(backup_check_received(c, path, i, i * 7, NULL), 0);
	}
	for (unsigned i = FILES; i-- > 0;) {
		(void)snprintf(path, sizeof(path), "base/%u", i);
		assert_int_equal(listed(c, path, i, i * 7, NULL), 0);
	}
	assert_int_equal(backup_check_finish(c, NULL), 0);
}

/* Two files came: "a" of 1 byte, "b" of 2; then the list is as in the row. */
static void
a_list_that_does_not_agree_is_refused_by_name(void **state)
{
	static const struct {
		const char *path[3];
		uint64_t size[3];
		const char *says;
	} rows[] = {
	    {{"a"}, {1}, "2 files were received"},
	    {{"a", "b", "c"}, {1, 2, 3}, "'c'"},
	    {{"a", "b", "a"}, {1, 2, 1}, "'a' is in the server's manifest twice"},
	    {{"a", "b"}, {1, 3}, "'b'"},
	    {{"c", "b"}, {1, 2}, "'c'"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BACKUP_CHECK_AUTO struct backup_check *c = NULL;
		struct err err = {0};
		int rc = 0;

		assert_int_equal(backup_check_new(&c, NULL), 0);
		assert_int_equal(backup_check_received(c, "b", 2, 5, NULL), 0);
		assert_int_equal(backup_check_received(c, "a", 1, 5, NULL), 0);
		for (size_t j = 0; rc == 0 && j < 3 && rows[i].path[j] != NULL; j++)
			rc = listed(c, rows[i].path[j], rows[i].size[j], 5, &err);
		if (rc == 0)
			rc = backup_check_finish(c, &err);
		assert_int_equal(rc, ERR_CORRUPT);
		if (strstr(err.msg, rows[i].says) == NULL)
			fail_msg("row %zu: %s", i, err.msg);
	}
}

static void
another_checksum_or_none_is_refused(void **state)
{
	const struct server_manifest_file without = {.path = "a", .size = 1, .algorithm = SERVER_CHECKSUM_NONE};
	BACKUP_CHECK_AUTO struct backup_check *c = NULL;
	struct err err;

	(void)state;
	assert_int_equal(backup_check_new(&c, NULL), 0);
	assert_int_equal(backup_check_received(c, "a", 1, 5, NULL), 0);
	assert_int_equal(listed(c, "a", 1, 6, &err), ERR_CORRUPT);
	assert_int_equal(backup_check_listed(c, &without, &err), ERR_CORRUPT);
	assert_int_equal(listed(c, "a", 1, 5, &err), 0);
}

static void
a_file_that_comes_twice_or_late_is_refused(void **state)
{
	BACKUP_CHECK_AUTO struct backup_check *c = NULL, *d = NULL;
	struct err err;

	(void)state;
	assert_int_equal(backup_check_new(&c, NULL), 0);
	assert_int_equal(backup_check_received(c, "a", 1, 5, NULL), 0);
	assert_int_equal(backup_check_received(c, "a", 1, 5, NULL), 0);
	assert_int_equal(listed(c, "a", 1, 5, &err), ERR_CORRUPT);
	assert_int_equal(backup_check_new(&d, NULL), 0);
	assert_int_equal(backup_check_received(d, "a", 1, 5, NULL), 0);
	assert_int_equal(listed(d, "a", 1, 5, &err), 0);
	assert_int_equal(backup_check_received(d, "b", 1, 5, &err), ERR_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_files_in_any_order_agree),
	    cmocka_unit_test(a_list_that_does_not_agree_is_refused_by_name),
	    cmocka_unit_test(another_checksum_or_none_is_refused),
	    cmocka_unit_test(a_file_that_comes_twice_or_late_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
