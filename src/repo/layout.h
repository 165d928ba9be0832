/*
 * Names of objects in a repository, the one place that knows them. A "relative name" is relative to clusters/NAME/ and is what
 * an object's header carries; a "key" is what the store sees. No name holds a codec, a cipher or a time of upload. For people:
 * "Names" in docs/repository-format.md.
 */
#ifndef PGCAIRN_REPO_LAYOUT_H
#define PGCAIRN_REPO_LAYOUT_H

#include "codec/content_id.h"
#include "codec/object.h"
#include "pg/lsn.h"
#include "store/store.h"

#define LAYOUT_MARKER "pgcairn.json"
#define LAYOUT_LABEL_MAX 64

/* All of these return 0, or ERR_BUG when a name would not fit. */
int layout_key(char out[STORE_KEY_MAX], const char *cluster, const char *relative, struct err *err);
int layout_wal(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_name *name, struct err *err);
int layout_wal_timeline(char out[OBJECT_NAME_MAX], uint64_t sysid, timeline_t timeline, struct err *err); /* folder, with '/' */
/* index/REPOSITORY/SYSID/, with file behind it unless that is NULL */
int layout_wal_index(char out[OBJECT_NAME_MAX], const char *repository_id, uint64_t sysid, const char *file, struct err *err);
int layout_epoch_key(char out[OBJECT_NAME_MAX], const uint8_t key_id[OBJECT_KEY_ID], unsigned generation, struct err *err);
int layout_record(char out[OBJECT_NAME_MAX], const char *folder, unsigned number, struct err *err);
int layout_pack(char out[OBJECT_NAME_MAX], const char *label, unsigned number, struct err *err);
int layout_manifest(char out[OBJECT_NAME_MAX], const char *label, unsigned generation, struct err *err);
/* of one system and one file of WAL that was given up, with '/'; and of one content of it: its bytes, its record */
int layout_gap_folder(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_name *name, struct err *err);
int layout_gap(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_name *name, const uint8_t content_id[CONTENT_ID],
    const char *what, struct err *err);
#define LAYOUT_GAP_BYTES "bytes"
#define LAYOUT_GAP_RECORD "record"
int layout_conflict(char out[OBJECT_NAME_MAX], const char *relative, const uint8_t content_id[CONTENT_ID], struct err *err);

/* What was decided about it, beside it: suffix is one of the two. */
int layout_conflict_record(
    char out[OBJECT_NAME_MAX], const char *relative, const uint8_t content_id[CONTENT_ID], const char *suffix, struct err *err);
#define LAYOUT_RESOLVED ".resolved"
#define LAYOUT_RELEASED ".released"

/* 1 to 63 of [A-Za-z0-9._-], not beginning with '.' or '-': cluster names and backup labels. */
bool layout_name_valid(const char *name);

#endif
