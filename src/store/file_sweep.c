/*
 * Temporaries that a killed writer left in tmp/. A living writer holds a lock on its own, so age alone never decides: a
 * base backup may write one object for hours.
 */
#include "store/file_internal.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"

int
store_file_sweep(struct store *store, int64_t age_ms, unsigned *removed, struct err *err)
{
	struct file_store *s = (struct file_store *)store;
	FD_AUTO int dir = -1;
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
	rc = fs_temporary_sweep(dir, FILE_TMP_DIR, "", age_ms, removed, err);
	/* what is gone from here proves nothing about any key */
	if (rc == ERR_NOT_FOUND && err != NULL)
		err->kind = ERR_IO;
	return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}
