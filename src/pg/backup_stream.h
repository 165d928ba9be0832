/*
 * The messages of a base backup: archives, progress, the manifest, in either of the two forms in which servers send them.
 *
 * Follows "BASE_BACKUP" in the chapter "Streaming Replication Protocol" and src/backend/backup/basebackup_copy.c, for 14
 * src/backend/replication/basebackup.c. This part knows nothing of connections: it is fed with the payloads, so that it can be
 * tested with hostile ones. Memory does not grow with the backup.
 */
#ifndef PGCAIRN_PG_BACKUP_STREAM_H
#define PGCAIRN_PG_BACKUP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scope.h"
#include "pg/lsn.h"
#include "pg/tar.h"

#define BACKUP_MESSAGE_MAX ((size_t)64 << 20)

enum backup_form {
	BACKUP_ONE_COPY,  /* 15 and later: one COPY; the first byte of a payload tells what it is */
	BACKUP_COPY_EACH, /* 14: a COPY for each tablespace and one for the manifest, of plain bytes; no progress */
};

struct backup_tablespace {
	uint32_t oid;         /* 0: the data directory */
	const char *location; /* absolute; "" for the data directory; for an in-place tablespace relative, pg_tblspc/OID */
	int64_t size_kb;      /* the server's estimate, -1 when it was not asked for */
};

struct backup_start {
	lsn_t lsn;
	timeline_t timeline;
	const struct backup_tablespace *tablespaces; /* the data directory is the last */
	size_t n_tablespaces;
	enum backup_form form;
};

/*
 * What arrives, in this order: started; for each tablespace archive_begin, its entries, archive_end; then the manifest. Every
 * pointer is borrowed for the call. A result other than 0 ends the backup and is what the caller gets. NULL: not wanted.
 * Nothing is good before basebackup_run returned 0: a server may fail behind the last byte.
 */
struct backup_events {
	int (*started)(const struct backup_start *start, void *arg, struct err *err);
	int (*archive_begin)(size_t tablespace, void *arg, struct err *err); /* index into started's list */
	int (*directory)(const struct tar_entry *entry, void *arg, struct err *err);
	int (*symlink)(const struct tar_entry *entry, void *arg, struct err *err);
	int (*file_begin)(const struct tar_entry *entry, void *arg, struct err *err);
	int (*file_data)(const void *bytes, size_t len, void *arg, struct err *err); /* len > 0 */
	int (*file_end)(void *arg, struct err *err);
	int (*archive_end)(void *arg, struct err *err);
	int (*manifest_data)(const void *bytes, size_t len, void *arg, struct err *err);
	int (*progress)(uint64_t bytes_done, void *arg, struct err *err); /* of all archives: the server's count, for 14 ours */
};

struct backup_stream;

/* start, events and arg must outlive the stream. ERR_CORRUPT when the list of tablespaces is not one that a server gives. */
int backup_stream_new(struct backup_stream **out, const struct backup_start *start, const struct backup_events *events,
    void *arg, struct err *err);
void backup_stream_free(struct backup_stream *s); /* NULL is fine */

/* How many COPYs make up the backup. */
size_t backup_stream_copies(const struct backup_start *start);

/* The next COPY begins. ERR_CORRUPT when none is due, or what an event returned; then only free is allowed. */
int backup_stream_copy(struct backup_stream *s, struct err *err);

/* One message's payload. ERR_CORRUPT when it breaks the protocol, or what an event returned; then only free is allowed. */
int backup_stream_message(struct backup_stream *s, const void *payload, size_t len, struct err *err);

/* No message follows: ERR_CORRUPT unless every tablespace and the manifest were there. */
int backup_stream_finish(struct backup_stream *s, struct err *err);

static inline void
scope_backup_stream(struct backup_stream **s)
{
	backup_stream_free(*s);
}

#define BACKUP_STREAM_AUTO SCOPE(scope_backup_stream)

#endif
