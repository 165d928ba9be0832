/*
 * Look-ups below the root, and what their errors mean. The rule that all of this serves: ERR_NOT_FOUND ends a recovery, so
 * it is said only of a name that a healthy root was asked for.
 */
#include "store/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "base/fs.h"

/* One segment at a time. Mounts are told by the device number, so one of the same file system (bind) is not noticed here. */
static int
open_by_segments(const struct file_store *s, int at, const char *path, int flags)
{
	int cur = at, fd, e;
	char name[NAME_MAX + 1];
	struct stat st;

	for (;;) {
		size_t n = strcspn(path, "/");
		bool last = path[n] == '\0';

		if (n > NAME_MAX) {
			fd = -1;
			e = ENAMETOOLONG;
		} else {
			memcpy(name, path, n);
			name[n] = '\0';
			fd = openat(cur, name, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
			e = errno;
		}
		if (cur != at)
			(void)close(cur);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_dev != s->dev) {
			(void)close(fd);
			fd = -1;
			e = EXDEV;
		}
		if (fd < 0) {
			errno = e;
			return -1;
		}
		if (last)
			return fd;
		cur = fd;
		path += n + 1;
	}
}

int
file_openat(const struct file_store *s, int at, const char *path, int flags)
{
	struct open_how how = {
	    .flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY),
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd;

	if (s->options.no_openat2)
		return open_by_segments(s, at, path, flags);
	if ((flags & O_PATH) != 0)
		how.flags &= ~(uint64_t)O_NOCTTY; /* openat2 refuses flags that mean nothing with O_PATH */
	do
		fd = syscall(SYS_openat2, at, path, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	return (int)fd;
}

int
file_check_root(const struct file_store *s, struct err *err)
{
	struct stat held, there;
	int rc;

	if (fstat(s->root, &held) < 0)
		rc = err_set(err, ERR_IO, errno, "the root of %s does not answer", s->url);
	else if (held.st_nlink == 0)
		rc = err_set(err, ERR_IO, 0, "the root of %s was removed", s->url);
	else if (held.st_dev != s->dev || held.st_ino != s->ino)
		rc = err_set(err, ERR_IO, 0, "the root of %s is not the directory that was opened", s->url);
	else if (stat(s->path, &there) < 0)
		rc = err_set(err, ERR_IO, errno, "the root of %s is no longer at its path", s->url);
	else if (there.st_dev != s->dev || there.st_ino != s->ino)
		rc = err_set(err, ERR_IO, 0, "the root of %s was replaced by another directory", s->url);
	else
		return 0;
	(void)err_hint(err, "was the file system unmounted, or the directory moved? nothing there counts as missing");
	return rc;
}

int
file_error(const struct file_store *s, int sys, const char *what, const char *key, struct err *err)
{
	int kind = fs_kind(sys);
	int rc = err_set(err, kind == ERR_NOT_FOUND ? ERR_IO : kind, sys, "%s '%s' in %s", what, key, s->url);

	if (kind == ERR_AUTH)
		(void)err_hint(err, "the user of this process needs access to every directory and file below '%s'", s->path);
	else if (kind == ERR_CORRUPT)
		(void)err_hint(
		    err, "something that pgcairn did not make stands there: no links, no special files in a repository");
	else if (sys == EXDEV)
		(void)err_hint(
		    err, "a file system is mounted inside the repository: it must be one file system from its root on");
	return rc;
}

int
file_miss(const struct file_store *s, int sys, const char *what, const char *key, struct err *err)
{
	int rc;

	if (sys != ENOENT)
		return file_error(s, sys, what, key, err);
	rc = file_check_root(s, err);
	return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, 0, "'%s' is not in %s", key, s->url);
}

const char *
file_split(const char *key, char *dir)
{
	const char *slash = strrchr(key, '/');

	if (slash == NULL) {
		memcpy(dir, ".", 2);
		return key;
	}
	memcpy(dir, key, (size_t)(slash - key));
	dir[slash - key] = '\0';
	return slash + 1;
}

int
file_settle_dirs(struct file_store *s, const char *dir, struct err *err)
{
	char cur[STORE_KEY_MAX + 1], up[STORE_KEY_MAX + 1];

	memcpy(cur, dir, strlen(dir) + 1);
	for (;;) {
		FD_AUTO int fd = file_openat(s, s->root, cur, O_RDONLY | O_DIRECTORY);
		int rc;

		if (fd < 0)
			return file_error(s, errno, "open the directory", cur, err);
		rc = fs_fsync_dirfd(fd, cur, err);
		if (rc < 0 || strcmp(cur, ".") == 0)
			return rc;
		(void)file_split(cur, up);
		memcpy(cur, up, sizeof(cur));
	}
}
