/*
 * Writes one object into a sink: plain bytes in, stored form out. Frames are sealed on the pool's threads, several at once, and
 * leave in order. Memory: (threads + 5) slots of about 2 MiB, 4 without a pool, and what zstd needs in each. Nothing is visible
 * before finish, which finishes the sink.
 */
#ifndef PGCAIRN_CODEC_OBJECT_WRITER_H
#define PGCAIRN_CODEC_OBJECT_WRITER_H

#include "base/worker.h"
#include "codec/object.h"
#include "stream/stream.h"

struct object_writer;

/*
 * The buffers of a writer, for who writes one object after another: memory that is given back and taken again has to be cleared
 * by the kernel each time. One writer at a time; pool is the one that the writers will have.
 */
struct object_slots;
int object_slots_new(struct object_slots **out, const struct worker_pool *pool, struct err *err);
void object_slots_free(struct object_slots *all); /* NULL is fine */

struct object_spec {
	struct object_header header; /* complete, with the sealed key where there is a cipher */
	const uint8_t *key;          /* OBJECT_KEY bytes, borrowed until free; NULL without cipher */
	const uint8_t *signing_key;  /* Ed25519 secret key, borrowed until free */
	struct worker_pool *pool;    /* borrowed; NULL: frames are sealed by the caller's thread */
	struct object_slots *slots;  /* borrowed; NULL: the writer has its own */
};

struct object_result {
	uint8_t digest[OBJECT_DIGEST];
	uint64_t plain, stored; /* bytes */
};

/* Takes next over, on failure too. */
int object_writer_new(struct object_writer **out, const struct object_spec *spec, struct sink *next, struct err *err);
/* For who can put bytes where they belong: where the next ones go and how many fit (at least one), then how many came. */
int object_writer_room(struct object_writer *w, uint8_t **at, size_t *room, struct err *err);
void object_writer_filled(struct object_writer *w, size_t len);
/* For who has them elsewhere. */
int object_writer_write(struct object_writer *w, const void *data, size_t len, struct err *err);
uint64_t object_writer_plain(const struct object_writer *w); /* bytes written so far: the plain offset of the next one */

/* Parts may be NULL with length 0. ERR_EXISTS comes from the sink. result may be NULL. */
int object_writer_finish(
    struct object_writer *w, const struct buf *clear, const struct buf *sealed, struct object_result *result, struct err *err);
void object_writer_free(struct object_writer *w);

static inline void
scope_object_writer(struct object_writer **w)
{
	object_writer_free(*w);
}
#define OBJECT_WRITER_AUTO SCOPE(scope_object_writer)

#endif
