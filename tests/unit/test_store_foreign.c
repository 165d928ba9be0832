/* The directory store and what others left, mounted or forbade in its directory. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "file_place.h"

/* ---- what does not belong into a repository ---- */

static void
links_inside_the_repository_are_refused(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *dir_link = bench_path(b, "linked"), *file_link = bench_path(b, "real/link"),
		       *dangling = bench_path(b, "real/dangling");
	static const char *const keys[] = {"linked/object", "real/link", "linked"};
	struct err err = {0};

	bench_put(b->s, "real/object");
	assert_int_equal(symlink("real", dir_link), 0);
	assert_int_equal(symlink("object", file_link), 0);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (enum file_call c = GET; c < PUT; c++) {
			assert_int_equal(bench_call(b->s, c, keys[i], &err), ERR_CORRUPT);
			assert_string_not_equal(err.hint, "");
		}
	}
	assert_int_equal(bench_call(b->s, PUT, "linked/other", &err), ERR_CORRUPT);
	assert_int_equal(bench_call(b->s, PUT, "real/link", &err), ERR_EXISTS);
	assert_int_equal(store_list(b->s, "", bench_ignore, NULL, &err), ERR_CORRUPT);
	assert_int_equal(store_list(b->s, "linked/", bench_ignore, NULL, &err), ERR_CORRUPT);
	/* a name that leads nowhere is not a missing object either, and nothing is written through it */
	assert_int_equal(symlink("/tmp/pgcairn-nowhere", dangling), 0);
	assert_int_equal(bench_call(b->s, GET, "real/dangling", &err), ERR_CORRUPT);
	assert_int_equal(bench_call(b->s, GET, "real/dangling/x", &err), ERR_CORRUPT);
	assert_int_equal(bench_call(b->s, PUT, "real/dangling", &err), ERR_EXISTS);
	assert_int_equal(bench_call(b->s, GET, "real/object", &err), 0);
}

static void
special_files_and_directories_are_refused_without_waiting(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *fifo = bench_path(b, "d/fifo");
	static const char *const keys[] = {"d/fifo", "d/sub", "d"};
	struct err err = {0};

	bench_put(b->s, "d/sub/object");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	(void)alarm(20);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (enum file_call c = GET; c < PUT; c++)
			assert_int_equal(bench_call(b->s, c, keys[i], &err), ERR_CORRUPT);
		assert_int_equal(bench_call(b->s, PUT, keys[i], &err), ERR_EXISTS);
	}
	assert_int_equal(store_list(b->s, "", bench_ignore, NULL, &err), ERR_CORRUPT);
	(void)alarm(0);
}

static void
a_key_below_an_object_is_refused(void **state)
{
	struct bench *b = *state;
	struct err err = {0};

	bench_put(b->s, "a/object");
	for (enum file_call c = GET; c < CALLS; c++) {
		assert_int_equal(bench_call(b->s, c, "a/object/below", &err), ERR_CORRUPT);
		assert_int_equal(bench_call(b->s, c, "a/object/far/below", &err), ERR_CORRUPT);
	}
	assert_int_equal(store_list(b->s, "a/object/", bench_ignore, NULL, &err), ERR_CORRUPT);
}

static int
count(const struct store_entry *e, void *arg, struct err *err)
{
	(void)e;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static void
names_that_no_key_can_have_are_passed_over(void **state)
{
	struct bench *b = *state;
	static const char *const names[] = {".hidden", "a/.pgcairn-0123", "a/with blank", "tmp", "lost+found"};
	struct err err = {0};
	unsigned n = 0;

	bench_put(b->s, "a/object");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		FREE_AUTO char *path = bench_path(b, names[i]);

		assert_int_equal(mkdir(path, 0700) == 0 || errno == EEXIST, 1);
		FREE_AUTO char *inner = str_printf("%s/inner", path);
		bench_must(fs_write_file(inner, "x", 1, 0600, FS_CREATE_ONLY, &err), &err);
	}
	bench_must(store_list(b->s, "", count, &n, &err), &err);
	assert_int_equal(n, 1);
}

static void
a_directory_deeper_than_any_key_is_not_passed_over(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *deep = bench_path(b, "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16");
	struct err err = {0};

	bench_must(fs_make_dirs(deep, 0700, &err), &err);
	assert_int_equal(store_list(b->s, "", bench_ignore, NULL, &err), ERR_CORRUPT);
}

/* ---- permissions ---- */

/* Root may read everything: become nobody for a while. */
static void
as_nobody(bool yes)
{
	if (getuid() == 0)
		assert_int_equal(seteuid(yes ? 65534 : 0), 0);
}

static void
what_may_not_be_read_is_an_auth_error_never_a_miss(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *dir = bench_path(b, "closed"), *object = bench_path(b, "open/object"),
		       *open_dir = bench_path(b, "open");
	struct err err = {0};
	int rc[CALLS], locked, list;

	bench_put(b->s, "closed/object");
	bench_put(b->s, "open/object");
	assert_int_equal(chmod(b->place.root, 0755) | chmod(dir, 0) | chmod(open_dir, 0755) | chmod(object, 0), 0);
	as_nobody(true);
	for (enum file_call c = GET; c < CALLS; c++)
		rc[c] = bench_call(b->s, c, "closed/absent", &err);
	locked = bench_call(b->s, GET, "open/object", &err);
	list = store_list(b->s, "", bench_ignore, NULL, &err);
	as_nobody(false);
	(void)chmod(dir, 0755);
	for (enum file_call c = GET; c < CALLS; c++)
		assert_int_equal(rc[c], ERR_AUTH);
	assert_int_equal(locked, ERR_AUTH);
	assert_int_equal(list, ERR_AUTH);
	assert_non_null(strstr(err.hint, b->place.root));
}

static void
who_cannot_write_cannot_delete(void **state)
{
	struct bench *b = *state;
	struct store_caps nobody = {.writer_can_delete = true}, owner = {0}, append = {.writer_can_delete = true};
	struct err err = {0};
	int flags = 0, rc;
	FD_AUTO int fd = open(b->place.root, O_RDONLY | O_DIRECTORY);

	bench_must(store_caps(b->s, &owner, &err), &err);
	assert_true(owner.writer_can_delete);
	assert_int_equal(chmod(b->place.root, 0555), 0);
	as_nobody(true);
	rc = store_caps(b->s, &nobody, &err);
	as_nobody(false);
	bench_must(rc, &err);
	assert_false(nobody.writer_can_delete);
	assert_int_equal(chmod(b->place.root, 0755), 0);
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_APPEND_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
		return;
	rc = store_caps(b->s, &append, &err);
	/* objects lie in directories below, and those are not append-only */
	bench_must(store_put_bytes(b->s, "clusters/x", "x", 1, &err), &err);
	(void)store_caps(b->s, &owner, &err);
	flags &= ~FS_APPEND_FL;
	assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	bench_must(rc, &err);
	assert_false(append.writer_can_delete);
	assert_true(owner.writer_can_delete);
}

static mode_t
mode_of(const struct bench *b, const char *name)
{
	FREE_AUTO char *path = bench_path(b, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
objects_are_for_the_group_to_read_and_the_umask_is_kept(void **state)
{
	struct bench *b = *state;
	mode_t old = umask(0);

	bench_put(b->s, "a/b/object");
	(void)umask(0077);
	bench_put(b->s, "c/object");
	(void)umask(old);
	assert_int_equal(mode_of(b, "a"), 0750);
	assert_int_equal(mode_of(b, "a/b"), 0750);
	assert_int_equal(mode_of(b, "a/b/object"), 0640);
	assert_int_equal(mode_of(b, "c"), 0700);
	assert_int_equal(mode_of(b, "c/object"), 0600);
}

static void
every_descriptor_is_closed_on_exec(void **state)
{
	struct bench *b = *state;
	SINK_AUTO struct sink *sink = NULL;
	unsigned seen = 0;

	bench_must(store_put(b->s, "a/b", &sink, NULL), &(struct err){0});
	for (int fd = 3; fd < 256; fd++) {
		FREE_AUTO char *link = str_printf("/proc/self/fd/%d", fd);
		char target[512];
		ssize_t n = readlink(link, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		if (!str_starts(target, b->place.root))
			continue;
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
		seen++;
	}
	assert_true(seen >= 2);
}

static int
own_cases(struct place *p)
{
	const struct CMUnitTest tests[] = {
	    BENCH_CASE(links_inside_the_repository_are_refused, p),
	    BENCH_CASE(special_files_and_directories_are_refused_without_waiting, p),
	    BENCH_CASE(a_key_below_an_object_is_refused, p),
	    BENCH_CASE(names_that_no_key_can_have_are_passed_over, p),
	    BENCH_CASE(a_directory_deeper_than_any_key_is_not_passed_over, p),
	    BENCH_CASE(what_may_not_be_read_is_an_auth_error_never_a_miss, p),
	    BENCH_CASE(who_cannot_write_cannot_delete, p),
	    BENCH_CASE(objects_are_for_the_group_to_read_and_the_umask_is_kept, p),
	    BENCH_CASE(every_descriptor_is_closed_on_exec, p),
	};

	return _cmocka_run_group_tests(p->factory.name, tests, ARRAY_LEN(tests), NULL, NULL);
}

int
main(void)
{
	struct place places[] = {
	    place_of("file", FILE_MODE_AUTO, false),
	    place_of("file, named and linked", FILE_MODE_LINK, false),
	    place_of("file, without openat2", FILE_MODE_AUTO, true),
	};
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		failed += own_cases(&places[i]);
	return failed != 0;
}
