/*
 * Temporaries that a killed writer left in tmp/. A living writer holds a lock on its own, so age alone never decides: a
 * base backup may write one object for hours.
 */
#include "store/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/fs.h"

/* 1 when it was removed, 0 when it stays. */
static int
sweep_one(struct file_store *s, int dir, const char *name, int64_t before_us, struct err *err)
{
	FD_AUTO int fd = file_openat(s, dir, name, O_RDWR | O_NONBLOCK); /* NFS locks only what is open for writing */
	struct store_stat found;
	struct stat st, now;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	file_stat_of(&st, &found);
	if (found.modified_us > before_us || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	/* another sweep may have been faster, and the name another file's by now */
	if (fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) < 0 || now.st_ino != st.st_ino || now.st_dev != st.st_dev)
		return 0;
	if (unlinkat(dir, name, 0) < 0)
		return errno == ENOENT ? 0 : file_error(s, errno, "remove the temporary", name, err);
	return 1;
}

int
store_file_sweep(struct store *store, int64_t age_ms, unsigned *removed, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	SCOPE(fs_names_free) struct fs_names names = {0};
	int64_t before_us = clock_now_us() - age_ms * 1000;
	FD_AUTO int dir = -1;
	unsigned count = 0;
	int rc;

	if (!file_is_ours(store))
		return err_set(err, ERR_BUG, 0, "%s is not a directory", store->url);
	rc = file_check_root(s, err);
	if (rc < 0)
		return rc;
	dir = file_openat(s, s->root, FILE_TMP_DIR, O_RDONLY | O_DIRECTORY);
	if (dir < 0 && errno == ENOENT) {
		*removed = 0;
		return 0;
	}
	if (dir < 0)
		return file_error(s, errno, "open the directory", FILE_TMP_DIR, err);
	rc = fs_names_read(dir, FILE_TMP_DIR, &names, err);
	for (size_t i = 0; i < names.n && rc >= 0; i++) {
		rc = sweep_one(s, dir, names.list[i].name, before_us, err);
		count += rc > 0;
	}
	if (rc < 0)
		return rc;
	*removed = count;
	return 0;
}
