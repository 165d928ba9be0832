/* The directory store: the conformance table in every way it can publish, a root that goes away, and temporaries. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <time.h>
#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "file_place.h"

/* ---- the root ---- */

static void
a_root_that_cannot_be_opened_is_never_a_miss(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *absent = bench_path(b, "absent"), *file = bench_path(b, "file"), *link = bench_path(b, "link");
	const struct {
		const char *path;
		bool create;
		int want;
	} rows[] = {{absent, false, ERR_IO}, {file, false, ERR_IO}, {link, false, ERR_IO}, {link, true, ERR_IO},
	    {"relative", true, ERR_CONFIG}, {"", false, ERR_CONFIG}};

	bench_must(fs_write_file(file, "x", 1, 0600, FS_CREATE_ONLY, NULL), &(struct err){0});
	assert_int_equal(symlink("nowhere", link), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct store *s = NULL;
		struct err err = {0};

		assert_int_equal(store_file_open(&s, rows[i].path, rows[i].create, &err), rows[i].want);
		assert_int_equal(err.kind, rows[i].want);
		assert_null(s);
	}
}

/* Nothing may be called missing, and nothing may be written where nobody will look. */
static void
expect_dead_root(struct store *s)
{
	struct err err = {0};
	unsigned n;

	for (enum file_call c = GET; c < CALLS; c++) {
		assert_int_equal(bench_call(s, c, "absent/key", &err), ERR_IO);
		assert_int_equal(err.kind, ERR_IO);
		assert_int_equal(bench_call(s, c, "absent", NULL), ERR_IO);
	}
	assert_int_equal(store_list(s, "", bench_ignore, NULL, &err), ERR_IO);
	assert_int_equal(store_list(s, "absent/", bench_ignore, NULL, &err), ERR_IO);
	assert_int_equal(store_caps(s, &(struct store_caps){0}, &err), ERR_IO);
	assert_int_equal(store_file_sweep(s, 0, &n, &err), ERR_IO);
}

static void
in_a_removed_root_nothing_is_proven_missing(void **state)
{
	struct bench *b = *state;

	bench_must(fs_remove_tree(b->place.root, NULL), &(struct err){0});
	expect_dead_root(b->s);
	assert_int_equal(mkdir(b->place.root, 0755), 0);
	expect_dead_root(b->s);
}

static void
in_a_root_that_was_moved_away_nothing_is_proven_missing(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *away = str_printf("%s/away", b->place.dir), *made = str_printf("%s/absent", away);
	struct stat st;

	assert_int_equal(rename(b->place.root, away), 0);
	expect_dead_root(b->s);
	assert_int_equal(mkdir(b->place.root, 0755), 0);
	expect_dead_root(b->s);
	assert_int_equal(stat(made, &st), -1);
}

/* A tmpfs on the root; the store is opened anew on it. False: this test may not mount. */
static bool
mount_root(struct bench *b, const char *options)
{
	struct err err = {0};

	if (mount("tmpfs", b->place.root, "tmpfs", 0, options) < 0)
		return false;
	b->mounted = true;
	store_close(b->s);
	b->s = NULL;
	bench_must(place_again(&b->place.factory, &b->s, &err), &err);
	return true;
}

static void
an_unmounted_root_is_not_an_empty_one(void **state)
{
	struct bench *b = *state;

	if (!mount_root(b, "size=1m"))
		skip();
	bench_put(b->s, "a/b");
	assert_int_equal(umount2(b->place.root, MNT_DETACH), 0);
	b->mounted = false;
	expect_dead_root(b->s);
}

static void
a_mount_inside_the_repository_is_refused(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *inside = bench_path(b, "clusters");
	enum file_call c = GET;
	struct err err = {0};
	int list;

	if (mkdir(inside, 0755) < 0 || mount("tmpfs", inside, "tmpfs", 0, "size=1m") < 0) {
		free(STEAL(inside)); /* skip() does not come back */
		skip();
	}
	for (; c < CALLS; c++) {
		if (bench_call(b->s, c, "clusters/a/b", &err) != ERR_IO || strstr(err.hint, "mounted inside") == NULL)
			break;
	}
	list = store_list(b->s, "", bench_ignore, NULL, NULL);
	assert_int_equal(umount2(inside, MNT_DETACH), 0);
	assert_int_equal(list, ERR_IO);
	assert_int_equal(c, CALLS);
	assert_non_null(strstr(err.hint, "mounted inside"));
	assert_int_equal(err.kind, ERR_IO);
}

static void
a_full_file_system_leaves_nothing_visible(void **state)
{
	struct bench *b = *state;
	static const uint8_t data[2 << 20]; /* not from the heap: skip() does not come back */
	struct err err = {0};

	if (!mount_root(b, "size=1m"))
		skip();
	assert_int_equal(store_put_bytes(b->s, "wal/a", data, 2 << 20, &err), ERR_NOSPACE);
	assert_int_equal(err.sys, ENOSPC);
	assert_int_equal(bench_call(b->s, STAT, "wal/a", &err), ERR_NOT_FOUND);
	assert_int_equal(place_leftovers(&b->place.factory), 0);
	bench_must(store_put_bytes(b->s, "wal/a", data, 512 << 10, &err), &err);
}

static void
without_inodes_left_nothing_is_visible(void **state)
{
	struct bench *b = *state;
	struct err err = {0};
	unsigned made = 0;
	int rc = 0;

	if (!mount_root(b, "size=1m,nr_inodes=12"))
		skip();
	for (; made < 20 && rc == 0; made++) {
		FREE_AUTO char *key = str_printf("d%u/e/o", made);

		rc = store_put_bytes(b->s, key, "x", 1, &err);
		assert_int_equal(bench_call(b->s, STAT, key, NULL), rc == 0 ? 0 : ERR_NOT_FOUND);
	}
	assert_int_equal(rc, ERR_NOSPACE);
	assert_true(made > 1);
}

static void
a_read_only_remount_refuses_and_leaves_nothing(void **state)
{
	struct bench *b = *state;
	SINK_AUTO struct sink *late = NULL;
	struct store_caps caps = {.writer_can_delete = true};
	struct err err = {0};

	if (!mount_root(b, "size=1m"))
		skip();
	bench_put(b->s, "wal/a");
	assert_int_equal(mount("tmpfs", b->place.root, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
	assert_int_equal(store_put(b->s, "wal/b", &late, &err), ERR_IO);
	assert_int_equal(err.sys, EROFS);
	assert_int_equal(store_remove(b->s, "wal/a", &err), ERR_IO);
	bench_must(bench_call(b->s, GET, "wal/a", &err), &err);
	assert_int_equal(bench_call(b->s, GET, "wal/b", &err), ERR_NOT_FOUND);
	bench_must(store_caps(b->s, &caps, &err), &err);
	assert_false(caps.writer_can_delete);
}

/* ---- temporaries ---- */

static void
a_dead_writers_temporary_is_swept_and_a_living_ones_is_not(void **state)
{
	struct bench *b = *state;
	struct place named = b->place;
	STORE_AUTO struct store *s = NULL;
	SINK_AUTO struct sink *living = NULL;
	FREE_AUTO char *dead = bench_path(b, "tmp/00000000deadbeef"), *fifo = bench_path(b, "tmp/00000000000f1f00");
	struct err err = {0};
	unsigned removed = 99;

	named.options.mode = FILE_MODE_LINK;
	bench_must(store_file_sweep(b->s, 0, &removed, &err), &err);
	assert_int_equal(removed, 0);
	bench_must(place_again(&named.factory, &s, &err), &err);
	bench_must(store_put(s, "a/b", &living, &err), &err);
	bench_must(fs_write_file(dead, "x", 1, 0600, FS_CREATE_ONLY, &err), &err);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	bench_must(store_file_sweep(b->s, 3600 * 1000, &removed, &err), &err);
	assert_int_equal(removed, 0);
	bench_must(store_file_sweep(b->s, -1000, &removed, &err), &err);
	assert_int_equal(removed, 1);
	assert_int_equal(access(dead, F_OK), -1);
	bench_must(sink_write(living, "content", 7, &err), &err);
	bench_must(sink_finish(living, &err), &err);
	bench_must(bench_call(s, GET, "a/b", &err), &err);
}

static void
the_first_named_temporary_takes_away_what_is_older_than_a_day(void **state)
{
	struct bench *b = *state;
	struct place named = b->place;
	STORE_AUTO struct store *s = NULL;
	FREE_AUTO char *old = bench_path(b, "tmp/00000000deadbeef"), *young = bench_path(b, "tmp/00000000deadbee0");
	const struct timespec then[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - 25 * 3600}};
	struct err err = {0};

	bench_put(b->s, "a/unnamed");
	named.options.mode = FILE_MODE_LINK;
	bench_must(place_again(&named.factory, &s, &err), &err);
	bench_put(s, "a/first");
	assert_int_equal(close(open(old, O_WRONLY | O_CREAT | O_EXCL, 0600)), 0);
	assert_int_equal(close(open(young, O_WRONLY | O_CREAT | O_EXCL, 0600)), 0);
	assert_int_equal(utimensat(AT_FDCWD, old, then, 0), 0);
	bench_put(s, "a/second"); /* once a handle is enough */
	assert_int_equal(access(old, F_OK), 0);
	store_close(STEAL(s));
	bench_must(place_again(&named.factory, &s, &err), &err);
	bench_put(s, "a/third");
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(access(young, F_OK), 0);
}

static void
an_object_whose_writer_died_before_unlink_survives_the_sweep(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *dir = bench_path(b, "tmp"), *second = bench_path(b, "tmp/0000000000000123"),
		       *object = bench_path(b, "a/b");
	struct err err = {0};
	unsigned removed = 0;

	bench_put(b->s, "a/b");
	assert_int_equal(mkdir(dir, 0700) == 0 || errno == EEXIST, 1);
	assert_int_equal(link(object, second), 0);
	bench_must(store_file_sweep(b->s, -1000, &removed, &err), &err);
	assert_int_equal(removed, 1);
	bench_must(bench_call(b->s, GET, "a/b", &err), &err);
}

static void
a_swept_temporary_fails_its_put_and_is_no_miss(void **state)
{
	struct bench *b = *state;
	struct place named = b->place;
	STORE_AUTO struct store *s = NULL;
	SINK_AUTO struct sink *sink = NULL;
	FREE_AUTO char *tmp = bench_path(b, "tmp");
	struct err err = {0};

	named.options.mode = b->place.options.mode == FILE_MODE_RENAME ? FILE_MODE_RENAME : FILE_MODE_LINK;
	bench_must(place_again(&named.factory, &s, &err), &err);
	bench_must(store_put(s, "a/b", &sink, &err), &err);
	bench_must(fs_remove_tree(tmp, &err), &err);
	assert_int_equal(sink_finish(sink, &err), ERR_IO);
	assert_int_equal(err.kind, ERR_IO);
	assert_int_equal(bench_call(s, STAT, "a/b", &err), ERR_NOT_FOUND);
}

static void
only_directories_have_an_url_here(void **state)
{
	struct bench *b = *state;
	const struct {
		const char *front, *back;
		int want;
	} rows[] = {{"file://", "", 0}, {"file://", "/", 0}, {"file://", "/%2e", 0}, {"file://", "/new%20place", 0},
	    {"file://", "/%", ERR_CONFIG}, {"file://", "/%0", ERR_CONFIG}, {"file://", "/%zz", ERR_CONFIG},
	    {"file://", "/%00", ERR_CONFIG}, {"file://", "/a%2Fb", ERR_CONFIG}, {"file://host", "", ERR_CONFIG},
	    {"file:", "", ERR_CONFIG}, {"", "", ERR_CONFIG}, {"FILE://", "", ERR_CONFIG}, {"gopher://", "", ERR_CONFIG}};
	FREE_AUTO char *blank = bench_path(b, "new place");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FREE_AUTO char *url = str_printf("%s%s%s", rows[i].front, b->place.root, rows[i].back);
		STORE_AUTO struct store *s = NULL;
		struct err err = {0};

		if (store_open(&s, url, true, &err) != rows[i].want)
			fail_msg("'%s' gave %s %s", url, err_kind_name(err.kind), err.msg);
	}
	assert_int_equal(access(blank, X_OK), 0);
	assert_int_equal(store_open(&(struct store *){NULL}, "file://", true, NULL), ERR_CONFIG);
}

static unsigned
open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int
own_cases(struct place *p)
{
	const struct CMUnitTest tests[] = {
	    BENCH_CASE(a_root_that_cannot_be_opened_is_never_a_miss, p),
	    BENCH_CASE(in_a_removed_root_nothing_is_proven_missing, p),
	    BENCH_CASE(in_a_root_that_was_moved_away_nothing_is_proven_missing, p),
	    BENCH_CASE(an_unmounted_root_is_not_an_empty_one, p),
	    BENCH_CASE(a_mount_inside_the_repository_is_refused, p),
	    BENCH_CASE(a_full_file_system_leaves_nothing_visible, p),
	    BENCH_CASE(without_inodes_left_nothing_is_visible, p),
	    BENCH_CASE(a_read_only_remount_refuses_and_leaves_nothing, p),
	    BENCH_CASE(a_dead_writers_temporary_is_swept_and_a_living_ones_is_not, p),
	    BENCH_CASE(the_first_named_temporary_takes_away_what_is_older_than_a_day, p),
	    BENCH_CASE(an_object_whose_writer_died_before_unlink_survives_the_sweep, p),
	    BENCH_CASE(a_swept_temporary_fails_its_put_and_is_no_miss, p),
	    BENCH_CASE(only_directories_have_an_url_here, p),
	};

	return _cmocka_run_group_tests(p->factory.name, tests, ARRAY_LEN(tests), NULL, NULL);
}

int
main(void)
{
	struct place places[] = {
	    place_of("file", FILE_MODE_AUTO, false),
	    place_of("file, unnamed and linked", FILE_MODE_UNNAMED, false),
	    place_of("file, named and linked", FILE_MODE_LINK, false),
	    place_of("file, named and renamed", FILE_MODE_RENAME, false),
	    place_of("file, without openat2", FILE_MODE_AUTO, true),
	};
	unsigned before = open_descriptors();
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		failed += store_conformance(&places[i].factory);
		failed += own_cases(&places[i]);
	}
	if (open_descriptors() != before) {
		(void)fprintf(stderr, "%u descriptors were open before, %u after\n", before, open_descriptors());
		failed++;
	}
	return failed != 0;
}
