/*
 * A streaming reader of the tar archives in PostgreSQL's base backups, fed with chunks of any size.
 *
 * Follows PostgreSQL's src/port/tar.c and src/backend/backup/basebackup.c: ustar headers; names and link targets of at most 99
 * bytes, closed by a NUL; no prefix field and no extension records; numbers in octal, or in base 256 where octal is too narrow;
 * directories and links end in '/' and have no bytes. What a general tar may hold beyond that is refused with ERR_CORRUPT: a
 * server that sends it is not the one we know, and guessing would lose files.
 *
 * Memory is one header, whatever the archive holds.
 */
#ifndef PGCAIRN_PG_TAR_H
#define PGCAIRN_PG_TAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scope.h"

#define TAR_BLOCK 512
#define TAR_NAME_MAX 100 /* NUL included */

enum tar_type { TAR_FILE, TAR_DIRECTORY, TAR_SYMLINK };

struct tar_entry {
	enum tar_type type;
	char name[TAR_NAME_MAX]; /* a plain relative path (pg/path.h): no "./" in front, no '/' behind */
	char link[TAR_NAME_MAX]; /* where a symlink points, any path; else "" */
	uint64_t size;           /* bytes of a file, at most INT64_MAX; 0 for the others */
	uint32_t mode;           /* permission bits, 07777 at most */
	int64_t mtime_s;         /* since 1970; may be negative */
};

/*
 * Each entry is one begin, for a file with bytes any number of data calls with len > 0, and one end. The entry is borrowed
 * for the call. A result other than 0 stops the reader and is what tar_reader_feed returns.
 */
struct tar_events {
	int (*begin)(const struct tar_entry *entry, void *arg, struct err *err);
	int (*data)(const void *bytes, size_t len, void *arg, struct err *err);
	int (*end)(void *arg, struct err *err);
};

struct tar_reader;

/* events is copied, arg is handed to every call. */
int tar_reader_new(struct tar_reader **out, const struct tar_events *events, void *arg, struct err *err);
void tar_reader_free(struct tar_reader *r); /* NULL is fine */

/* ERR_CORRUPT for what is no such archive, or what a callback returned. After a failure only free is allowed. */
int tar_reader_feed(struct tar_reader *r, const void *bytes, size_t len, struct err *err);

/*
 * No more bytes follow: ERR_CORRUPT when the archive ends within an entry, or with half of its trailer. The trailer of two
 * zero blocks (or more) may be missing altogether: PostgreSQL 14 does not send it.
 */
int tar_reader_finish(struct tar_reader *r, struct err *err);

static inline void
scope_tar_reader(struct tar_reader **r)
{
	tar_reader_free(*r);
}

#define TAR_READER_AUTO SCOPE(scope_tar_reader)

#endif
