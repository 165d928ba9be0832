/*
 * What the clear and the sealed part of a WAL object say: a wal_summary as JSON. The clear part has what replicate, keyless
 * verify and planning need (positions, times, checksums of the open ends); names of restore points and the bytes that users
 * may have written are in the sealed part. docs/repository-format.md ("WAL") lists the members and what they tell an operator.
 */
#ifndef PGCAIRN_REPO_WAL_OBJECT_H
#define PGCAIRN_REPO_WAL_OBJECT_H

#include "base/json.h"
#include "codec/content_id.h"
#include "pg/wal_summary.h"

/* The kind of object (enum object_kind) that a file of WAL is stored as. */
uint8_t wal_object_kind(const struct wal_name *name);

/* summary NULL for history files: then the clear part has content id and size alone. */
int wal_object_encode(const struct wal_summary *summary, const uint8_t content_id[CONTENT_ID], uint64_t size,
    const char *file_name, struct buf *clear, struct buf *sealed, struct err *err);

/* The members of a summary alone, into an object. ERR_NOMEM. */
int wal_object_put_summary(json_t *o, const struct wal_summary *summary, struct err *err);

/* The content id of any WAL object. */
int wal_object_content_id(const json_t *clear, uint8_t out[CONTENT_ID], struct err *err);

/* Back to a summary; sealed may be NULL: then restore points are counted but not named, and the head's bytes are missing. */
int wal_object_decode(struct wal_summary *out, const json_t *clear, const json_t *sealed, struct err *err);

#endif
