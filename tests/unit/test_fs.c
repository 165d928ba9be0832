/* Files and directories of this machine. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"

static int
setup(void **state)
{
	char *dir = strdup("/tmp/pgcairn-fs-XXXXXX");

	*state = dir;
	return mkdtemp(dir) == NULL || chdir(dir) < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	FREE_AUTO char *dir = *state;

	return chdir("/") < 0 ? -1 : fs_remove_tree(dir, NULL);
}

static int
add_name(const char *name, void *arg, struct err *err)
{
	return buf_printf(arg, err, "%s\n", name);
}

static void
expect_names(const char *path, const char *want)
{
	BUF_AUTO struct buf got = {0};

	assert_int_equal(fs_list_dir(path, add_name, &got, NULL), 0);
	assert_string_equal(buf_text(&got), want);
}

static void
expect_file(const char *path, const char *want)
{
	BUF_AUTO struct buf got = {0};

	assert_int_equal(fs_read_file(path, 1 << 20, &got, NULL), 0);
	assert_string_equal(buf_text(&got), want);
}

static void
make(const char *path, const char *text)
{
	struct err err = {0};

	if (fs_write_file(path, text, strlen(text), 0644, FS_CREATE_ONLY, &err) != 0)
		fail_msg("%s", err.msg);
}

static void
a_file_is_read_whole_or_not_at_all(void **state)
{
	BUF_AUTO struct buf b = {0};
	FREE_AUTO char *big = calloc(1, 200001);
	struct err err = {0};

	(void)state;
	memset(big, 'x', 200000);
	make("big", big);
	assert_int_equal(buf_append(&b, "before", 6, NULL), 0);
	assert_int_equal(fs_read_file("big", 199999, &b, &err), ERR_CORRUPT);
	assert_string_equal(buf_text(&b), "before");
	assert_int_equal(fs_read_file("absent", 10, &b, &err), ERR_NOT_FOUND);
	assert_int_equal(fs_read_file(".", 10, &b, &err), ERR_IO);
	assert_string_equal(buf_text(&b), "before");
	assert_int_equal(fs_read_file("big", 200000, &b, &err), 0);
	assert_int_equal(b.len, 200006);
	make("empty", "");
	buf_reset(&b);
	assert_int_equal(fs_read_file("empty", 0, &b, &err), 0);
	assert_int_equal(b.len, 0);
	b.max = 10;
	assert_int_equal(fs_read_file("big", 200000, &b, &err), ERR_NOMEM);
}

static void
create_only_never_replaces(void **state)
{
	struct err err = {0};

	(void)state;
	make("f", "one");
	assert_int_equal(fs_write_file("f", "two", 3, 0600, FS_CREATE_ONLY, &err), ERR_EXISTS);
	expect_file("f", "one");
	assert_int_equal(symlink("nowhere", "link"), 0);
	assert_int_equal(fs_write_file("link", "two", 3, 0600, FS_CREATE_ONLY, &err), ERR_EXISTS);
	expect_names(".", "f\nlink\n");
	assert_int_equal(fs_write_file("f", "two", 3, 0600, FS_REPLACE, &err), 0);
	expect_file("f", "two");
	/* the link goes, not what it points to */
	assert_int_equal(fs_write_file("link", "two", 3, 0600, FS_REPLACE, &err), 0);
	expect_names(".", "f\nlink\n");
}

static void
a_write_that_fails_leaves_the_old_state(void **state)
{
	struct rlimit old, small;
	FREE_AUTO char *big = calloc(1, 100000);
	struct err err = {0};
	int create, replace;

	(void)state;
	make("f", "old");
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(fs_write_file("d", "x", 1, 0600, FS_REPLACE, &err), ERR_IO);
	assert_int_equal(fs_write_file("absent/f", "x", 1, 0600, FS_REPLACE, &err), ERR_NOT_FOUND);
	assert_int_equal(fs_write_file("f/f", "x", 1, 0600, FS_REPLACE, &err), ERR_CORRUPT);
	assert_int_equal(fs_write_file("d/", "x", 1, 0600, FS_REPLACE, &err), ERR_BUG);
	assert_int_equal(fs_write_file("d/..", "x", 1, 0600, FS_REPLACE, &err), ERR_BUG);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 5000;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	create = fs_write_file("g", big, 100000, 0600, FS_CREATE_ONLY, &err);
	replace = fs_write_file("f", big, 100000, 0600, FS_REPLACE, &err);
	(void)setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(create, ERR_IO);
	assert_int_equal(replace, ERR_IO);
	assert_int_equal(err.sys, EFBIG);
	expect_file("f", "old");
	expect_names(".", "d\nf\n");
}

#define DEAD ".pgcairn-00000000deadbeef"
#define FIFO ".pgcairn-00000000000f1f00"

static void
make_empty(const char *name)
{
	assert_int_equal(close(open(name, O_WRONLY | O_CREAT | O_EXCL, 0600)), 0);
}

static void
a_hidden_file_of_somebody_elses_is_no_temporary(void **state)
{
	static const char *const names[] = {".pgcairn-identity.old", ".pgcairn-", ".pgcairn-00000000deadbee",
	    ".pgcairn-00000000deadbeef0", ".pgcairn-00000000DEADBEEF", ".pgcairn-00000000deadbeef.bak"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make_empty(names[i]);
	make("other", "x");
	fs_tidy("other");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(access(names[i], F_OK), 0);
}

static void
what_a_killed_writer_left_goes_with_the_next_file_and_what_is_being_written_stays(void **state)
{
	char living[32];
	FD_AUTO int fd = fs_temporary_create(AT_FDCWD, ".pgcairn-", 0600, living, sizeof(living));

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(mkfifo(FIFO, 0600), 0); /* nobody's file, and opening it must not wait */
	make_empty(DEAD);
	make("other", "x");
	assert_int_equal(access(DEAD, F_OK), -1);
	assert_int_equal(access(living, F_OK), 0);
	assert_int_equal(access(FIFO, F_OK), 0);
	expect_file("other", "x");
	(void)close(fd);
	fd = -1;
	fs_tidy("absent/file");
	fs_tidy("file");
	assert_int_equal(access(living, F_OK), -1);
}

static void
moving_to_a_taken_name_is_refused_both_ways(void **state)
{
	(void)state;
	for (enum fs_move how = FS_MOVE_ANY; how <= FS_MOVE_RENAME; how++) {
		make("from", "new");
		make("taken", "old");
		assert_int_equal(fs_move_new(AT_FDCWD, "from", AT_FDCWD, "taken", how, NULL), ERR_EXISTS);
		expect_file("taken", "old");
		expect_file("from", "new");
		assert_int_equal(fs_move_new(AT_FDCWD, "from", AT_FDCWD, "free", how, NULL), 0);
		expect_names(".", "free\ntaken\n");
		expect_file("free", "new");
		assert_int_equal(fs_move_new(AT_FDCWD, "from", AT_FDCWD, "other", how, NULL), ERR_NOT_FOUND);
		assert_int_equal(unlink("free") | unlink("taken"), 0);
	}
	/* a repeated link whose first answer was lost */
	make("from", "new");
	assert_int_equal(link("from", "to"), 0);
	assert_int_equal(fs_move_new(AT_FDCWD, "from", AT_FDCWD, "to", FS_MOVE_ANY, NULL), 0);
	expect_names(".", "to\n");
}

static void
directories_are_made_on_the_way(void **state)
{
	struct stat st;
	struct err err = {0};
	int fd;

	(void)state;
	assert_int_equal(fs_make_dirs("a/b//c/./d/", 0700, &err), 0);
	assert_int_equal(fs_make_dirs("a/b/c/d", 0755, &err), 0);
	assert_int_equal(stat("a/b/c/d", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	make("a/file", "");
	assert_int_equal(fs_make_dirs("a/file/x", 0700, &err), ERR_CORRUPT);
	assert_int_equal(symlink("a", "link"), 0);
	assert_int_equal(fs_make_dirs("link/through", 0700, &err), 0);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	assert_int_equal(fs_make_dirs_at(fd, "link/refused", 0700, &err), ERR_CORRUPT);
	assert_int_equal(fs_make_dirs_at(fd, "a/../x", 0700, &err), ERR_BUG);
	assert_int_equal(fs_make_dirs_at(fd, "..", 0700, &err), ERR_BUG);
	assert_int_equal(fs_make_dirs_at(fd, "a/..", 0700, &err), ERR_BUG);
	assert_int_equal(fs_make_dirs_at(fd, "/tmp/x", 0700, &err), ERR_BUG);
	assert_int_equal(fs_make_dirs_at(fd, "a/..x/y", 0700, &err), 0);
	assert_int_equal(fs_fsync_parent_at(fd, "a/b/any", &err), 0);
	assert_int_equal(fs_fsync_parent_at(fd, "absent/any", &err), ERR_NOT_FOUND);
	assert_int_equal(fs_fsync_dir("a/file", &err), ERR_CORRUPT);
	(void)close(fd);
	expect_names("a", "..x\nb\nfile\nthrough\n");
}

static void
a_real_path_has_no_links_left(void **state)
{
	const char *dir = *state;
	const struct {
		const char *in, *want;
	} rows[] = {{"%s/d", "%s/d"}, {"d", "%s/d"}, {"./d/../d//", "%s/d"}, {"to-d", "%s/d"}, {"to-d/new/x", "%s/d/new/x"},
	    {"abs/..", "%s"}, {"to-d/..", "%s"}, {"dangling", "%s/gone"}, {"dangling/x", "%s/gone/x"}, {"new/../d", "%s/d"},
	    {"new/x/../../to-d", "%s/d"}, {"new/../to-d/y", "%s/d/y"}, {"/", "/"}, {"//", "/"}, {"/..", "/"}, {"/../../", "/"},
	    {"chain", "%s/d"}};
	static const char *const bad[] = {"", "loop", "loop/x", "file/x"};

	assert_int_equal(mkdir("d", 0700), 0);
	make("file", "");
	FREE_AUTO char *target = str_printf("%s/d", dir);
	assert_int_equal(symlink("d", "to-d") | symlink(target, "abs") | symlink("gone", "dangling") | symlink("loop", "loop") |
			     symlink("to-d/../abs", "chain"),
	    0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FREE_AUTO char *in =
		    str_starts(rows[i].in, "%s") ? str_printf("%s%s", dir, rows[i].in + 2) : strdup(rows[i].in);
		FREE_AUTO char *want =
		    str_starts(rows[i].want, "%s") ? str_printf("%s%s", dir, rows[i].want + 2) : strdup(rows[i].want);
		FREE_AUTO char *got = NULL;
		struct err err = {0};

		if (fs_real_path(in, &got, &err) != 0)
			fail_msg("'%s': %s", in, err.msg);
		assert_string_equal(got, want);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *got = NULL;

		assert_true(fs_real_path(bad[i], &got, NULL) < 0);
		assert_null(got);
	}
}

static void
inside_is_told_by_whole_names(void **state)
{
	static const struct {
		const char *inner, *outer;
		bool want;
	} rows[] = {{"/a/b", "/a", true}, {"/a", "/a", true}, {"/a", "/", true}, {"/", "/", true}, {"/ab", "/a", false},
	    {"/a", "/a/b", false}, {"/", "/a", false}, {"/b/a", "/a", false}, {"/a/bc", "/a/b", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(fs_is_inside(rows[i].inner, rows[i].outer), rows[i].want);
}

static void
only_an_empty_or_absent_directory_is_empty(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(fs_require_empty("absent", &err), 0);
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(fs_require_empty("d", &err), 0);
	make("d/.hidden", "");
	assert_int_equal(fs_require_empty("d", &err), ERR_REFUSED);
	assert_string_not_equal(err.hint, "");
	assert_int_equal(fs_require_empty("d/.hidden", &err), ERR_REFUSED);
	assert_int_equal(symlink("nowhere", "link"), 0);
	assert_int_equal(fs_require_empty("link", &err), ERR_REFUSED);
}

static void
a_tree_is_removed_and_what_links_point_to_is_not(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(fs_make_dirs("keep/inner", 0700, NULL) | fs_make_dirs("gone/a/b/c", 0700, NULL), 0);
	make("keep/inner/file", "kept");
	for (int i = 0; i < 500; i++) {
		FREE_AUTO char *path = str_printf("gone/a/%d", i);

		make(path, "x");
	}
	assert_int_equal(symlink("../keep", "gone/link") | symlink("/", "gone/a/root") | mkfifo("gone/a/b/fifo", 0600), 0);
	assert_int_equal(symlink("keep", "link"), 0);
	assert_int_equal(fs_remove_tree("gone///", &err), 0);
	assert_int_equal(fs_remove_tree("gone", &err), 0);
	assert_int_equal(fs_remove_tree("absent/gone", &err), 0);
	assert_int_equal(fs_remove_tree("link", &err), 0);
	assert_int_equal(fs_remove_tree("keep/..", &err), ERR_BUG);
	assert_int_equal(fs_remove_tree(".", &err), ERR_BUG);
	assert_int_equal(fs_remove_tree("/", &err), ERR_BUG);
	assert_int_equal(fs_remove_tree("", &err), ERR_BUG);
	expect_names(".", "keep\n");
	expect_file("keep/inner/file", "kept");
}

static void
a_listing_is_sorted_and_its_caller_can_end_it(void **state)
{
	(void)state;
	expect_names(".", "");
	make("b", "");
	make("a.c", "");
	make("a", "");
	make("B", "");
	expect_names(".", "B\na\na.c\nb\n");
	assert_int_equal(fs_list_dir("absent", add_name, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(fs_list_dir("a", add_name, NULL, NULL), ERR_CORRUPT);
	BUF_AUTO struct buf small = {.max = 3};
	assert_int_equal(fs_list_dir(".", add_name, &small, NULL), ERR_NOMEM);
	assert_string_equal(buf_text(&small), "B\n");
}

static void
a_secret_that_others_may_use_is_refused(void **state)
{
	static const struct {
		mode_t mode;
		int want;
	} rows[] = {{0400, 0}, {0440, 0}, {0600, 0}, {0640, 0}, {0644, ERR_CONFIG}, {0604, ERR_CONFIG}, {0602, ERR_CONFIG},
	    {0660, ERR_CONFIG}, {0601, ERR_CONFIG}, {0777, ERR_CONFIG}};
	uint8_t out[8], zero[8] = {0};
	struct err err = {0};
	size_t len;

	(void)state;
	make("secret", "12345678");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		memset(out, 0xee, sizeof(out));
		len = 99;
		assert_int_equal(chmod("secret", rows[i].mode), 0);
		assert_int_equal(fs_read_secret("secret", out, sizeof(out), &len, &err), rows[i].want);
		assert_int_equal(len, rows[i].want == 0 ? 8 : 99);
		assert_memory_equal(out, rows[i].want == 0 ? (const uint8_t *)"12345678" : zero, 8);
		if (rows[i].want != 0)
			assert_non_null(strstr(err.hint, "chmod"));
	}
	assert_int_equal(chmod("secret", 0600), 0);
	assert_int_equal(fs_read_secret("secret", out, 7, &len, &err), ERR_CORRUPT);
	assert_int_equal(fs_read_secret("absent", out, 8, &len, &err), ERR_NOT_FOUND);
	assert_int_equal(fs_read_secret(".", out, 8, &len, &err), ERR_CONFIG);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(fs_read_secret("fifo", out, 8, &len, &err), ERR_CONFIG);
}

static void
reads_and_writes_at_a_place_take_all(void **state)
{
	FD_AUTO int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char data[8];
	size_t got;

	(void)state;
	assert_int_equal(fs_write_all(fd, "0123456789", 10, "f", NULL), 0);
	assert_int_equal(fs_pwrite_all(fd, "ab", 2, 9, "f", NULL), 0);
	assert_int_equal(fs_pread_upto(fd, data, 8, 6, &got, "f", NULL), 0);
	assert_int_equal(got, 5);
	assert_memory_equal(data, "678ab", 5);
	assert_int_equal(fs_read_upto(fd, data, 8, &got, "f", NULL), 0);
	assert_int_equal(got, 1); /* write_all left the position at 10 */
	assert_int_equal(fs_pwrite_all(fd, "a", 1, UINT64_MAX, "f", NULL), ERR_IO);
	assert_int_equal(fs_pread_upto(fd, data, 8, UINT64_MAX, &got, "f", NULL), 0);
	assert_int_equal(got, 0);
	assert_int_equal(fs_write_all(-1, "a", 1, "f", NULL), ERR_IO);
	assert_int_equal(fs_read_upto(-1, data, 1, &got, "f", NULL), ERR_IO);
}

static void
what_is_there_can_be_settled(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(fs_make_dirs("a/b", 0700, &err), 0);
	make("a/b/file", "x");
	assert_int_equal(symlink("a/b/file", "link"), 0);
	assert_int_equal(symlink("a/b/absent", "nowhere"), 0);
	assert_int_equal(fs_settle("a/b/file", &err), 0);
	assert_int_equal(fs_settle("a/b/", &err), 0);
	assert_int_equal(fs_settle("link", &err), 0);
	assert_int_equal(fs_settle("/", &err), 0);
	assert_int_equal(fs_settle("a/b/absent", &err), ERR_NOT_FOUND);
	assert_int_equal(fs_settle("nowhere", &err), ERR_NOT_FOUND);
	assert_non_null(strstr(err.msg, "absent"));
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(a_file_is_read_whole_or_not_at_all),
	    CASE(create_only_never_replaces),
	    CASE(a_write_that_fails_leaves_the_old_state),
	    CASE(a_hidden_file_of_somebody_elses_is_no_temporary),
	    CASE(what_a_killed_writer_left_goes_with_the_next_file_and_what_is_being_written_stays),
	    CASE(moving_to_a_taken_name_is_refused_both_ways),
	    CASE(directories_are_made_on_the_way),
	    CASE(a_real_path_has_no_links_left),
	    CASE(inside_is_told_by_whole_names),
	    CASE(only_an_empty_or_absent_directory_is_empty),
	    CASE(a_tree_is_removed_and_what_links_point_to_is_not),
	    CASE(a_listing_is_sorted_and_its_caller_can_end_it),
	    CASE(a_secret_that_others_may_use_is_refused),
	    CASE(reads_and_writes_at_a_place_take_all),
	    CASE(what_is_there_can_be_settled),
	};
#undef CASE
	return cmocka_run_group_tests(tests, NULL, NULL);
}
