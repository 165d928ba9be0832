/*
 * Where a fetched file of WAL is put: PostgreSQL's name for it appears only when every byte is there and verified. Until then
 * they lie in a temporary beside it, of which at most one is ever left behind, and the next try replaces it. The temporary is
 * ours alone while we hold its lock: a recovery that was killed may have left a process that still writes there, and the bytes
 * of two segments in one file would be delivered as one.
 */
#ifndef PGCAIRN_OPS_FETCH_TARGET_H
#define PGCAIRN_OPS_FETCH_TARGET_H

#include <stddef.h>

#include "base/err.h"

struct fetch_target {
	const char *path; /* borrowed */
	char temporary[4096];
	int fd; /* of the temporary; -1: none is open */
};

int fetch_temporary_name(char *out, size_t size, const char *path);

/* Only the names; ERR_CONFIG when the path is too long. */
int fetch_target_init(struct fetch_target *t, const char *path, struct err *err);

/* An empty temporary, locked. Waiting for its lock is bounded by the process's time limit. */
int fetch_target_open(struct fetch_target *t, struct err *err);

/* The temporary becomes the file; after an error neither is there. */
int fetch_target_publish(struct fetch_target *t, struct err *err);

/*
 * Another file, whole and verified, becomes the file by one rename, and the temporary goes. ERR_CONFIG: they lie on different
 * file systems, and the temporary is still open.
 */
int fetch_target_move(struct fetch_target *t, int dirfd, const char *name, struct err *err);

/* Closes and removes a temporary that is open. */
void fetch_target_abandon(struct fetch_target *t);

/* What an earlier try left that was killed. It is taken over by the next that delivers; after a miss there may be none. */
void fetch_target_tidy(const struct fetch_target *t);

#endif
