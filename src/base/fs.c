/*
 * Files: reading, writing and publishing. What is durable and when is decided here and in store/file_put.c, nowhere else.
 * A failed fsync is never repeated: the kernel may have dropped the pages and say success the second time. The temporary is
 * thrown away instead.
 */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>

#define TEMPORARY ".pgcairn-"
#define READ_CHUNK ((size_t)64 << 10)
#define IO_CHUNK ((size_t)1 << 30) /* Linux takes a little less than 2 GiB in one call */

int
fs_kind(int sys)
{
	switch (sys) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
		return ERR_AUTH;
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case ENOMEM:
		return ERR_NOMEM;
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		return ERR_RETRY;
	case ENOTDIR:
	case ELOOP:
	case ENXIO:
		return ERR_CORRUPT;
	default:
		return ERR_IO;
	}
}

/*
 * The kind of an error on an open descriptor. A file system in user space may answer anything, and no read or fsync proves
 * that a name is absent or taken.
 */
static int
io_kind(int sys)
{
	int kind = fs_kind(sys);

	return kind == ERR_NOT_FOUND || kind == ERR_EXISTS ? ERR_IO : kind;
}

int
fs_write_all(int fd, const void *data, size_t len, const char *name, struct err *err)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len < IO_CHUNK ? len : IO_CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, io_kind(errno), errno, "write '%s'", name);
		if (n == 0)
			return err_set(err, ERR_IO, 0, "write '%s': the kernel took nothing", name);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
fs_pwrite_all(int fd, const void *data, size_t len, uint64_t offset, const char *name, struct err *err)
{
	const uint8_t *p = data;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return err_set(err, ERR_IO, EFBIG, "write '%s' at %" PRIu64, name, offset);
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len < IO_CHUNK ? len : IO_CHUNK, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, io_kind(errno), errno, "write '%s' at %" PRIu64, name, offset);
		if (n == 0)
			return err_set(err, ERR_IO, 0, "write '%s': the kernel took nothing", name);
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int
fs_read_upto(int fd, void *data, size_t len, size_t *got, const char *name, struct err *err)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = read(fd, (uint8_t *)data + have, len - have < IO_CHUNK ? len - have : IO_CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, io_kind(errno), errno, "read '%s'", name);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	*got = have;
	return 0;
}

int
fs_pread_upto(int fd, void *data, size_t len, uint64_t offset, size_t *got, const char *name, struct err *err)
{
	size_t have = 0;

	/* nothing lies beyond what off_t counts */
	if (offset > INT64_MAX)
		len = 0;
	else if (len > INT64_MAX - offset)
		len = (size_t)(INT64_MAX - offset);
	while (have < len) {
		size_t want = len - have < IO_CHUNK ? len - have : IO_CHUNK;
		ssize_t n = pread(fd, (uint8_t *)data + have, want, (off_t)(offset + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, io_kind(errno), errno, "read '%s' at %" PRIu64, name, offset + have);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	*got = have;
	return 0;
}

int
fs_read_file(const char *path, size_t max, struct buf *out, struct err *err)
{
	size_t before = out->len, have = 0, cap = out->max;
	size_t limit = max, room = (cap != 0 ? cap : BUF_MAX_DEFAULT) - before;
	FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int rc = 0;

	if (fd < 0)
		return err_set(err, fs_kind(errno), errno, "open '%s'", path);
	if (max > room)
		limit = room;
	out->max = before + limit + 1; /* the one byte more tells a file that is larger */
	for (;;) {
		size_t want = limit - have < READ_CHUNK ? limit - have + 1 : READ_CHUNK, got = 0;

		rc = buf_reserve(out, want, err);
		if (rc == 0)
			rc = fs_read_upto(fd, out->data + out->len, want, &got, path, err);
		if (rc < 0)
			break;
		out->len += got;
		have += got;
		if (have > limit)
			rc = err_set(
			    err, limit == max ? ERR_CORRUPT : ERR_NOMEM, 0, "'%s' is larger than %zu bytes", path, limit);
		if (rc < 0 || got < want)
			break;
	}
	out->max = cap;
	if (rc < 0)
		out->len = before;
	if (out->data != NULL)
		out->data[out->len] = '\0';
	return rc;
}

/* The directory that holds path, opened below at, and the last name of path. */
static int
open_parent(int at, const char *path, int *dirfd, const char **name, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);

	*name = slash == NULL ? path : slash + 1;
	if (**name == '\0' || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
		return err_set(err, ERR_BUG, 0, "'%s' does not name a file", path);
	if (n >= sizeof(dir))
		return err_set(err, ERR_IO, ENAMETOOLONG, "open '%s'", path);
	if (slash == path)
		n = 1;
	memcpy(dir, path, n);
	dir[n] = '\0';
	*dirfd = openat(at, n == 0 ? "." : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dirfd < 0)
		return err_set(err, fs_kind(errno), errno, "open the directory of '%s'", path);
	return 0;
}

static bool
same_file(int dir_a, const char *a, int dir_b, const char *b)
{
	struct stat x, y;

	return fstatat(dir_a, a, &x, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(dir_b, b, &y, AT_SYMLINK_NOFOLLOW) == 0 &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int
fs_move_new(int fromdir, const char *from, int todir, const char *to, enum fs_move how, struct err *err)
{
	if (how != FS_MOVE_RENAME) {
		int e = linkat(fromdir, from, todir, to, 0) == 0 ? 0 : errno;

		/* NFS may repeat a link whose answer was lost, and then finds the name taken by this very file */
		if (e == EEXIST && same_file(fromdir, from, todir, to))
			e = 0;
		if (e == 0) {
			/* failing leaves a second, hidden name: litter, but the file is where it belongs */
			(void)unlinkat(fromdir, from, 0);
			return 0;
		}
		if (how == FS_MOVE_LINK || (e != EPERM && e != EOPNOTSUPP && e != ENOSYS && e != EMLINK))
			return err_set(err, fs_kind(e), e, "publish '%s' by link", to);
	}
	if (renameat2(fromdir, from, todir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
		int rc = err_set(err, ERR_CONFIG, errno, "publish '%s' without replacing", to);

		(void)err_hint(err, "this file system has neither hard links nor RENAME_NOREPLACE: use another one");
		return rc;
	}
	return err_set(err, fs_kind(errno), errno, "publish '%s' by rename", to);
}

struct fs_content {
	const char *path; /* for messages */
	const void *data;
	size_t len;
	mode_t mode;
};

/* A hidden temporary with all the bytes in it, fsynced; it stays open, and with it its lock. Removed again after an error. */
static int
write_temporary(int dirfd, char *tmp, size_t size, const struct fs_content *c, int *out, struct err *err)
{
	FD_AUTO int fd = fs_temporary_create(dirfd, TEMPORARY, c->mode, tmp, size);
	int rc;

	if (fd < 0)
		return err_set(err, fs_kind(errno), errno, "create a temporary for '%s'", c->path);
	rc = fs_write_all(fd, c->data, c->len, c->path, err);
	if (rc == 0 && fsync(fd) < 0)
		rc = err_set(err, io_kind(errno), errno, "fsync '%s'", c->path);
	if (rc < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return rc;
	}
	*out = fd;
	fd = -1;
	return 0;
}

int
fs_write_file(const char *path, const void *data, size_t len, mode_t mode, enum fs_publish how, struct err *err)
{
	struct fs_content c = {.path = path, .data = data, .len = len, .mode = mode};
	FD_AUTO int dirfd = -1, fd = -1; /* after an fsync a close has nothing left to report */
	char tmp[32];
	const char *name;
	int rc = open_parent(AT_FDCWD, path, &dirfd, &name, err);

	if (rc < 0)
		return rc;
	(void)fs_temporary_sweep(dirfd, path, TEMPORARY, 0, NULL, NULL);
	rc = write_temporary(dirfd, tmp, sizeof(tmp), &c, &fd, err);
	if (rc < 0)
		return rc;
	if (how == FS_CREATE_ONLY)
		rc = fs_move_new(dirfd, tmp, dirfd, name, FS_MOVE_ANY, err);
	else if (renameat(dirfd, tmp, dirfd, name) < 0)
		rc = err_set(err, fs_kind(errno), errno, "rename over '%s'", path);
	if (rc < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return rc;
	}
	return fs_fsync_dirfd(dirfd, path, err);
}

void
fs_tidy(const char *path)
{
	FD_AUTO int fd = -1;
	const char *name;

	if (open_parent(AT_FDCWD, path, &fd, &name, NULL) == 0)
		(void)fs_temporary_sweep(fd, path, TEMPORARY, 0, NULL, NULL);
}

int
fs_fsync_dirfd(int fd, const char *name, struct err *err)
{
	if (fsync(fd) < 0 && errno != EINVAL)
		return err_set(err, io_kind(errno), errno, "fsync the directory '%s'", name);
	return 0;
}

int
fs_fsync_dir(const char *path, struct err *err)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, fs_kind(errno), errno, "open the directory '%s'", path);
	return fs_fsync_dirfd(fd, path, err);
}

int
fs_fsync_parent_at(int dirfd, const char *path, struct err *err)
{
	const char *name;
	FD_AUTO int fd = -1;
	int rc = open_parent(dirfd, path, &fd, &name, err);

	return rc < 0 ? rc : fs_fsync_dirfd(fd, path, err);
}

int
fs_settle(const char *path, struct err *err)
{
	FREE_AUTO char *real = NULL;
	struct stat first = {0}, st;
	int rc = fs_real_path(path, &real, err);

	while (rc == 0) {
		FD_AUTO int fd = open(real, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		char *slash = strrchr(real, '/');

		if (fd < 0 && errno == EACCES)
			return 0;
		if (fd < 0 || fstat(fd, &st) < 0)
			return err_set(err, fs_kind(errno), errno, "settle '%s'", real);
		if (first.st_dev == 0)
			first = st;
		if (st.st_dev != first.st_dev)
			return 0;
		if (fsync(fd) < 0 && errno != EINVAL)
			return err_set(err, io_kind(errno), errno, "fsync '%s'", real);
		if (slash == NULL || slash[1] == '\0')
			return 0;
		slash[slash == real ? 1 : 0] = '\0';
	}
	return rc;
}

static int
read_secret(int fd, const char *path, uint8_t *out, size_t max, size_t *len, struct err *err)
{
	struct stat st;
	size_t got = 0;
	int rc;

	if (fstat(fd, &st) < 0)
		return err_set(err, io_kind(errno), errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CONFIG, 0, "'%s' is not a regular file", path);
	if ((st.st_mode & 0037) != 0) {
		rc = err_set(
		    err, ERR_CONFIG, 0, "'%s' has mode %04o: others may use this secret", path, (unsigned)(st.st_mode & 07777));
		(void)err_hint(err, "chmod 600 '%s', or 640 where a group must read it", path);
		return rc;
	}
	if ((uint64_t)st.st_size > max)
		return err_set(err, ERR_CORRUPT, 0, "'%s' is larger than %zu bytes", path, max);
	rc = fs_read_upto(fd, out, max, &got, path, err);
	if (rc < 0)
		return rc;
	/* the size again instead of one byte more, which would have to lie outside the caller's locked memory */
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != got)
		return err_set(err, ERR_RETRY, 0, "'%s' changed while it was read", path);
	*len = got;
	return 0;
}

int
fs_read_secret(const char *path, uint8_t *out, size_t max, size_t *len, struct err *err)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a fifo must not hang us */
	int rc;

	if (fd < 0)
		return err_set(err, fs_kind(errno), errno, "open '%s'", path);
	rc = read_secret(fd, path, out, max, len, err);
	if (rc < 0)
		explicit_bzero(out, max);
	return rc;
}
