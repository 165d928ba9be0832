/* The directory store: the conformance table in every way it can publish, and what only a directory can get wrong. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <linux/fs.h>
#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/file_internal.h"
#include "store_conformance.h"

struct place {
	struct store_factory factory;
	struct file_options options;
	char dir[64];  /* a new directory of our own */
	char root[96]; /* the repository in it */
};

static int
place_again(struct store_factory *f, struct store **out, struct err *err)
{
	struct place *p = (struct place *)f;

	return file_open_with(out, p->root, false, &p->options, err);
}

static int
place_fresh(struct store_factory *f, struct store **out, struct err *err)
{
	struct place *p = (struct place *)f;

	memcpy(p->dir, "/tmp/pgcairn-store-XXXXXX", 26);
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	(void)snprintf(p->root, sizeof(p->root), "%s/above/repository", p->dir);
	return file_open_with(out, p->root, true, &p->options, err);
}

static void
place_destroy(struct store_factory *f)
{
	struct place *p = (struct place *)f;

	(void)fs_remove_tree(p->dir, NULL);
}

static unsigned
place_leftovers(struct store_factory *f)
{
	FREE_AUTO char *path = str_printf("%s/tmp", ((struct place *)f)->root);
	DIR_AUTO DIR *d = opendir(path);
	unsigned n = 0;

	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	return n;
}

static struct place
place_of(const char *name, enum file_mode mode, bool no_openat2)
{
	struct place p = {
	    .factory = {.name = name,
		.fresh = place_fresh,
		.again = place_again,
		.destroy = place_destroy,
		.leftovers = place_leftovers},
	    .options = {.mode = mode, .no_openat2 = no_openat2},
	};

	return p;
}

/* ---- helpers of the cases below: each has a place and an open store in its state ---- */

struct bench {
	struct place place;
	struct store *s;
	bool mounted;
};

static int
setup_bench(void **state)
{
	const struct place *p = *state;
	struct bench *b = calloc(1, sizeof(*b));

	b->place = *p;
	*state = b;
	return place_fresh(&b->place.factory, &b->s, NULL);
}

static int
teardown_bench(void **state)
{
	struct bench *b = *state;

	store_close(b->s);
	if (b->mounted)
		(void)umount2(b->place.root, MNT_DETACH);
	place_destroy(&b->place.factory);
	free(b);
	return 0;
}

static char *
below(const struct bench *b, const char *name)
{
	return str_printf("%s/%s", b->place.root, name);
}

static void
must(int rc, const struct err *err)
{
	if (rc != 0)
		fail_msg("unexpected %s: %s", err_kind_name(rc), err->msg);
}

static void
put(struct store *s, const char *key)
{
	struct err err = {0};

	must(store_put_bytes(s, key, "content", 7, &err), &err);
}

static int
ignore(const struct store_entry *e, void *arg, struct err *err)
{
	(void)e;
	(void)arg;
	(void)err;
	return 0;
}

enum call { GET, TAIL, STAT, SETTLE, REMOVE, PUT, CALLS };

static int
call(struct store *s, enum call c, const char *key, struct err *err)
{
	struct store_stat st;
	char data[8];
	size_t got;

	switch (c) {
	case GET:
		return store_get(s, key, 0, data, sizeof(data), &got, err);
	case TAIL:
		return store_get_tail(s, key, data, sizeof(data), &got, &(uint64_t){0}, err);
	case STAT:
		return store_stat(s, key, &st, err);
	case SETTLE:
		return store_settle(s, key, err);
	case REMOVE:
		return store_remove(s, key, err);
	default:
		return store_put_bytes(s, key, "x", 1, err);
	}
}

/* ---- the root ---- */

static void
a_root_that_cannot_be_opened_is_never_a_miss(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *absent = below(b, "absent"), *file = below(b, "file"), *link = below(b, "link");
	const struct {
		const char *path;
		bool create;
		int want;
	} rows[] = {{absent, false, ERR_IO}, {file, false, ERR_IO}, {link, false, ERR_IO}, {link, true, ERR_IO},
	    {"relative", true, ERR_CONFIG}, {"", false, ERR_CONFIG}};

	must(fs_write_file(file, "x", 1, 0600, FS_CREATE_ONLY, NULL), &(struct err){0});
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

	for (enum call c = GET; c < CALLS; c++) {
		assert_int_equal(call(s, c, "absent/key", &err), ERR_IO);
		assert_int_equal(err.kind, ERR_IO);
		assert_int_equal(call(s, c, "absent", NULL), ERR_IO);
	}
	assert_int_equal(store_list(s, "", ignore, NULL, &err), ERR_IO);
	assert_int_equal(store_list(s, "absent/", ignore, NULL, &err), ERR_IO);
	assert_int_equal(store_caps(s, &(struct store_caps){0}, &err), ERR_IO);
	assert_int_equal(store_file_sweep(s, 0, &n, &err), ERR_IO);
}

static void
in_a_removed_root_nothing_is_proven_missing(void **state)
{
	struct bench *b = *state;

	must(fs_remove_tree(b->place.root, NULL), &(struct err){0});
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
	must(place_again(&b->place.factory, &b->s, &err), &err);
	return true;
}

static void
an_unmounted_root_is_not_an_empty_one(void **state)
{
	struct bench *b = *state;

	if (!mount_root(b, "size=1m"))
		skip();
	put(b->s, "a/b");
	assert_int_equal(umount2(b->place.root, MNT_DETACH), 0);
	b->mounted = false;
	expect_dead_root(b->s);
}

static void
a_mount_inside_the_repository_is_refused(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *inside = below(b, "clusters");
	struct err err = {0};

	if (mkdir(inside, 0755) < 0 || mount("tmpfs", inside, "tmpfs", 0, "size=1m") < 0)
		skip();
	for (enum call c = GET; c < CALLS; c++) {
		if (call(b->s, c, "clusters/a/b", &err) != ERR_IO || strstr(err.hint, "mounted inside") == NULL)
			break;
	}
	assert_int_equal(store_list(b->s, "", ignore, NULL, NULL), ERR_IO);
	assert_int_equal(umount2(inside, MNT_DETACH), 0);
	assert_non_null(strstr(err.hint, "mounted inside"));
	assert_int_equal(err.kind, ERR_IO);
}

static void
a_full_file_system_leaves_nothing_visible(void **state)
{
	struct bench *b = *state;
	FREE_AUTO uint8_t *data = calloc(1, 2 << 20);
	struct err err = {0};

	if (!mount_root(b, "size=1m"))
		skip();
	assert_int_equal(store_put_bytes(b->s, "wal/a", data, 2 << 20, &err), ERR_NOSPACE);
	assert_int_equal(err.sys, ENOSPC);
	assert_int_equal(call(b->s, STAT, "wal/a", &err), ERR_NOT_FOUND);
	assert_int_equal(place_leftovers(&b->place.factory), 0);
	must(store_put_bytes(b->s, "wal/a", data, 512 << 10, &err), &err);
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
		assert_int_equal(call(b->s, STAT, key, NULL), rc == 0 ? 0 : ERR_NOT_FOUND);
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
	put(b->s, "wal/a");
	assert_int_equal(mount("tmpfs", b->place.root, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
	assert_int_equal(store_put(b->s, "wal/b", &late, &err), ERR_IO);
	assert_int_equal(err.sys, EROFS);
	assert_int_equal(store_remove(b->s, "wal/a", &err), ERR_IO);
	must(call(b->s, GET, "wal/a", &err), &err);
	assert_int_equal(call(b->s, GET, "wal/b", &err), ERR_NOT_FOUND);
	must(store_caps(b->s, &caps, &err), &err);
	assert_false(caps.writer_can_delete);
}

/* ---- what does not belong into a repository ---- */

static void
links_inside_the_repository_are_refused(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *dir_link = below(b, "linked"), *file_link = below(b, "real/link"),
		       *dangling = below(b, "real/dangling");
	static const char *const keys[] = {"linked/object", "real/link", "linked"};
	struct err err = {0};

	put(b->s, "real/object");
	assert_int_equal(symlink("real", dir_link), 0);
	assert_int_equal(symlink("object", file_link), 0);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (enum call c = GET; c < PUT; c++) {
			assert_int_equal(call(b->s, c, keys[i], &err), ERR_CORRUPT);
			assert_string_not_equal(err.hint, "");
		}
	}
	assert_int_equal(call(b->s, PUT, "linked/other", &err), ERR_CORRUPT);
	assert_int_equal(call(b->s, PUT, "real/link", &err), ERR_EXISTS);
	assert_int_equal(store_list(b->s, "", ignore, NULL, &err), ERR_CORRUPT);
	assert_int_equal(store_list(b->s, "linked/", ignore, NULL, &err), ERR_CORRUPT);
	/* a name that leads nowhere is not a missing object either, and nothing is written through it */
	assert_int_equal(symlink("/tmp/pgcairn-nowhere", dangling), 0);
	assert_int_equal(call(b->s, GET, "real/dangling", &err), ERR_CORRUPT);
	assert_int_equal(call(b->s, GET, "real/dangling/x", &err), ERR_CORRUPT);
	assert_int_equal(call(b->s, PUT, "real/dangling", &err), ERR_EXISTS);
	assert_int_equal(call(b->s, GET, "real/object", &err), 0);
}

static void
special_files_and_directories_are_refused_without_waiting(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *fifo = below(b, "d/fifo");
	static const char *const keys[] = {"d/fifo", "d/sub", "d"};
	struct err err = {0};

	put(b->s, "d/sub/object");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	(void)alarm(20);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (enum call c = GET; c < PUT; c++)
			assert_int_equal(call(b->s, c, keys[i], &err), ERR_CORRUPT);
		assert_int_equal(call(b->s, PUT, keys[i], &err), ERR_EXISTS);
	}
	assert_int_equal(store_list(b->s, "", ignore, NULL, &err), ERR_CORRUPT);
	(void)alarm(0);
}

static void
a_key_below_an_object_is_refused(void **state)
{
	struct bench *b = *state;
	struct err err = {0};

	put(b->s, "a/object");
	for (enum call c = GET; c < CALLS; c++) {
		assert_int_equal(call(b->s, c, "a/object/below", &err), ERR_CORRUPT);
		assert_int_equal(call(b->s, c, "a/object/far/below", &err), ERR_CORRUPT);
	}
	assert_int_equal(store_list(b->s, "a/object/", ignore, NULL, &err), ERR_CORRUPT);
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

	put(b->s, "a/object");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		FREE_AUTO char *path = below(b, names[i]);

		assert_int_equal(mkdir(path, 0700) == 0 || errno == EEXIST, 1);
		FREE_AUTO char *inner = str_printf("%s/inner", path);
		must(fs_write_file(inner, "x", 1, 0600, FS_CREATE_ONLY, &err), &err);
	}
	must(store_list(b->s, "", count, &n, &err), &err);
	assert_int_equal(n, 1);
}

static void
a_directory_deeper_than_any_key_is_not_passed_over(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *deep = below(b, "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16");
	struct err err = {0};

	must(fs_make_dirs(deep, 0700, &err), &err);
	assert_int_equal(store_list(b->s, "", ignore, NULL, &err), ERR_CORRUPT);
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
	FREE_AUTO char *dir = below(b, "closed"), *object = below(b, "open/object"), *open_dir = below(b, "open");
	struct err err = {0};
	int rc[CALLS], locked, list;

	put(b->s, "closed/object");
	put(b->s, "open/object");
	assert_int_equal(chmod(b->place.root, 0755) | chmod(dir, 0) | chmod(open_dir, 0755) | chmod(object, 0), 0);
	as_nobody(true);
	for (enum call c = GET; c < CALLS; c++)
		rc[c] = call(b->s, c, "closed/absent", &err);
	locked = call(b->s, GET, "open/object", &err);
	list = store_list(b->s, "", ignore, NULL, &err);
	as_nobody(false);
	(void)chmod(dir, 0755);
	for (enum call c = GET; c < CALLS; c++)
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

	must(store_caps(b->s, &owner, &err), &err);
	assert_true(owner.writer_can_delete);
	assert_int_equal(chmod(b->place.root, 0555), 0);
	as_nobody(true);
	rc = store_caps(b->s, &nobody, &err);
	as_nobody(false);
	must(rc, &err);
	assert_false(nobody.writer_can_delete);
	assert_int_equal(chmod(b->place.root, 0755), 0);
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_APPEND_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
		return;
	rc = store_caps(b->s, &append, &err);
	/* objects lie in directories below, and those are not append-only */
	must(store_put_bytes(b->s, "clusters/x", "x", 1, &err), &err);
	(void)store_caps(b->s, &owner, &err);
	flags &= ~FS_APPEND_FL;
	assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	must(rc, &err);
	assert_false(append.writer_can_delete);
	assert_true(owner.writer_can_delete);
}

static mode_t
mode_of(const struct bench *b, const char *name)
{
	FREE_AUTO char *path = below(b, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
objects_are_for_the_group_to_read_and_the_umask_is_kept(void **state)
{
	struct bench *b = *state;
	mode_t old = umask(0);

	put(b->s, "a/b/object");
	(void)umask(0077);
	put(b->s, "c/object");
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

	must(store_put(b->s, "a/b", &sink, NULL), &(struct err){0});
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

/* ---- temporaries ---- */

static void
a_dead_writers_temporary_is_swept_and_a_living_ones_is_not(void **state)
{
	struct bench *b = *state;
	struct place named = b->place;
	STORE_AUTO struct store *s = NULL;
	SINK_AUTO struct sink *living = NULL;
	FREE_AUTO char *dead = below(b, "tmp/00000000deadbeef"), *fifo = below(b, "tmp/fifo");
	struct err err = {0};
	unsigned removed = 99;

	named.options.mode = FILE_MODE_LINK;
	must(store_file_sweep(b->s, 0, &removed, &err), &err);
	assert_int_equal(removed, 0);
	must(place_again(&named.factory, &s, &err), &err);
	must(store_put(s, "a/b", &living, &err), &err);
	must(fs_write_file(dead, "x", 1, 0600, FS_CREATE_ONLY, &err), &err);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	must(store_file_sweep(b->s, 3600 * 1000, &removed, &err), &err);
	assert_int_equal(removed, 0);
	must(store_file_sweep(b->s, -1000, &removed, &err), &err);
	assert_int_equal(removed, 1);
	assert_int_equal(access(dead, F_OK), -1);
	must(sink_write(living, "content", 7, &err), &err);
	must(sink_finish(living, &err), &err);
	must(call(s, GET, "a/b", &err), &err);
}

static void
an_object_whose_writer_died_before_unlink_survives_the_sweep(void **state)
{
	struct bench *b = *state;
	FREE_AUTO char *dir = below(b, "tmp"), *second = below(b, "tmp/0123"), *object = below(b, "a/b");
	struct err err = {0};
	unsigned removed = 0;

	put(b->s, "a/b");
	assert_int_equal(mkdir(dir, 0700) == 0 || errno == EEXIST, 1);
	assert_int_equal(link(object, second), 0);
	must(store_file_sweep(b->s, -1000, &removed, &err), &err);
	assert_int_equal(removed, 1);
	must(call(b->s, GET, "a/b", &err), &err);
}

static void
a_swept_temporary_fails_its_put_and_is_no_miss(void **state)
{
	struct bench *b = *state;
	struct place named = b->place;
	STORE_AUTO struct store *s = NULL;
	SINK_AUTO struct sink *sink = NULL;
	FREE_AUTO char *tmp = below(b, "tmp");
	struct err err = {0};

	named.options.mode = b->place.options.mode == FILE_MODE_RENAME ? FILE_MODE_RENAME : FILE_MODE_LINK;
	must(place_again(&named.factory, &s, &err), &err);
	must(store_put(s, "a/b", &sink, &err), &err);
	must(fs_remove_tree(tmp, &err), &err);
	assert_int_equal(sink_finish(sink, &err), ERR_IO);
	assert_int_equal(err.kind, ERR_IO);
	assert_int_equal(call(s, STAT, "a/b", &err), ERR_NOT_FOUND);
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
	FREE_AUTO char *blank = below(b, "new place");

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
#define CASE(fn) cmocka_unit_test_prestate_setup_teardown(fn, setup_bench, teardown_bench, p)
	const struct CMUnitTest tests[] = {
	    CASE(a_root_that_cannot_be_opened_is_never_a_miss),
	    CASE(in_a_removed_root_nothing_is_proven_missing),
	    CASE(in_a_root_that_was_moved_away_nothing_is_proven_missing),
	    CASE(an_unmounted_root_is_not_an_empty_one),
	    CASE(a_mount_inside_the_repository_is_refused),
	    CASE(a_full_file_system_leaves_nothing_visible),
	    CASE(without_inodes_left_nothing_is_visible),
	    CASE(a_read_only_remount_refuses_and_leaves_nothing),
	    CASE(links_inside_the_repository_are_refused),
	    CASE(special_files_and_directories_are_refused_without_waiting),
	    CASE(a_key_below_an_object_is_refused),
	    CASE(names_that_no_key_can_have_are_passed_over),
	    CASE(a_directory_deeper_than_any_key_is_not_passed_over),
	    CASE(what_may_not_be_read_is_an_auth_error_never_a_miss),
	    CASE(who_cannot_write_cannot_delete),
	    CASE(objects_are_for_the_group_to_read_and_the_umask_is_kept),
	    CASE(every_descriptor_is_closed_on_exec),
	    CASE(a_dead_writers_temporary_is_swept_and_a_living_ones_is_not),
	    CASE(an_object_whose_writer_died_before_unlink_survives_the_sweep),
	    CASE(a_swept_temporary_fails_its_put_and_is_no_miss),
	    CASE(only_directories_have_an_url_here),
	};
#undef CASE
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
