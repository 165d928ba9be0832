/*
 * Inside the file store: what its sources share, and the switches by which tests take the ways that this machine's kernel
 * and file system would not.
 */
#ifndef PGCAIRN_STORE_FILE_INTERNAL_H
#define PGCAIRN_STORE_FILE_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include "store/file.h"

enum file_mode {
	FILE_MODE_AUTO,    /* the first of the three that works */
	FILE_MODE_UNNAMED, /* O_TMPFILE and link */
	FILE_MODE_LINK,    /* tmp/, link, unlink */
	FILE_MODE_RENAME,  /* tmp/, renameat2(RENAME_NOREPLACE) */
};

struct file_options {
	enum file_mode mode;
	bool no_openat2; /* walk segment by segment, as on kernels before 5.6 */
};

#define FILE_SETTLED_MAX 16

struct file_store {
	struct store base;
	char *path;
	char *url;
	int root;
	dev_t dev;
	ino_t ino;
	struct file_options options; /* fixed once the store is open */
	bool proc;                   /* /proc is there, which linking an unnamed file needs */

	bool swept; /* once was enough; under lock as well */
	/* directories whose own names this handle has fsynced, all the way up */
	pthread_mutex_t lock;
	ino_t settled[FILE_SETTLED_MAX];
	unsigned settled_next;
};

#define FILE_TMP_DIR "tmp"

/* As store_file_open, with switches; NULL for none. */
int file_open_with(struct store **out, const char *path, bool create, const struct file_options *options, struct err *err);

/*
 * open(2) of a relative path below the directory at: no links, no mount points, close-on-exec, never a controlling terminal.
 * -1 and errno. path may be ".".
 */
int file_openat(const struct file_store *s, int at, const char *path, int flags);

/* ERR_IO unless the root is still the directory that was opened, and still at its path. */
int file_check_root(const struct file_store *s, struct err *err);

/* The error of a system call on key; what says which call. Never ERR_NOT_FOUND: use file_miss where absence is an answer. */
int file_error(const struct file_store *s, int sys, const char *what, const char *key, struct err *err);

/* As file_error, and ERR_NOT_FOUND for ENOENT when the root is fine. */
int file_miss(const struct file_store *s, int sys, const char *what, const char *key, struct err *err);

/* The directory part of key into dir (of STORE_KEY_MAX + 1 bytes), "." when there is none. The last segment is returned. */
const char *file_split(const char *key, char *dir);

static inline void
file_stat_of(const struct stat *st, struct store_stat *out)
{
	out->size = (uint64_t)st->st_size;
	out->modified_us = (int64_t)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;
}

/* fsync dir and every directory above it up to the root. */
int file_settle_dirs(struct file_store *s, const char *dir, struct err *err);

bool file_is_ours(const struct store *store);
int file_put(struct store *s, const char *key, struct sink **out, struct err *err);
int file_list(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err);
int file_list_names(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err);

#endif
