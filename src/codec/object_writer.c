/*
 * A ring of slots: the caller fills one while the pool seals others; the oldest leaves first. A frame is given to the pool only
 * when a further byte arrives or the end is known, since each frame is bound to whether it is the last.
 */
#include "codec/object_writer.h"

#include <sodium.h>

#include "base/bytes.h"

struct slot {
	struct worker_job job; /* first */
	struct object_frame_context context;
	struct object_frame frame;
	void *codec_state;
	size_t len;
	bool busy; /* given to the pool, not yet written out */
	int rc;
	struct err err;
	uint8_t plain[OBJECT_FRAME];
	uint8_t stored[OBJECT_FRAME_STORED_MAX];
};

struct object_writer {
	struct sink *next;
	struct worker_pool *pool;
	struct object_frame_context context;
	const uint8_t *signing_key;
	uint8_t header_digest[OBJECT_DIGEST];
	struct object_lengths lengths;
	struct buf table;
	size_t n_slots, fill, oldest; /* fill: the slot that takes bytes; oldest: the one that leaves next */
	struct slot **slots;
};

static void
seal_slot(struct worker_job *job)
{
	struct slot *s = (struct slot *)job;

	s->rc = object_frame_seal(&s->context, s->plain, s->len, s->stored, &s->frame, &s->codec_state, &s->err);
}

static int
make_slots(struct object_writer *w, struct err *err)
{
	w->n_slots = w->pool != NULL ? (size_t)worker_pool_threads(w->pool) + 2 : 1;
	w->slots = calloc(w->n_slots, sizeof(struct slot *));
	if (w->slots == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object");
	return 0;
}

int
object_writer_new(struct object_writer **out, const struct object_spec *spec, struct sink *next, struct err *err)
{
	OBJECT_WRITER_AUTO struct object_writer *w = calloc(1, sizeof(*w));
	uint8_t header[OBJECT_HEADER_MAX];
	size_t len;
	int rc;

	if (w == NULL) {
		sink_free(next);
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object");
	}
	w->next = next;
	w->pool = spec->pool;
	w->signing_key = spec->signing_key;
	if ((spec->key == NULL) != (spec->header.cipher == OBJECT_CIPHER_NONE))
		return err_set(err, ERR_BUG, 0, "an object with a key and no cipher, or the other way round");
	rc = object_header_encode(&spec->header, header, &len, err);
	if (rc == 0)
		rc = make_slots(w, err);
	if (rc == 0)
		rc = sink_write(next, header, len, err);
	if (rc < 0)
		return rc;
	object_hash(w->header_digest, header, len);
	w->lengths.header = (uint32_t)len;
	w->lengths.signature = OBJECT_SIGNATURE;
	w->context =
	    (struct object_frame_context){.header_digest = w->header_digest, .key = spec->key, .codec = spec->header.codec};
	*out = STEAL(w);
	return 0;
}

/* Wait for the oldest slot, write it and its table entry. */
static int
emit_oldest(struct object_writer *w, struct err *err)
{
	struct slot *s = w->slots[w->oldest];
	uint8_t entry[OBJECT_TABLE_ENTRY] = {0};
	int rc;

	worker_wait(w->pool, &s->job);
	s->busy = false;
	w->oldest = (w->oldest + 1) % w->n_slots;
	if (s->rc < 0) {
		if (err != NULL)
			*err = s->err;
		return s->rc;
	}
	le32_put(entry, s->frame.stored);
	entry[4] = s->frame.encoding;
	memcpy(entry + 8, s->frame.digest, OBJECT_DIGEST);
	rc = buf_append(&w->table, entry, sizeof(entry), err);
	if (rc == 0)
		rc = sink_write(w->next, s->stored, s->frame.stored, err);
	if (rc == 0) {
		w->lengths.frame_bytes += s->frame.stored;
		s->len = 0;
	}
	return rc;
}

/* Give the filled slot to the pool and move to the next one, which is emptied first where it is still busy. */
static int
dispatch(struct object_writer *w, bool last, struct err *err)
{
	struct slot *s = w->slots[w->fill];

	if (w->lengths.frames >= OBJECT_FRAMES_MAX)
		return err_set(err, ERR_BUG, 0, "an object of more than %d frames", OBJECT_FRAMES_MAX);
	s->context = w->context;
	s->context.number = w->lengths.frames++;
	s->context.last = last;
	s->job.run = seal_slot;
	s->busy = true;
	worker_submit(w->pool, &s->job);
	w->fill = (w->fill + 1) % w->n_slots;
	if (w->slots[w->fill] != NULL && w->slots[w->fill]->busy)
		return emit_oldest(w, err);
	return 0;
}

int
object_writer_write(struct object_writer *w, const void *data, size_t len, struct err *err)
{
	const uint8_t *p = data;
	int rc;

	while (len > 0) {
		struct slot *s = w->slots[w->fill];
		size_t n;

		if (s == NULL) {
			s = w->slots[w->fill] = calloc(1, sizeof(*s));
			if (s == NULL)
				return err_set(err, ERR_NOMEM, 0, "out of memory for a frame");
		}
		if (s->len == OBJECT_FRAME) {
			rc = dispatch(w, false, err);
			if (rc < 0)
				return rc;
			continue;
		}
		n = OBJECT_FRAME - s->len < len ? OBJECT_FRAME - s->len : len;
		memcpy(s->plain + s->len, p, n);
		s->len += n;
		w->lengths.plain += n;
		p += n;
		len -= n;
	}
	return 0;
}

uint64_t
object_writer_plain(const struct object_writer *w)
{
	return w->lengths.plain;
}

/* Everything behind the frames, in one piece, so that small objects cost one write. */
static int
write_end(
    struct object_writer *w, const struct buf *clear, const struct buf *sealed, struct object_result *result, struct err *err)
{
	struct object_lengths *l = &w->lengths;
	uint8_t root[OBJECT_DIGEST], digest[OBJECT_DIGEST], signature[OBJECT_SIGNATURE], tail[OBJECT_TAIL];
	BUF_AUTO struct buf end = {.max = 3 * OBJECT_PART_MAX};
	int rc;

	l->clear = (uint32_t)clear->len;
	l->sealed = (uint32_t)sealed->len;
	object_root(root, w->header_digest, w->table.data, clear->data, sealed->data, l);
	object_signature_make(signature, root, w->signing_key);
	object_digest(digest, root, signature, sizeof(signature));
	object_tail_encode(tail, l, digest);
	rc = buf_append(&end, w->table.data, w->table.len, err);
	if (rc == 0)
		rc = buf_append(&end, clear->data, clear->len, err);
	if (rc == 0)
		rc = buf_append(&end, sealed->data, sealed->len, err);
	if (rc == 0)
		rc = buf_append(&end, signature, sizeof(signature), err);
	if (rc == 0)
		rc = buf_append(&end, tail, sizeof(tail), err);
	if (rc == 0)
		rc = sink_write(w->next, end.data, end.len, err);
	if (rc == 0)
		rc = sink_finish(w->next, err);
	if (result != NULL) {
		memcpy(result->digest, digest, OBJECT_DIGEST);
		result->plain = l->plain;
		result->stored = l->header + l->frame_bytes + end.len;
	}
	return rc;
}

int
object_writer_finish(
    struct object_writer *w, const struct buf *clear, const struct buf *sealed, struct object_result *result, struct err *err)
{
	static const struct buf nothing;
	BUF_AUTO struct buf locked = {.max = OBJECT_PART_MAX};
	struct object_frame_context c = w->context;
	int rc;

	if (clear != NULL && clear->len > OBJECT_PART_MAX)
		return err_set(err, ERR_BUG, 0, "a clear part of %zu bytes", clear->len);
	if (w->slots[w->fill] != NULL && w->slots[w->fill]->len > 0 && !w->slots[w->fill]->busy) {
		rc = dispatch(w, true, err);
		if (rc < 0)
			return rc;
	}
	while (w->slots[w->oldest] != NULL && w->slots[w->oldest]->busy) {
		rc = emit_oldest(w, err);
		if (rc < 0)
			return rc;
	}
	c.number = OBJECT_SEALED_FRAME;
	c.last = true;
	if (sealed != NULL) {
		rc = object_part_seal(&c, sealed->data, sealed->len, &locked, err);
		if (rc < 0)
			return rc;
	}
	return write_end(w, clear != NULL ? clear : &nothing, &locked, result, err);
}

void
object_writer_free(struct object_writer *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; w->slots != NULL && i < w->n_slots; i++) {
		struct slot *s = w->slots[i];

		if (s == NULL)
			continue;
		if (s->busy)
			worker_wait(w->pool, &s->job);
		object_codec_state_free(s->codec_state);
		free(s);
	}
	free(w->slots);
	buf_free(&w->table);
	sink_free(w->next);
	free(w);
}
