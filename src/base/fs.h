/*
 * Local files: reading with caps, and the one way to make a file durable: write all, fsync, checked close, publish in one
 * step, fsync the directory. Paths are bytes with a NUL; errors name them. What the kernel answers becomes a kind as fs_kind
 * says, where a function does not say otherwise.
 */
#ifndef PGCAIRN_BASE_FS_H
#define PGCAIRN_BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * The kind of an errno: ENOENT not-found, EEXIST exists, EACCES and EPERM auth, ENOSPC and EDQUOT no-space, ENOMEM no-memory,
 * EMFILE, ENFILE and EAGAIN retry, ENOTDIR, ELOOP and ENXIO (a link or another thing stands where a file or directory should)
 * corrupt, all else io.
 */
int fs_kind(int sys);

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

/*
 * A file with these bytes, durable before return; a crash leaves the old state or the new one, and at worst a hidden
 * ".pgcairn-..." beside it, which the next one that writes a file there removes.
 */
int fs_write_file(const char *path, const void *data, size_t len, mode_t mode, enum fs_publish how, struct err *err);

/* Remove what killed writers of fs_write_file left in the directory of this file. Best effort; no such directory is fine. */
void fs_tidy(const char *path);

/*
 * A new file with a random name behind the prefix (which with 17 bytes more fits into size), open for writing and locked until
 * it is closed. -1 and errno, EEXIST when no name was free. The caller publishes it and closes it then.
 */
int fs_temporary_create(int dirfd, const char *prefix, mode_t mode, char *name, size_t size);

/*
 * Remove those that no living process holds and that were last written more than age_ms ago (0: whenever); how many into
 * *removed, which may be NULL. One whose holder cannot be asked for (another user's file, no flock on this file system) stays.
 */
int fs_temporary_sweep(int dirfd, const char *path, const char *prefix, int64_t age_ms, unsigned *removed, struct err *err);

enum fs_move {
	FS_MOVE_ANY,    /* link and unlink; where there are no links, renameat2(RENAME_NOREPLACE) */
	FS_MOVE_LINK,   /* the first way or none */
	FS_MOVE_RENAME, /* the second way or none */
};

/*
 * Give a file its final name without ever replacing one: ERR_EXISTS when the name is taken, and then, as after every error,
 * from is still there. ERR_CONFIG with a hint when the file system has no way to do it. The caller has fsynced the file and
 * fsyncs the directory.
 */
int fs_move_new(int fromdir, const char *from, int todir, const char *to, enum fs_move how, struct err *err);

/*
 * Create the directory and the missing ones above it; every new name is fsynced into its parent. The second one takes a
 * relative path and follows no link below dirfd.
 */
int fs_make_dirs(const char *path, mode_t mode, struct err *err);
int fs_make_dirs_at(int dirfd, const char *path, mode_t mode, struct err *err);

/* EINVAL, which a file system answers that has nothing to sync in a directory, is success, as in PostgreSQL's fsync_fname. */
int fs_fsync_dir(const char *path, struct err *err);
int fs_fsync_dirfd(int fd, const char *name, struct err *err);

/*
 * Make durable what is there already, with the directories above it up to the end of its file system: whoever made it may have
 * been killed before he came to that. A directory that this user may not read is passed over, and so is all above it.
 */
int fs_settle(const char *path, struct err *err);

/* fsync the directory that holds path. */
int fs_fsync_parent_at(int dirfd, const char *path, struct err *err);

/* The absolute path without links, "." and "..": parts that do not exist yet are kept as they are. A new string in *out. */
int fs_real_path(const char *path, char **out, struct err *err);

/* True when inner is outer or lies below it; both as fs_real_path gives them. */
bool fs_is_inside(const char *inner, const char *outer);

/* ERR_REFUSED with a hint unless the directory does not exist or is empty. */
int fs_require_empty(const char *path, struct err *err);

/*
 * Remove what stands at path, a directory with all below it. Absent is success. Never follows links, and stops with
 * ERR_REFUSED at a directory of another file system: what is mounted there is not ours to delete.
 */
int fs_remove_tree(const char *path, struct err *err);

/* Calls back for each name in the directory except "." and "..", sorted by byte. ERR_NOT_FOUND when there is no directory. */
int fs_list_dir(const char *path, int (*each)(const char *name, void *arg, struct err *err), void *arg, struct err *err);

/* The names of an open directory except "." and "..", in no order; type is readdir's d_type, DT_UNKNOWN too. */
struct fs_name {
	const char *name;
	unsigned char type;
};
struct fs_names {
	struct fs_name *list;
	size_t n;
	struct buf text; /* what the names point into */
};
int fs_names_read(int dirfd, const char *path, struct fs_names *out, struct err *err);
void fs_names_free(struct fs_names *names);

/*
 * A secret file: fs_read_file, and ERR_CONFIG with a hint when others than its owner and the owner's group may read it.
 * Modes 0400, 0440, 0600 and 0640 pass. The bytes land in sodium memory of the caller: len is what was read, at most max;
 * after an error they are wiped. ERR_CORRUPT when the file is larger than max, ERR_CONFIG when it is not a regular file.
 */
int fs_read_secret(const char *path, uint8_t *out, size_t max, size_t *len, struct err *err);

#endif
