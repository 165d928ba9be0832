/*
 * Where a recovery's WAL comes from: the repositories that it asks, the keys, and whose WAL it is. pgcairn-wal-restore opens
 * one for one file, the prefetcher keeps one as long as it runs; both ask in the same way, and nothing else delivers.
 */
#ifndef PGCAIRN_OPS_FETCH_SOURCE_H
#define PGCAIRN_OPS_FETCH_SOURCE_H

#include "ops/fetch.h"
#include "pg/control.h"
#include "repo/gap.h"
#include "repo/stored.h"

struct fetch_source {
	const struct op *op;
	const struct fetch_options *options; /* borrowed */
	struct keyring *ring;
	struct session *session;
	uint64_t sysid;
	struct repository **open; /* by the configuration's index; NULL: not open. One that fails is closed and opened anew */
};

/* Which cluster recovers in the current directory, else in the configured pgdata, by its pg_control. */
int fetch_find_control(const struct op *op, struct control *out, struct err *err);

int fetch_source_open(struct fetch_source *s, const struct op *op, const struct fetch_options *o, struct err *err);
void fetch_source_close(struct fetch_source *s); /* a zeroed one is fine */
#define FETCH_SOURCE_AUTO SCOPE(fetch_source_close)

/* One file, asked for. */
struct fetch_query {
	struct fetch_source *source;
	struct wal_name name;

	/* The object, unlocked, holds size plain bytes: read and keep them. Called once for each repository that has it. */
	int (*deliver)(struct stored *s, uint64_t size, void *arg, struct err *err);
	void *arg;

	/* of what was delivered */
	uint8_t content_id[CONTENT_ID];
	size_t from;      /* index of the repository */
	struct err doubt; /* kind 0: none. What another repository, asked before, answered instead */

	bool given_up; /* a repository that misses it has it as a gap */
	struct gap_record gap;
};

/*
 * Here exit 1 of restore_command is decided: ERR_NOT_FOUND is returned only when every selected repository returned it, which
 * stored_open does only after the repository was confirmed behind the miss.
 */
int fetch_ask(struct fetch_query *q, struct err *err);

/* The object in the i-th repository, still to be unlocked. */
int fetch_find(struct fetch_query *q, size_t i, struct stored **out, struct err *err);

#endif
