/* Key files as a test wants them: any bytes, any mode. The text of any key must never come back in a message. */
#ifndef PGCAIRN_TESTS_KEYFILE_H
#define PGCAIRN_TESTS_KEYFILE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/fs.h"
#include "check.h"
#include "keys/secret.h"

struct keyfile_dir {
	char path[64], file[96];
};

static inline void
keyfile_open(struct keyfile_dir *d)
{
	memcpy(d->path, "/tmp/pgcairn-keys-XXXXXX", 25);
	assert_non_null(mkdtemp(d->path));
	(void)snprintf(d->file, sizeof(d->file), "%s/keys", d->path);
}

static inline void
keyfile_close(struct keyfile_dir *d)
{
	(void)fs_remove_tree(d->path, NULL);
}

static inline void
keyfile_put(const struct keyfile_dir *d, const void *text, size_t len, mode_t mode)
{
	struct err err = {0};

	(void)unlink(d->file);
	must(fs_write_file(d->file, text, len, 0600, FS_CREATE_ONLY, &err), &err);
	assert_int_equal(chmod(d->file, mode), 0);
}

/* No eight characters of the file's text in a row stand in the error, the types of keys apart. */
static inline void
keyfile_is_not_told(const char *text, size_t len, const struct err *err, const char *row)
{
	static const char types[] = KEY_TYPE_RECIPIENT " " KEY_TYPE_IDENTITY " " KEY_TYPE_SIGNING " " KEY_TYPE_COMPARISON;
	char piece[9] = {0};

	for (size_t i = 0; i + 8 <= len; i++) {
		memcpy(piece, text + i, 8);
		if (strlen(piece) < 8 || strpbrk(piece, ": ") != NULL || strstr(types, piece) != NULL)
			continue;
		if (strstr(err->msg, piece) != NULL || strstr(err->hint, piece) != NULL)
			fail_msg("%s: the message gives away '%s'", row, piece);
	}
}

#endif
