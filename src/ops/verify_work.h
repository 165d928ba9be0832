/* What the parts of verify share: verify.c drives, verify_object.c takes one object, verify_backup.c and verify_wal.c what
 * belongs together. For them only. */
#ifndef PGCAIRN_OPS_VERIFY_WORK_H
#define PGCAIRN_OPS_VERIFY_WORK_H

#include <pthread.h>

#include "ops/verify.h"
#include "repo/backup_set.h"

struct verify_object {
	char *relative;
	uint64_t size;
	bool has_content; /* WAL that opens: */
	uint8_t content_id[CONTENT_ID];
};

enum verify_class {
	VERIFY_UNKNOWN, /* no name that pgcairn gives */
	VERIFY_RECORD,
	VERIFY_KEY,
	VERIFY_SEGMENT, /* whole and partial */
	VERIFY_HISTORY, /* of a timeline or of a backup */
	VERIFY_PACK,
	VERIFY_MANIFEST,
	VERIFY_CONFLICT,
	VERIFY_DECISION,   /* the record about a conflict */
	VERIFY_GAP,        /* the record */
	VERIFY_QUARANTINE, /* the bytes */
	VERIFY_INDEX,
};

struct verify_name {
	enum verify_class class;
	uint8_t kind;                 /* enum object_kind */
	char object[OBJECT_NAME_MAX]; /* of a conflict: what it came for; else the name itself */
	char label[LAYOUT_LABEL_MAX]; /* of a backup's objects */
	uint64_t sysid;               /* of WAL */
	struct wal_name wal;
};

/* One repository. */
struct verify_work {
	const struct op *op;
	const struct verify_options *options;
	size_t place;
	struct repository *repo;         /* NULL: lost, or it did not open */
	bool unread;                     /* it vanished meanwhile: nothing is known of it */
	struct keyring *ring;            /* NULL: nothing is opened */
	const struct secret *comparison; /* NULL: content ids cannot be compared */
	struct verify_object *objects;   /* by byte order of their names */
	size_t n, cap;
	struct backup_set backups;
	const struct manifest_head *only; /* with a label: its head, when that backup is whole here */
	pthread_mutex_t lock;             /* for what follows: jobs run on several threads */
	struct verify_result *result;
	uint64_t done, total; /* bytes, for progress */
	uint8_t (*missing_keys)[OBJECT_KEY_ID];
	size_t n_missing_keys;
};

/* Thread-safe. object is a relative name. */
void verify_find(struct verify_work *w, const char *object, const char *kind, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void verify_note(struct verify_work *w, const char *object, const char *kind, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* What reading an object ended with: kind and remedy by the error's. */
void verify_find_err(struct verify_work *w, const char *object, const struct err *err);

/* Thread-safe. Is there a finding (not a note) about this object of this repository? */
bool verify_is_found(struct verify_work *w, const char *object);
/* An object that was looked at once fails when it is read again, for what belongs together. Nothing when it is found already,
 * or gone: it was removed since the listing. */
void verify_find_late(struct verify_work *w, const char *object, const struct err *err);

bool verify_listed(const struct verify_work *w, const char *relative);
bool verify_in_subset(const struct verify_work *w, const char *relative);
/* Does the label that was asked for, if any, concern this object? */
bool verify_selected(const struct verify_work *w, const struct verify_name *name);

void verify_classify(const char *relative, struct verify_name *out);

/* One object, on any thread. */
void verify_object(struct verify_work *w, struct verify_object *o);

/* A name below index/; and an index, opened, against its segments. What is wrong with it costs time and no data. */
struct stored;
void verify_classify_index(const char *relative, struct verify_name *out);
void verify_index(struct verify_work *w, const struct verify_name *name, struct stored *s);
void verify_index_failed(struct verify_work *w, const char *object, const struct err *err);

/* Can the content be opened? Where the key is missing, damaged or not for us, that was found already. object: for a finding. */
bool verify_can_open(struct verify_work *w, const struct stored *s, const char *object);

/* Packs and their pins; and, with keys, every file. The second runs on any thread. */
void verify_backup_packs(struct verify_work *w, const struct backup_entry *b);
void verify_backup_files(struct verify_work *w, const struct backup_entry *b);
/* Packs of no backup. */
void verify_orphans(struct verify_work *w);

/*
 * When all were looked at: WAL of one name and other content in two repositories, which no writer sees who meets one of them
 * alone; then the result is sorted and says for what is damaged here where it is whole. n works by place, those without a
 * repository are passed over.
 */
void verify_compare(struct verify_work *works, size_t n, struct verify_result *r);

/* Gaps, joins along every timeline, each backup's WAL. An error means that the repository could not be read. */
int verify_wal(struct verify_work *w, struct err *err);

#endif
