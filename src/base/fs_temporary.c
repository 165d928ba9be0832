/*
 * Files on their way to a name. The writer holds a lock on its own, which goes with it however it ends: so what a killed one
 * left can be told from what is being written, and the next writer in the same directory takes it away.
 *
 * Rejected: age alone (a base backup may write one object for hours) and the pid in the name (another host has pids too).
 */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>

#include "base/clock.h"

#define NAMES_TRIED 10
#define RANDOM_DIGITS 16

int
fs_temporary_create(int dirfd, const char *prefix, mode_t mode, char *name, size_t size)
{
	for (int try = 0; try < NAMES_TRIED; try++) {
		uint64_t random;
		struct stat st;
		int fd, locked;

		clock_random(&random, sizeof(random));
		(void)snprintf(name, size, "%s%016" PRIx64, prefix, random);
		fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return -1;
		locked = flock(fd, LOCK_EX | LOCK_NB);
		/* where flock is not known a sweep cannot lock either, and leaves everything alone */
		if ((locked == 0 || errno != EWOULDBLOCK) && fstat(fd, &st) == 0 && st.st_nlink > 0)
			return fd;
		/* a sweep came between the two */
		(void)unlinkat(dirfd, name, 0);
		(void)close(fd);
	}
	errno = EEXIST;
	return -1;
}

/* A name as fs_temporary_create makes it: people too put hidden files beside their keys. */
static bool
is_ours(const char *name, const char *prefix)
{
	const char *digits = name + strlen(prefix);

	return strncmp(name, prefix, strlen(prefix)) == 0 && strlen(digits) == RANDOM_DIGITS &&
	       strspn(digits, "0123456789abcdef") == RANDOM_DIGITS;
}

/* 1 when it was removed, 0 when it stays, -1 and errno. */
static int
sweep_one(int dirfd, const char *name, int64_t before_us)
{
	/* NFS locks only what is open for writing; a fifo must not hang us */
	FD_AUTO int fd = openat(dirfd, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	struct stat st, now;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if ((int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000 > before_us || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	/* another sweep may have been faster, and the name another file's by now */
	if (fstatat(dirfd, name, &now, AT_SYMLINK_NOFOLLOW) < 0 || now.st_ino != st.st_ino || now.st_dev != st.st_dev)
		return 0;
	if (unlinkat(dirfd, name, 0) < 0)
		return errno == ENOENT ? 0 : -1;
	return 1;
}

int
fs_temporary_sweep(int dirfd, const char *path, const char *prefix, int64_t age_ms, unsigned *removed, struct err *err)
{
	SCOPE(fs_names_free) struct fs_names names = {0};
	int64_t before_us = age_ms > 0 ? clock_now_us() - age_ms * 1000 : INT64_MAX;
	unsigned count = 0;
	int rc = fs_names_read(dirfd, path, &names, err);

	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		int gone;

		if (!is_ours(names.list[i].name, prefix))
			continue;
		gone = sweep_one(dirfd, names.list[i].name, before_us);
		if (gone < 0)
			rc = err_set(err, fs_kind(errno), errno, "remove the temporary '%s/%s'", path, names.list[i].name);
		count += gone > 0;
	}
	if (rc == 0 && removed != NULL)
		*removed = count;
	return rc;
}
