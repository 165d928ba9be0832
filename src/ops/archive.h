/*
 * archive: one file of WAL into the repositories, durable before it returns 0. docs/architecture.md, "A segment's way".
 *
 * The same content again is success, whoever wrote it first and under whatever epoch. Other content under the same name is
 * ERR_CONFLICT: the first stays in service, ours is kept under conflict/. A file that is not what its name says is ERR_CORRUPT
 * or ERR_REFUSED, and nothing is stored.
 */
#ifndef PGCAIRN_OPS_ARCHIVE_H
#define PGCAIRN_OPS_ARCHIVE_H

#include "ops/op.h"
#include "pg/lsn.h"

struct archive_result {
	size_t stored;  /* repositories that got the object now */
	size_t existed; /* repositories that had it already */
	uint64_t sysid; /* of the system that the file is of */
};

/* path: where the bytes are (%p); name: what they are (%f). result may be NULL. */
int archive_file(const struct op *op, const char *path, const char *name, struct archive_result *result, struct err *err);

/* For who archives one file after the other and keeps everything open. */
struct archive_means {
	struct writer *writer;
	/* a view on this one file: targets that are failed already are left out; each tells then whether it has the file */
	struct fanout *fanout;
	struct object_slots *slots; /* may be NULL */
	/* another content is an error, also one that was given up or released; NULL: whatever it is */
	const uint8_t *content_id;
};
int archive_to(const struct op *op, const struct archive_means *m, const char *path, const char *name,
    struct archive_result *result, struct err *err);

#endif
