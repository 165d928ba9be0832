/*
 * Objects in memory: a sink that can fail at a byte or at its finish, and an input that can end early, fail, or answer in ways
 * that a store may not.
 */
#ifndef PGCAIRN_TESTS_MEMORY_H
#define PGCAIRN_TESTS_MEMORY_H

#include "base/buf.h"
#include "codec/object_reader.h"
#include "codec/object_writer.h"
#include "stream/stream.h"

struct memory_place {
	struct buf visible;        /* what finish published */
	bool finished;             /* and it was called */
	unsigned open;             /* sinks that were not freed */
	uint64_t fail_at;          /* write fails with fail_kind at this byte; UINT64_MAX: never */
	bool fail_finish;          /* with fail_kind */
	int fail_kind;             /* 0: ERR_IO */
	unsigned calls, after_err; /* writes; calls other than free after a failure */
};
struct sink *memory_sink(struct memory_place *p);

struct memory_blob {
	uint8_t *data;
	size_t len;
	uint64_t fail_get_at; /* a get that covers this byte is ERR_RETRY; UINT64_MAX: none */
	bool short_get;       /* gets give one byte less */
	bool short_tail;      /* get_tail gives fewer bytes than it could */
	int tail_kind;        /* of get_tail, when not 0 */
	uint64_t size;        /* claimed by get_tail; 0: the truth */
};
struct object_input memory_input(struct memory_blob *b);

/* A signing key (64 bytes) made of one number: different numbers, different keys. */
void memory_signing_key(uint8_t secret[64], uint8_t number);

/* One whole object; spec.signing_key may be NULL for key number 1. The caller frees blob->data. */
struct memory_object {
	uint8_t kind, codec;
	const uint8_t *key; /* NULL: not encrypted */
	const char *name, *clear, *sealed;
	const void *plain;
	size_t len;
	struct worker_pool *pool;
	size_t step; /* bytes a write; 0: all at once */
	uint8_t signer;
};
void memory_object_write(const struct memory_object *o, struct memory_blob *blob);

/* index_read, then all frames and the sealed part. *out (appended) gets the plain bytes. */
int memory_read(struct memory_blob *b, const uint8_t *key, struct worker_pool *pool, struct buf *out, struct err *err);

#endif
