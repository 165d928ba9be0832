/*
 * The file that is archived, read from its first to its last byte: every pass feeds the WAL walker (segments), the content id
 * and, where there is one, the object that is being written. So what was checked and what was stored are the same bytes.
 */
#ifndef PGCAIRN_OPS_ARCHIVE_SOURCE_H
#define PGCAIRN_OPS_ARCHIVE_SOURCE_H

#include "codec/content_id.h"
#include "codec/object_writer.h"
#include "keys/secret.h"
#include "pg/lsn.h"
#include "pg/wal_summary.h"

struct archive_source {
	struct wal_name name;
	char file_name[WAL_NAME_MAX];
	const char *path; /* borrowed */
	int fd;
	uint64_t size;
	uint8_t kind;   /* enum object_kind */
	uint64_t sysid; /* of the cluster it belongs to */
	uint32_t segment_size;
	/* after a pass: */
	struct wal_summary summary; /* of segments, whole and partial */
	uint8_t content_id[CONTENT_ID];
};

/* Is it a segment, whole or partial? Then sysid stands in its first page; else the caller has to say. */
bool archive_source_is_segment(const struct archive_source *s);

/* Opens the file, parses the name, reads sysid and segment size from a segment's first page. ERR_CONFIG for a name that no
 * server uses. */
int archive_source_open(struct archive_source *s, const char *path, const char *name, struct err *err);
void archive_source_close(struct archive_source *s);

/* Is it the file that the server of this data directory has under its name? Then it is that server's, whatever stands in it. */
bool archive_source_is_in(const struct archive_source *s, const char *pgdata);

/* Size and name as the cluster's segment size demands; then the source has it. ERR_CORRUPT or ERR_CONFIG when not. */
int archive_source_fits(struct archive_source *s, uint32_t segment_size, struct err *err);

/* One pass. object may be NULL: then only checks and digests happen. */
int archive_source_pass(
    struct archive_source *s, const struct secret *comparison, struct object_writer *object, struct err *err);

/* The same without a look at what the bytes are: content_id alone is known then. */
int archive_source_digest(
    struct archive_source *s, const struct secret *comparison, struct object_writer *object, struct err *err);

#endif
