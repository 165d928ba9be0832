/* pg_control in a data directory, where a server may be writing it while we read. */
#include "wal_fixture.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "pg/control.h"

static struct {
	char dir[64];
	uint8_t *good;
	size_t len;
	int sleeps, heal_after; /* the n-th sleep puts the good bytes back; 0: never */
	int64_t slept_ms;
} t;

static void
write_pgdata(const char *name, const void *data, size_t len)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", t.dir, name);
	assert_int_equal(fs_write_file(path, data, len, 0600, FS_REPLACE, NULL), 0);
}

static void
sleep_and_heal(int64_t ms)
{
	t.slept_ms += ms;
	if (++t.sleeps == t.heal_after)
		write_pgdata("global/pg_control", t.good, t.len);
}

static void
fixed_bytes(void *out, size_t len)
{
	static uint8_t next;

	memset(out, ++next, len);
}

static int64_t
fixed_now(void)
{
	return 1;
}

static int
set_up(void **state)
{
	static const struct clock_ops ops = {.now_us = fixed_now, .sleep_ms = sleep_and_heal, .random = fixed_bytes};
	char path[128];

	(void)state;
	memset(&t, 0, sizeof(t));
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/control-test-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	(void)snprintf(path, sizeof(path), "%s/global", t.dir);
	assert_int_equal(fs_make_dirs(path, 0700, NULL), 0);
	t.good = fixture("control-main", &t.len);
	clock_replace(&ops);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_replace(NULL);
	free(t.good);
	return fs_remove_tree(t.dir, NULL);
}

static void
a_torn_file_is_read_again_until_it_is_whole(void **state)
{
	uint8_t torn[CONTROL_FILE_SIZE];
	struct control c;

	(void)state;
	memcpy(torn, t.good, sizeof(torn));
	torn[100] ^= 1;
	write_pgdata("global/pg_control", torn, sizeof(torn));
	t.heal_after = 4;
	assert_int_equal(control_read_pgdata(t.dir, &c, NULL), 0);
	assert_int_equal(t.sleeps, 4);
	assert_int_equal(t.slept_ms, 40);
	assert_int_equal(c.wal_segment_size, 1 << 20);
}

static void
a_damaged_file_is_an_error_after_five_reads(void **state)
{
	struct control c;
	struct err err = {0};

	(void)state;
	t.good[100] ^= 1;
	write_pgdata("global/pg_control", t.good, t.len);
	assert_int_equal(control_read_pgdata(t.dir, &c, &err), ERR_CORRUPT);
	assert_int_equal(t.sleeps, 4);
	assert_non_null(strstr(err.msg, t.dir));
	assert_non_null(strstr(err.msg, "CRC"));
}

static void
what_does_not_heal_is_not_waited_for(void **state)
{
	struct control c;
	struct err err = {0};
	uint8_t longer[CONTROL_FILE_SIZE + 1] = {0};
	int major;

	(void)state;
	assert_int_equal(control_read_pgdata(t.dir, &c, &err), ERR_NOT_FOUND);
	assert_int_equal(control_read_version(t.dir, &major, &err), ERR_NOT_FOUND);
	memcpy(t.good + 8, "\x6c\x07\x00\x00", 4); /* 1900 */
	write_pgdata("global/pg_control", t.good, t.len);
	assert_int_equal(control_read_pgdata(t.dir, &c, &err), ERR_REFUSED);
	write_pgdata("global/pg_control", longer, sizeof(longer));
	assert_int_equal(control_read_pgdata(t.dir, &c, &err), ERR_CORRUPT);
	assert_int_equal(t.sleeps, 0);
}

static void
the_version_file_is_read(void **state)
{
	int major = 0;

	(void)state;
	write_pgdata("PG_VERSION", "15\n", 3);
	assert_int_equal(control_read_version(t.dir, &major, NULL), 0);
	assert_int_equal(major, 15);
	write_pgdata("PG_VERSION", "9.6\n", 4);
	assert_int_equal(control_read_version(t.dir, &major, NULL), ERR_CORRUPT);
	assert_int_equal(major, 15);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_torn_file_is_read_again_until_it_is_whole, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_damaged_file_is_an_error_after_five_reads, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_does_not_heal_is_not_waited_for, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(the_version_file_is_read, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
