#include "ops/fetch_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/scope.h"

#define LOCK_PAUSE_MS 50

int
fetch_temporary_name(char *out, size_t size, const char *path)
{
	int n = snprintf(out, size, "%s.pgcairn", path);

	return n < 0 || (size_t)n >= size ? ERR_CONFIG : 0;
}

int
fetch_target_init(struct fetch_target *t, const char *path, struct err *err)
{
	t->path = path;
	t->fd = -1;
	if (fetch_temporary_name(t->temporary, sizeof(t->temporary), path) < 0)
		return err_set(err, ERR_CONFIG, 0, "the path '%.64s...' is too long", path);
	return 0;
}

static bool
is_at(const struct stat *ours, const char *path)
{
	struct stat there;

	return lstat(path, &there) == 0 && there.st_dev == ours->st_dev && there.st_ino == ours->st_ino;
}

int
fetch_target_open(struct fetch_target *t, struct err *err)
{
	for (;;) {
		FD_AUTO int fd = open(t->temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat ours;

		if (fd < 0)
			return err_set(err, ERR_IO, errno, "create '%s'", t->temporary);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
			clock_sleep_ms(LOCK_PAUSE_MS);
			continue;
		}
		if (fstat(fd, &ours) < 0)
			return err_set(err, ERR_IO, errno, "stat '%s'", t->temporary);
		if (!is_at(&ours, t->temporary)) /* renamed or removed by whoever held it before us */
			continue;
		if (ftruncate(fd, 0) < 0)
			return err_set(err, ERR_IO, errno, "truncate '%s'", t->temporary);
		t->fd = fd;
		fd = -1;
		return 0;
	}
}

int
fetch_target_publish(struct fetch_target *t, struct err *err)
{
	int fd = t->fd, rc = 0;

	if (rename(t->temporary, t->path) < 0) {
		rc = err_set(err, ERR_IO, errno, "rename '%s' to '%s'", t->temporary, t->path);
		fetch_target_abandon(t);
		return rc;
	}
	t->fd = -1;
	if (close(fd) < 0) {
		rc = err_set(err, ERR_IO, errno, "close '%s'", t->path);
		(void)unlink(t->path);
	}
	return rc;
}

int
fetch_target_move(struct fetch_target *t, int dirfd, const char *name, struct err *err)
{
	if (renameat(dirfd, name, AT_FDCWD, t->path) < 0)
		return err_set(err, errno == EXDEV ? ERR_CONFIG : ERR_IO, errno, "rename '%s' to '%s'", name, t->path);
	fetch_target_abandon(t);
	return 0;
}

void
fetch_target_abandon(struct fetch_target *t)
{
	if (t->fd < 0)
		return;
	(void)unlink(t->temporary);
	(void)close(t->fd);
	t->fd = -1;
}

void
fetch_target_tidy(const struct fetch_target *t)
{
	FD_AUTO int fd = open(t->temporary, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat ours;

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && is_at(&ours, t->temporary))
		(void)unlink(t->temporary);
}
