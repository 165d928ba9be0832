/* A directory as a store: opening it, and everything that reads or removes. See file_put.c for writing. */
#include "store/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "base/fs.h"
#include "base/str.h"

#define ROOT_MODE 0750

/* Open an object to be read. O_NONBLOCK, because the open of a fifo would wait for a writer. */
static int
open_object(struct file_store *s, const char *key, const char *what, int *fd, struct stat *st, struct err *err)
{
	int rc = store_key_check(key, false, err);

	if (rc < 0)
		return rc;
	*fd = file_openat(s, s->root, key, O_RDONLY | O_NONBLOCK);
	if (*fd < 0)
		return file_miss(s, errno, what, key, err);
	if (fstat(*fd, st) < 0)
		return file_error(s, errno, what, key, err);
	if (!S_ISREG(st->st_mode))
		return file_error(s, ENXIO, what, key, err);
	return 0;
}

static int
file_get(struct store *store, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	FD_AUTO int fd = -1;
	struct stat st;
	int rc = open_object(s, key, "get", &fd, &st, err);

	if (rc < 0)
		return rc;
	return fs_pread_upto(fd, data, len, offset, got, key, err);
}

static int
file_get_tail(struct store *store, const char *key, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	FD_AUTO int fd = -1;
	struct stat st;
	size_t want, have;
	int rc = open_object(s, key, "get the tail of", &fd, &st, err);

	if (rc < 0)
		return rc;
	want = (uint64_t)st.st_size < len ? (size_t)st.st_size : len;
	rc = fs_pread_upto(fd, data, want, (uint64_t)st.st_size - want, &have, key, err);
	if (rc < 0)
		return rc;
	if (have != want)
		return err_set(err, ERR_CORRUPT, 0, "'%s' in %s became shorter while it was read", key, s->url);
	*got = have;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int
file_settle(struct store *store, const char *key, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	char dir[STORE_KEY_MAX + 1];
	FD_AUTO int fd = -1;
	struct stat st;
	int rc = open_object(s, key, "settle", &fd, &st, err);

	if (rc < 0)
		return rc;
	if (fsync(fd) < 0)
		return file_error(s, errno, "fsync", key, err);
	(void)file_split(key, dir);
	return file_settle_dirs(s, dir, err);
}

static int
file_stat(struct store *store, const char *key, struct store_stat *out, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	FD_AUTO int fd = -1;
	struct stat st;
	int rc = store_key_check(key, false, err);

	if (rc < 0)
		return rc;
	fd = file_openat(s, s->root, key, O_PATH);
	if (fd < 0)
		return file_miss(s, errno, "stat", key, err);
	if (fstat(fd, &st) < 0)
		return file_error(s, errno, "stat", key, err);
	if (!S_ISREG(st.st_mode))
		return file_error(s, ENXIO, "stat", key, err);
	file_stat_of(&st, out);
	return 0;
}

/* Directories stay when they become empty: a put may be on its way into them. */
static int
file_remove(struct store *store, const char *key, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	char dir[STORE_KEY_MAX + 1];
	const char *name;
	FD_AUTO int fd = -1;
	struct stat st;
	int rc = store_key_check(key, false, err);

	if (rc < 0)
		return rc;
	name = file_split(key, dir);
	fd = file_openat(s, s->root, dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return file_miss(s, errno, "remove", key, err);
	if (!S_ISREG(st.st_mode))
		return file_error(s, ENXIO, "remove", key, err);
	if (unlinkat(fd, name, 0) < 0)
		return file_miss(s, errno, "remove", key, err);
	return fs_fsync_dirfd(fd, dir, err);
}

/* Could this process take a name out of the directory? */
static bool
can_unlink(int fd)
{
	int flags = 0;

	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return false;
	/* a file system without such flags has none that forbid */
	return ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || (flags & (FS_APPEND_FL | FS_IMMUTABLE_FL)) == 0;
}

/* The root, and the directories in it: an append-only root alone protects no object below. */
static int
file_caps(struct store *store, struct store_caps *out, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	SCOPE(fs_names_free) struct fs_names names = {0};
	struct store_caps caps = {.create_only = true, .writer_can_delete = can_unlink(s->root)};
	int rc = file_check_root(s, err);

	if (rc == 0 && !caps.writer_can_delete)
		rc = fs_names_read(s->root, s->path, &names, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < names.n && !caps.writer_can_delete; i++) {
		FD_AUTO int fd = -1;

		if (store_key_check(names.list[i].name, false, NULL) < 0)
			continue;
		fd = file_openat(s, s->root, names.list[i].name, O_RDONLY | O_DIRECTORY);
		caps.writer_can_delete = fd >= 0 && can_unlink(fd);
	}
	*out = caps;
	return 0;
}

static int
file_space(struct store *store, uint64_t *free_bytes, uint64_t *total_bytes, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	struct statvfs v;
	int rc = file_check_root(s, err);

	if (rc < 0)
		return rc;
	if (fstatvfs(s->root, &v) < 0)
		return err_set(err, ERR_IO, errno, "ask %s for its space", s->url);
	*free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	*total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
	return 0;
}

static void
file_close(struct store *store)
{
	struct file_store *s = (struct file_store *)store;

	if (s->root >= 0)
		(void)close(s->root);
	pthread_mutex_destroy(&s->lock);
	free(s->url);
	free(s->path);
	free(s);
}

static const struct store_ops file_ops = {
    .get = file_get,
    .get_tail = file_get_tail,
    .put = file_put,
    .settle = file_settle,
    .list = file_list,
    .list_names = file_list_names,
    .stat = file_stat,
    .remove = file_remove,
    .caps = file_caps,
    .space = file_space,
    .close = file_close,
};

bool
file_is_ours(const struct store *store)
{
	return store->ops == &file_ops;
}

static int
open_root(struct file_store *s, bool create, struct err *err)
{
	struct stat st;
	int probe, rc;

	if (create) {
		rc = fs_make_dirs(s->path, ROOT_MODE, err);
		if (rc == ERR_NOT_FOUND && err != NULL)
			err->kind = ERR_IO;
		if (rc < 0)
			return rc == ERR_NOT_FOUND ? ERR_IO : rc;
	}
	s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0) {
		rc = fs_kind(errno) == ERR_AUTH ? ERR_AUTH : ERR_IO;
		rc = err_set(err, rc, errno, "open the repository's directory '%s'", s->path);
		if (rc == ERR_AUTH)
			(void)err_hint(err, "the user of this process must be allowed to read and enter it");
		else
			(void)err_hint(err, "is its file system mounted? a new repository is made by `pgcairn init`");
		return rc;
	}
	if (fstat(s->root, &st) < 0)
		return err_set(err, ERR_IO, errno, "stat '%s'", s->path);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->proc = access("/proc/self/fd", X_OK) == 0;
	probe = file_openat(s, s->root, ".", O_PATH | O_DIRECTORY);
	if (probe < 0 && (errno == ENOSYS || errno == EPERM)) /* an old kernel, or a sandbox that does not know the call */
		s->options.no_openat2 = true;
	else if (probe < 0)
		return err_set(err, ERR_IO, errno, "look up '.' in '%s'", s->path);
	if (probe >= 0)
		(void)close(probe);
	return 0;
}

int
file_open_with(struct store **out, const char *path, bool create, const struct file_options *options, struct err *err)
{
	struct file_store *s;
	int rc;

	if (path[0] != '/')
		return err_set(err, ERR_CONFIG, 0, "the path of a repository must be absolute: '%s'", path);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory to open '%s'", path);
	s->base.ops = &file_ops;
	s->root = -1;
	pthread_mutex_init(&s->lock, NULL);
	if (options != NULL)
		s->options = *options;
	s->path = strdup(path);
	s->url = str_printf("file://%s", path);
	s->base.url = s->url;
	if (s->path == NULL || s->url == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory to open '%s'", path);
	else
		rc = open_root(s, create, err);
	if (rc < 0) {
		file_close(&s->base);
		return rc;
	}
	*out = &s->base;
	return 0;
}

int
store_file_open(struct store **out, const char *path, bool create, struct err *err)
{
	return file_open_with(out, path, create, NULL, err);
}
