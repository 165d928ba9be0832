/*
 * What a host that writes for a cluster holds: its signing key, the comparison key, the recipients, and the WAL epoch that is
 * open. The epoch is remembered in the state directory so that successive processes share it; losing that file costs one key
 * object and nothing else.
 *
 * A WAL epoch ends after a day, after 1,024 segments, when the timeline, the cluster or the recipients change, and after each
 * base backup.
 *
 * Once it is open a writer may be used by several threads, each with a fan-out of its own.
 */
#ifndef PGCAIRN_REPO_WRITER_H
#define PGCAIRN_REPO_WRITER_H

#include <pthread.h>

#include "codec/content_id.h"
#include "repo/fanout.h"

struct writer {
	char cluster_name[LAYOUT_LABEL_MAX];
	char *state_directory; /* owned */
	bool encrypted;
	uint8_t wal_codec, backup_codec; /* enum object_codec */
	struct signing_key signing;
	struct secret *comparison;
	struct recipients recipients;
	pthread_mutex_t epoch_lock; /* one thread at a time looks for the open epoch */
};

struct writer_options {
	const char *cluster_name, *state_directory;
	const char *recipients_file, *comparison_key, *signing_key; /* paths */
	bool encrypted;
	uint8_t wal_codec, backup_codec;
};

/* Reads the keys. ERR_CONFIG with a hint to init when one is missing. */
int writer_open(struct writer **out, const struct writer_options *o, struct err *err);
void writer_free(struct writer *w);

static inline void
scope_writer(struct writer **w)
{
	writer_free(*w);
}
#define WRITER_AUTO SCOPE(scope_writer)

/*
 * Does this repository fit this writer: enrolled signer, same comparison key, same recipients, same stance on encryption?
 * ERR_AUTH or ERR_CONFIG with a hint when not.
 */
int writer_check(const struct writer *w, const struct repository *r, struct err *err);

/* The open WAL epoch for this segment, made and published to every target first when there is none. Without encryption:
 * nothing. */
int writer_wal_epoch(struct writer *w, struct fanout *f, struct epoch *out, uint64_t sysid, timeline_t timeline, uint64_t segno,
    struct err *err);

/* End it: the next segment starts a new one. */
int writer_end_wal_epoch(struct writer *w, struct err *err);

/* A new epoch of its own, published to every target: for a backup. Without encryption: nothing. */
int writer_new_epoch(struct writer *w, struct fanout *f, const char *scope, struct epoch *out, struct err *err);

/* Make durable what another process has found the cluster with; a target where that fails is out. Once a host and repository.
 */
int writer_settle(const struct writer *w, struct fanout *f, struct err *err);

/*
 * Start an object to every target that is alive and not skipped: header, object key, fan-out sink. epoch is ignored for kinds
 * that are never encrypted and without encryption. *key must live as long as the object writer.
 */
struct writer_object {
	struct object_writer *object;
	struct secret *key;
	struct object_slots *slots; /* borrowed, set by the caller before the start; may be NULL */
};
int writer_start(struct writer *w, struct fanout *f, struct writer_object *out, uint8_t kind, const char *relative,
    const struct epoch *epoch, const bool *skip, struct worker_pool *pool, struct err *err);
void writer_object_free(struct writer_object *o);
#define WRITER_OBJECT_AUTO SCOPE(writer_object_free)

#endif
