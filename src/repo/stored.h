/*
 * An object in a repository, opened for reading: its index is read, whole and signed, and it is what was asked for: this name,
 * this kind, this cluster, a signer that the repository knows, encrypted where the repository demands it.
 */
#ifndef PGCAIRN_REPO_STORED_H
#define PGCAIRN_REPO_STORED_H

#include "repo/keyring.h"
#include "repo/repository.h"

struct stored {
	struct repository *repo; /* borrowed */
	char key[STORE_KEY_MAX];
	struct object_input input; /* reads this object; valid as long as this struct */
	struct object_index *index;
	json_t *clear;             /* parsed clear part */
	struct secret *object_key; /* after stored_unlock; NULL without cipher */
};

/*
 * ERR_NOT_FOUND when the repository, confirmed after the miss, has no such object. ERR_CORRUPT, ERR_AUTH (signer unknown,
 * not encrypted although it must be) otherwise.
 */
int stored_open(struct stored **out, struct repository *r, const char *relative, uint8_t kind, struct err *err);

/* For repository.c: a record, whose signer must be known unless it is the founder's. */
int stored_open_record(struct stored **out, struct repository *r, const char *relative, bool founder, struct err *err);

void stored_free(struct stored *s);

static inline void
scope_stored(struct stored **s)
{
	stored_free(*s);
}
#define STORED_AUTO SCOPE(scope_stored)

/* Get the object's key from the ring. Must come before the readers below; without cipher it does nothing. */
int stored_unlock(struct stored *s, struct keyring *ring, struct err *err);

/* The sealed part as JSON. */
int stored_sealed(struct stored *s, json_t **out, struct err *err);

/* All plain bytes, in order. */
int stored_read(struct stored *s, struct worker_pool *pool,
    int (*each)(const void *data, size_t len, void *arg, struct err *err), void *arg, struct err *err);

/* All plain bytes, each piece with its offset, in no order and from several threads. */
int stored_scatter(struct stored *s, struct worker_pool *pool, object_put *put, void *arg, struct err *err);

/* Reads all stored frames and checks their digests, which takes no key. */
int stored_check(struct stored *s, struct err *err);

/* The stored bytes as they are into a sink, every frame digest checked on the way; finishes nothing. */
int stored_copy(struct stored *s, struct sink *to, struct err *err);

#endif
