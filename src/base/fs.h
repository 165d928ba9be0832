/*
 * Local files: reading with caps, and the one way to make a file durable: write all, fsync, checked close, publish in one
 * step, fsync the directory. Paths are bytes with a NUL; errors name them.
 */
#ifndef PGCAIRN_BASE_FS_H
#define PGCAIRN_BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* The whole file into *out (appended). ERR_NOT_FOUND when there is none, ERR_CORRUPT when it is larger than max. */
int fs_read_file(const char *path, size_t max, struct buf *out, struct err *err);

/* All of it, or an error; retries short writes and EINTR. The name stands in messages only. */
int fs_write_all(int fd, const void *data, size_t len, const char *name, struct err *err);
int fs_pwrite_all(int fd, const void *data, size_t len, uint64_t offset, const char *name, struct err *err);

/* Up to len bytes, fewer only at the end of the file. */
int fs_read_upto(int fd, void *data, size_t len, size_t *got, const char *name, struct err *err);
int fs_pread_upto(int fd, void *data, size_t len, uint64_t offset, size_t *got, const char *name, struct err *err);

enum fs_publish {
	FS_CREATE_ONLY, /* ERR_EXISTS when the name is taken */
	FS_REPLACE,     /* for local state only, never for repository objects */
};

/* A file with these bytes, durable before return; a crash leaves the old state or the new one. */
int fs_write_file(const char *path, const void *data, size_t len, mode_t mode, enum fs_publish how, struct err *err);

/* Create the directory and the missing ones above it; every new name is fsynced into its parent. */
int fs_make_dirs(const char *path, mode_t mode, struct err *err);
int fs_make_dirs_at(int dirfd, const char *path, mode_t mode, struct err *err);

int fs_fsync_dir(const char *path, struct err *err);

/* fsync the directory that holds path. */
int fs_fsync_parent_at(int dirfd, const char *path, struct err *err);

/* The path without links, "." and "..": parts that do not exist yet are kept as they are. A new string in *out. */
int fs_real_path(const char *path, char **out, struct err *err);

/* True when inner is outer or lies below it; both as fs_real_path gives them. */
bool fs_is_inside(const char *inner, const char *outer);

/* ERR_REFUSED with a hint unless the directory does not exist or is empty. */
int fs_require_empty(const char *path, struct err *err);

/* Remove what stands at path, a directory with all below it. Absent is success. Never follows links. */
int fs_remove_tree(const char *path, struct err *err);

/* Calls back for each name in the directory except "." and "..", sorted by byte. ERR_NOT_FOUND when there is no directory. */
int fs_list_dir(const char *path, int (*each)(const char *name, void *arg, struct err *err), void *arg, struct err *err);

/*
 * A secret file: fs_read_file, and ERR_CONFIG with a hint when others than its owner and the owner's group may read it.
 * Modes 0400, 0440, 0600 and 0640 pass. The bytes land in sodium memory of the caller: len is what was read, at most max.
 */
int fs_read_secret(const char *path, uint8_t *out, size_t max, size_t *len, struct err *err);

#endif
