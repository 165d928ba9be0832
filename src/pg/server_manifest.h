/*
 * A streaming reader of the backup_manifest that a server sends with a base backup, fed with chunks of any size.
 *
 * Follows PostgreSQL's "Backup Manifest Format" chapter and src/backend/backup/backup_manifest.c, versions 1 (up to 16) and 2
 * (17 and later). It relies on the server's line breaks, one file or WAL range a line, so that memory is one line however
 * many files there are; a manifest that is laid out otherwise is refused, never half read.
 */
#ifndef PGCAIRN_PG_SERVER_MANIFEST_H
#define PGCAIRN_PG_SERVER_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scope.h"
#include "pg/lsn.h"

#define SERVER_MANIFEST_LINE_MAX ((size_t)64 << 10)
#define SERVER_MANIFEST_CHECKSUM_MAX 64
#define SERVER_MANIFEST_NO_TIME INT64_MIN

enum server_checksum {
	SERVER_CHECKSUM_NONE,
	SERVER_CHECKSUM_CRC32C,
	SERVER_CHECKSUM_SHA224,
	SERVER_CHECKSUM_SHA256,
	SERVER_CHECKSUM_SHA384,
	SERVER_CHECKSUM_SHA512,
};

struct server_manifest_file {
	const char *path; /* decoded; relative to the data directory, plain (pg/path.h); any bytes, not only UTF-8 */
	uint64_t size;
	enum server_checksum algorithm;
	uint8_t checksum[SERVER_MANIFEST_CHECKSUM_MAX]; /* as the manifest has it: a CRC-32C in little-endian order */
	size_t checksum_len;
	uint32_t crc32c;     /* the number itself, where the algorithm is CRC32C; else 0 */
	int64_t modified_us; /* since 1970; SERVER_MANIFEST_NO_TIME for a date that we cannot read. For people only. */
};

struct server_manifest_range {
	timeline_t timeline;
	lsn_t start, end; /* start <= end */
};

/* The argument is borrowed for the call. A result other than 0 ends the reading and is what server_manifest_feed returns. */
struct server_manifest_events {
	int (*file)(const struct server_manifest_file *file, void *arg, struct err *err);
	int (*range)(const struct server_manifest_range *range, void *arg, struct err *err);
};

struct server_manifest_end {
	unsigned version;              /* 1 or 2 */
	bool has_system_identifier;    /* from version 2 on */
	uint64_t system_identifier;    /* the whole unsigned range */
	uint64_t files, ranges, bytes; /* how many there were; ranges is at least 1 */
	uint8_t checksum[32];          /* SHA-256 of what stands before its own line */
};

struct server_manifest;

int server_manifest_new(struct server_manifest **out, const struct server_manifest_events *events, void *arg, struct err *err);
void server_manifest_free(struct server_manifest *m); /* NULL is fine */

/* ERR_CORRUPT for what is no such manifest, or what a callback returned. After a failure only free is allowed. */
int server_manifest_feed(struct server_manifest *m, const void *bytes, size_t len, struct err *err);

/*
 * No more bytes follow: ERR_CORRUPT when the manifest is cut short or its checksum is another. Nothing that the callbacks were
 * given is proven before this returned 0. That no path comes twice is for the caller to see.
 */
int server_manifest_finish(struct server_manifest *m, struct server_manifest_end *out, struct err *err);

/* "CRC32C", "SHA256", ...; "NONE". */
const char *server_checksum_name(enum server_checksum algorithm);

static inline void
scope_server_manifest(struct server_manifest **m)
{
	server_manifest_free(*m);
}

#define SERVER_MANIFEST_AUTO SCOPE(scope_server_manifest)

#endif
