/*
 * A ring of slots: the caller fills one while the pool seals others; the oldest leaves first. A frame is given to the pool only
 * when a further byte arrives or the end is known, since each frame is bound to whether it is the last.
 *
 * Digests are made of several sealed frames at once, by whoever seals the frame that makes them enough. Who needs a digest
 * before that, because no further frame can come while it waits, makes those that are due itself.
 */
#include "codec/object_writer.h"

#include <pthread.h>
#include <stddef.h>

#include "base/bytes.h"

struct slot {
	struct worker_job job; /* first */
	struct object_writer *writer;
	struct object_frame_context context;
	struct object_frame frame;
	void *codec_state;
	size_t len;
	bool busy;     /* given to the pool, not yet written out */
	bool digested; /* the frame is complete, or failed; guarded by the writer's lock */
	int rc;
	struct err err;
	uint8_t plain[OBJECT_FRAME];
	uint8_t stored[OBJECT_FRAME_STORED_MAX];
};

struct object_slots {
	size_t n;
	struct slot *list[]; /* NULL: not needed yet */
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
	struct object_slots *own; /* NULL: they are borrowed */
	pthread_mutex_t lock;
	pthread_cond_t some_digested;
	size_t n_due; /* sealed, and nobody makes their digests yet */
	struct slot *due[OBJECT_HASH_LANES];
};

/* Make the digests that are due. Called with the lock, which is free meanwhile. */
static void
make_digests(struct object_writer *w)
{
	struct object_hash_job jobs[OBJECT_HASH_LANES];
	struct slot *mine[OBJECT_HASH_LANES];
	size_t n = w->n_due;

	memcpy(mine, w->due, sizeof(mine));
	w->n_due = 0;
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < n; i++)
		jobs[i] = (struct object_hash_job){mine[i]->stored, mine[i]->frame.stored, mine[i]->frame.digest};
	object_hash_many(jobs, n);
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < n; i++)
		mine[i]->digested = true;
	pthread_cond_broadcast(&w->some_digested);
}

static void
seal_slot(struct worker_job *job)
{
	struct slot *s = (struct slot *)job;
	struct object_writer *w = s->writer;

	s->rc = object_frame_seal(&s->context, s->plain, s->len, s->stored, &s->frame, &s->codec_state, &s->err);
	pthread_mutex_lock(&w->lock);
	if (s->rc == 0)
		w->due[w->n_due++] = s;
	else
		s->digested = true;
	if (w->n_due == OBJECT_HASH_LANES)
		make_digests(w);
	pthread_mutex_unlock(&w->lock);
}

static bool
is_digested(struct object_writer *w, const struct slot *s)
{
	bool digested;

	pthread_mutex_lock(&w->lock);
	digested = s->digested;
	pthread_mutex_unlock(&w->lock);
	return digested;
}

/* For a slot that is sealed: its digest is due, or under way on another thread. */
static void
need_digest(struct object_writer *w, const struct slot *s)
{
	pthread_mutex_lock(&w->lock);
	while (!s->digested) {
		bool due = false;

		for (size_t i = 0; i < w->n_due; i++)
			due |= w->due[i] == s;
		if (due)
			make_digests(w);
		else
			pthread_cond_wait(&w->some_digested, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
}

/* One is being filled, one is on each thread, and as many more as a digest is made of. Without threads the filled one is sealed
 * on the spot. */
int
object_slots_new(struct object_slots **out, const struct worker_pool *pool, struct err *err)
{
	size_t n = pool != NULL ? (size_t)worker_pool_threads(pool) + 1 + OBJECT_HASH_LANES : OBJECT_HASH_LANES;
	struct object_slots *all = calloc(1, sizeof(*all) + n * sizeof(all->list[0]));

	if (all == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object");
	all->n = n;
	*out = all;
	return 0;
}

void
object_slots_free(struct object_slots *all)
{
	for (size_t i = 0; all != NULL && i < all->n; i++) {
		if (all->list[i] != NULL)
			object_codec_state_free(all->list[i]->codec_state);
		free(all->list[i]);
	}
	free(all);
}

static int
take_slots(struct object_writer *w, struct object_slots *lent, struct err *err)
{
	int rc = lent != NULL ? 0 : object_slots_new(&w->own, w->pool, err);

	if (rc < 0)
		return rc;
	w->slots = lent != NULL ? lent->list : w->own->list;
	w->n_slots = lent != NULL ? lent->n : w->own->n;
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
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->some_digested, NULL);
	w->next = next;
	w->pool = spec->pool;
	w->signing_key = spec->signing_key;
	if ((spec->key == NULL) != (spec->header.cipher == OBJECT_CIPHER_NONE))
		return err_set(err, ERR_BUG, 0, "an object with a key and no cipher, or the other way round");
	rc = object_header_encode(&spec->header, header, &len, err);
	if (rc == 0)
		rc = take_slots(w, spec->slots, err);
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

/* Wait for the oldest slot, write it and its table entry. The bytes need no digest yet. */
static int
emit_oldest(struct object_writer *w, struct err *err)
{
	struct slot *s = w->slots[w->oldest];
	uint8_t entry[OBJECT_TABLE_ENTRY];
	int rc;

	worker_wait(w->pool, &s->job);
	rc = s->rc;
	if (rc == 0)
		rc = sink_write(w->next, s->stored, s->frame.stored, err);
	else if (err != NULL)
		*err = s->err;
	need_digest(w, s);
	s->busy = false;
	w->oldest = (w->oldest + 1) % w->n_slots;
	if (rc < 0)
		return rc;
	object_table_entry(entry, &s->frame);
	w->lengths.frame_bytes += s->frame.stored;
	s->len = 0;
	return buf_append(&w->table, entry, sizeof(entry), err);
}

/* Give the filled slot to the pool and move to the next one, which is emptied first where it is still busy. */
static int
dispatch(struct object_writer *w, bool last, struct err *err)
{
	struct slot *s = w->slots[w->fill];
	int rc = 0;

	if (w->lengths.frames >= OBJECT_FRAMES_MAX)
		return err_set(err, ERR_BUG, 0, "an object of more than %d frames", OBJECT_FRAMES_MAX);
	s->context = w->context;
	s->context.number = w->lengths.frames++;
	s->context.last = last;
	s->writer = w;
	s->job.run = seal_slot;
	s->busy = true;
	s->digested = false;
	worker_submit(w->pool, &s->job);
	w->fill = (w->fill + 1) % w->n_slots;
	/* what is complete leaves at once, so that the disk has work early */
	while (rc == 0 && w->slots[w->oldest] != NULL && w->slots[w->oldest]->busy && is_digested(w, w->slots[w->oldest]))
		rc = emit_oldest(w, err);
	if (rc == 0 && w->slots[w->fill] != NULL && w->slots[w->fill]->busy)
		rc = emit_oldest(w, err);
	return rc;
}

/* Most objects are small and use a part of the first slot; who needs a second one fills all of it. */
static struct slot *
slot_new(const struct object_writer *w)
{
	struct slot *s;

	s = w->lengths.frames == 0 ? malloc(sizeof(*s)) : buf_large(sizeof(*s));
	if (s == NULL)
		return NULL;
	/* the rest is not cleared: a page that is never reached costs nothing */
	memset(s, 0, offsetof(struct slot, plain));
	return s;
}

int
object_writer_room(struct object_writer *w, uint8_t **at, size_t *room, struct err *err)
{
	struct slot *s = w->slots[w->fill];

	if (s != NULL && s->len == OBJECT_FRAME) {
		int rc = dispatch(w, false, err);

		if (rc < 0)
			return rc;
		s = w->slots[w->fill];
	}
	if (s == NULL) {
		s = w->slots[w->fill] = slot_new(w);
		if (s == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for a frame");
	}
	*at = s->plain + s->len;
	*room = OBJECT_FRAME - s->len;
	return 0;
}

void
object_writer_filled(struct object_writer *w, size_t len)
{
	w->slots[w->fill]->len += len;
	w->lengths.plain += len;
}

int
object_writer_write(struct object_writer *w, const void *data, size_t len, struct err *err)
{
	const uint8_t *p = data;

	while (len > 0) {
		uint8_t *at;
		size_t room;
		int rc = object_writer_room(w, &at, &room, err);

		if (rc < 0)
			return rc;
		if (room > len)
			room = len;
		memcpy(at, p, room);
		object_writer_filled(w, room);
		p += room;
		len -= room;
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
	/* all of them first: one thread may make the digest of another's frame */
	for (size_t i = 0; i < w->n_slots; i++)
		if (w->slots[i] != NULL && w->slots[i]->busy)
			worker_wait(w->pool, &w->slots[i]->job);
	for (size_t i = 0; i < w->n_slots; i++)
		if (w->slots[i] != NULL) {
			w->slots[i]->busy = false;
			w->slots[i]->len = 0;
		}
	object_slots_free(w->own);
	buf_free(&w->table);
	sink_free(w->next);
	pthread_cond_destroy(&w->some_digested);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
