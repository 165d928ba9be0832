/*
 * Reads one object through injected I/O. object_index_read fetches everything but the frames and checks structure, digest and
 * signature; the caller then says what it expects (name, kind, cluster, trusted signer) before it believes a word of it. Frames
 * come out only after their digest, tag and length were checked.
 */
#ifndef PGCAIRN_CODEC_OBJECT_READER_H
#define PGCAIRN_CODEC_OBJECT_READER_H

#include "base/worker.h"
#include "codec/object.h"
#include "stream/stream.h"

/* Same promises as store_get and store_get_tail, for one blob. */
struct object_input {
	int (*get)(void *arg, uint64_t offset, void *data, size_t len, size_t *got, struct err *err);
	int (*get_tail)(void *arg, void *data, size_t len, size_t *got, uint64_t *size, struct err *err);
	void *arg;
};

struct object_index {
	struct object_header header;
	uint8_t header_digest[OBJECT_DIGEST];
	struct object_lengths lengths;
	uint64_t size;               /* stored bytes of the whole object */
	struct object_frame *frames; /* lengths.frames of them */
	struct buf clear;            /* text of the clear part */
	struct buf sealed;           /* as stored */
	uint8_t signature[OBJECT_SIGNATURE];
	uint8_t signer[32];
	uint8_t digest[OBJECT_DIGEST];
};

/* ERR_NOT_FOUND from the input passes through; ERR_CORRUPT for everything that is not whole. */
int object_index_read(struct object_index **out, const struct object_input *in, struct err *err);
void object_index_free(struct object_index *x);

static inline void
scope_object_index(struct object_index **x)
{
	object_index_free(*x);
}
#define OBJECT_INDEX_AUTO SCOPE(scope_object_index)

/*
 * What stands in front of the frames, and what stands behind them: for who copies an object. No byte of it is another than
 * those that were checked when the index was read.
 */
int object_front_write(const struct object_index *x, const struct object_input *in, struct sink *to, struct err *err);
int object_end_write(const struct object_index *x, struct sink *to, struct err *err);

/* The plain length of frame i. */
size_t object_frame_plain(const struct object_index *x, uint32_t i);

/* The sealed part's text, appended to out. key NULL only without cipher. */
int object_sealed_read(const struct object_index *x, const uint8_t *key, struct buf *out, struct err *err);

/*
 * n frames from frame i on, up to OBJECT_HASH_LANES of them: frame i + k into plain + k * OBJECT_FRAME. stored: scratch of n
 * times OBJECT_FRAME_STORED_MAX bytes.
 */
int object_frames_read(const struct object_index *x, const struct object_input *in, const uint8_t *key, uint32_t i, uint32_t n,
    uint8_t *stored, uint8_t *plain, struct err *err);
/* The same of one. */
int object_frame_read(const struct object_index *x, const struct object_input *in, const uint8_t *key, uint32_t i,
    uint8_t *stored, uint8_t *plain, struct err *err);

/* All plain bytes in order into each(); frames are fetched and opened on the pool (NULL: here). */
int object_read_all(const struct object_index *x, const struct object_input *in, const uint8_t *key, struct worker_pool *pool,
    int (*each)(const void *data, size_t len, void *arg, struct err *err), void *arg, struct err *err);

/* All plain bytes with their offset, in no order and from several threads at once: for who can put each where it belongs. */
typedef int object_put(const void *data, size_t len, uint64_t offset, void *arg, struct err *err);
int object_scatter(const struct object_index *x, const struct object_input *in, const uint8_t *key, struct worker_pool *pool,
    object_put *put, void *arg, struct err *err);

/* Reads all stored frames and checks their digests, without any key. */
int object_frames_check(const struct object_index *x, const struct object_input *in, struct err *err);

#endif
