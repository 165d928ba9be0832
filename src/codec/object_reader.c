#include "codec/object_reader.h"

#include "base/bytes.h"

#define FIRST_TAIL 4096 /* what one request fetches: a record whole, all but the frames of a 16 MiB segment */

void
object_index_free(struct object_index *x)
{
	if (x == NULL)
		return;
	free(x->frames);
	buf_free(&x->clear);
	buf_free(&x->sealed);
	free(x);
}

/* The stored frames follow one another behind the header; their sum must be what the tail says. */
static int
decode_table(struct object_index *x, const uint8_t *table, struct err *err)
{
	uint64_t at = x->lengths.header, sum = 0;

	x->frames = calloc(x->lengths.frames + 1, sizeof(*x->frames));
	if (x->frames == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %u frames", x->lengths.frames);
	for (uint32_t i = 0; i < x->lengths.frames; i++) {
		const uint8_t *e = table + (size_t)i * OBJECT_TABLE_ENTRY;
		struct object_frame *f = &x->frames[i];

		f->stored = le32_get(e);
		f->encoding = e[4];
		f->offset = at;
		memcpy(f->digest, e + 8, OBJECT_DIGEST);
		if (f->stored > OBJECT_FRAME_STORED_MAX ||
		    (f->encoding != OBJECT_CODEC_NONE && f->encoding != x->header.codec) || e[5] != 0 || e[6] != 0 || e[7] != 0)
			return err_set(err, ERR_CORRUPT, 0, "entry %u of the frame table is malformed", i);
		at += f->stored;
		sum += f->stored;
	}
	if (sum != x->lengths.frame_bytes)
		return err_set(err, ERR_CORRUPT, 0, "the frame table and the tail disagree");
	return 0;
}

/* end: table, parts, signature and tail; header: the first bytes of the object, at least as many as lengths.header. */
static int
decode_end(struct object_index *x, const uint8_t *header, const uint8_t *end, struct err *err)
{
	const struct object_lengths *l = &x->lengths;
	size_t table = (size_t)l->frames * OBJECT_TABLE_ENTRY, header_len;
	uint8_t root[OBJECT_DIGEST], digest[OBJECT_DIGEST];
	const uint8_t *clear = end + table, *sealed = clear + l->clear, *sig = sealed + l->sealed;
	int rc;

	/* integrity first: nothing is parsed further that is not what was written */
	object_hash(x->header_digest, header, l->header);
	object_root(root, x->header_digest, end, clear, sealed, l);
	object_digest(digest, root, sig, l->signature);
	if (memcmp(digest, x->digest, sizeof(digest)) != 0)
		return err_set(err, ERR_CORRUPT, 0, "object has other bytes than its digest says");
	rc = object_signature_check(sig, root, x->signer, err);
	if (rc == 0)
		rc = object_header_decode(&x->header, header, l->header, &header_len, err);
	if (rc == 0 && header_len != l->header)
		rc = err_set(err, ERR_CORRUPT, 0, "header and tail disagree");
	if (rc == 0)
		rc = decode_table(x, end, err);
	if (rc == 0)
		rc = buf_append(&x->clear, clear, l->clear, err);
	if (rc == 0)
		rc = buf_append(&x->sealed, sealed, l->sealed, err);
	memcpy(x->signature, sig, OBJECT_SIGNATURE);
	return rc;
}

/* len bytes, or ERR_CORRUPT when the object turns out shorter. */
static int
get_exactly(const struct object_input *in, uint64_t offset, void *data, size_t len, struct err *err)
{
	size_t got;
	int rc = in->get(in->arg, offset, data, len, &got, err);

	if (rc == 0 && got != len)
		rc = err_set(
		    err, ERR_CORRUPT, 0, "object ends early: %zu of %zu bytes at %llu", got, len, (unsigned long long)offset);
	return rc;
}

int
object_index_read(struct object_index **out, const struct object_input *in, struct err *err)
{
	OBJECT_INDEX_AUTO struct object_index *x = calloc(1, sizeof(*x));
	FREE_AUTO uint8_t *end = NULL;
	uint8_t last[FIRST_TAIL], header_buf[OBJECT_HEADER_MAX];
	const uint8_t *header = header_buf;
	size_t got, end_len;
	int rc;

	if (x == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object's index");
	x->clear.max = x->sealed.max = OBJECT_PART_MAX;
	rc = in->get_tail(in->arg, last, sizeof(last), &got, &x->size, err);
	if (rc < 0)
		return rc;
	if (got < OBJECT_TAIL || got > sizeof(last) || got > x->size)
		return err_set(err, ERR_CORRUPT, 0, "object of %llu bytes is too short to be one", (unsigned long long)x->size);
	rc = object_tail_decode(&x->lengths, x->digest, last + got - OBJECT_TAIL, err);
	if (rc < 0)
		return rc;
	end_len = (size_t)x->lengths.frames * OBJECT_TABLE_ENTRY + x->lengths.clear + x->lengths.sealed + x->lengths.signature +
		  OBJECT_TAIL;
	if (x->size != x->lengths.header + x->lengths.frame_bytes + end_len)
		return err_set(
		    err, ERR_CORRUPT, 0, "object is %llu bytes long, its tail says otherwise", (unsigned long long)x->size);
	if (got == x->size) {
		header = last; /* all of it came in one request */
	} else {
		rc = get_exactly(in, 0, header_buf, x->lengths.header, err);
		if (rc < 0)
			return rc;
	}
	if (end_len <= got) {
		rc = decode_end(x, header, last + got - end_len, err);
	} else {
		end = malloc(end_len);
		if (end == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for an object's index");
		rc = get_exactly(in, x->size - end_len, end, end_len, err);
		if (rc == 0)
			rc = decode_end(x, header, end, err);
	}
	if (rc < 0)
		return rc;
	*out = STEAL(x);
	return 0;
}

int
object_front_write(const struct object_index *x, const struct object_input *in, struct sink *to, struct err *err)
{
	uint8_t header[OBJECT_HEADER_MAX], digest[OBJECT_DIGEST];
	int rc = get_exactly(in, 0, header, x->lengths.header, err);

	if (rc < 0)
		return rc;
	object_hash(digest, header, x->lengths.header);
	if (memcmp(digest, x->header_digest, sizeof(digest)) != 0)
		return err_set(err, ERR_CORRUPT, 0, "its header is not the one that was checked");
	return sink_write(to, header, x->lengths.header, err);
}

int
object_end_write(const struct object_index *x, struct sink *to, struct err *err)
{
	uint8_t entry[OBJECT_TABLE_ENTRY], tail[OBJECT_TAIL];
	BUF_AUTO struct buf end = {.max = 3 * OBJECT_PART_MAX};
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < x->lengths.frames; i++) {
		object_table_entry(entry, &x->frames[i]);
		rc = buf_append(&end, entry, sizeof(entry), err);
	}
	if (rc == 0)
		rc = buf_append(&end, x->clear.data, x->clear.len, err);
	if (rc == 0)
		rc = buf_append(&end, x->sealed.data, x->sealed.len, err);
	if (rc == 0)
		rc = buf_append(&end, x->signature, sizeof(x->signature), err);
	object_tail_encode(tail, &x->lengths, x->digest);
	if (rc == 0)
		rc = buf_append(&end, tail, sizeof(tail), err);
	return rc < 0 ? rc : sink_write(to, end.data, end.len, err);
}

size_t
object_frame_plain(const struct object_index *x, uint32_t i)
{
	if (i + 1 < x->lengths.frames)
		return OBJECT_FRAME;
	return (size_t)(x->lengths.plain - (uint64_t)i * OBJECT_FRAME);
}

static struct object_frame_context
context_of(const struct object_index *x, const uint8_t *key, uint64_t number, bool last)
{
	return (struct object_frame_context){
	    .header_digest = x->header_digest,
	    .key = x->header.cipher != OBJECT_CIPHER_NONE ? key : NULL,
	    .codec = x->header.codec,
	    .number = number,
	    .last = last,
	};
}

static int
need_key(const struct object_index *x, const uint8_t *key, struct err *err)
{
	if (x->header.cipher != OBJECT_CIPHER_NONE && key == NULL)
		return err_set(err, ERR_BUG, 0, "object '%s' is encrypted and no key was given", x->header.name);
	return 0;
}

int
object_sealed_read(const struct object_index *x, const uint8_t *key, struct buf *out, struct err *err)
{
	struct object_frame_context c = context_of(x, key, OBJECT_SEALED_FRAME, true);
	int rc = need_key(x, key, err);

	return rc < 0 ? rc : object_part_open(&c, x->sealed.data, x->sealed.len, out, err);
}

/* The stored bytes of n frames from frame i on, with the digests that the table says. */
static int
fetch_frames(
    const struct object_index *x, const struct object_input *in, uint32_t i, uint32_t n, uint8_t *stored, struct err *err)
{
	size_t len = 0;
	int rc;

	if (n > OBJECT_HASH_LANES)
		return err_set(err, ERR_BUG, 0, "%u frames at once", n);
	if (i >= x->lengths.frames || n > x->lengths.frames - i)
		return err_set(
		    err, ERR_CORRUPT, 0, "frames from %u on are asked for and the object has %u", i, x->lengths.frames);
	for (uint32_t k = i; k < i + n; k++)
		len += x->frames[k].stored;
	rc = get_exactly(in, x->frames[i].offset, stored, len, err);
	return rc < 0 ? rc : object_digests_check(i, &x->frames[i], n, stored, err);
}

static int
open_frame(const struct object_index *x, const uint8_t *key, uint32_t i, uint8_t *stored, uint8_t *plain, struct err *err)
{
	const struct object_frame_context c = context_of(x, key, i, i + 1 == x->lengths.frames);

	return object_frame_open(&c, &x->frames[i], stored, plain, object_frame_plain(x, i), err);
}

int
object_frames_read(const struct object_index *x, const struct object_input *in, const uint8_t *key, uint32_t i, uint32_t n,
    uint8_t *stored, uint8_t *plain, struct err *err)
{
	int rc = need_key(x, key, err);

	if (rc == 0)
		rc = fetch_frames(x, in, i, n, stored, err);
	for (uint32_t k = i; rc == 0 && k < i + n; k++) {
		rc = open_frame(x, key, k, stored, plain, err);
		stored += x->frames[k].stored;
		plain += OBJECT_FRAME;
	}
	return rc;
}

int
object_frame_read(const struct object_index *x, const struct object_input *in, const uint8_t *key, uint32_t i, uint8_t *stored,
    uint8_t *plain, struct err *err)
{
	return object_frames_read(x, in, key, i, 1, stored, plain, err);
}

/* One frame under way. */
struct read_slot {
	struct worker_job job; /* first */
	const struct object_index *x;
	const struct object_input *in;
	const uint8_t *key;
	uint32_t i;
	int rc;
	struct err err;
	uint8_t plain[OBJECT_FRAME];
	uint8_t stored[OBJECT_FRAME_STORED_MAX];
};

static void
read_slot_run(struct worker_job *job)
{
	struct read_slot *s = (struct read_slot *)job;

	s->rc = object_frame_read(s->x, s->in, s->key, s->i, s->stored, s->plain, &s->err);
}

int
object_read_all(const struct object_index *x, const struct object_input *in, const uint8_t *key, struct worker_pool *pool,
    int (*each)(const void *data, size_t len, void *arg, struct err *err), void *arg, struct err *err)
{
	uint32_t n = x->lengths.frames, sent = 0, n_slots = (uint32_t)worker_pool_threads(pool) + 1;
	FREE_AUTO struct read_slot *slots = NULL;
	int rc = 0;

	if (n_slots > n)
		n_slots = n;
	slots = malloc((n_slots + 1) * sizeof(*slots));
	if (slots == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for frames");
	for (uint32_t i = 0; i < n; i++) {
		struct read_slot *s = &slots[i % n_slots];

		for (; rc == 0 && sent < n && sent < i + n_slots; sent++) {
			struct read_slot *t = &slots[sent % n_slots];

			*(&t->job) = (struct worker_job){.run = read_slot_run};
			t->x = x;
			t->in = in;
			t->key = key;
			t->i = sent;
			worker_submit(pool, &t->job);
		}
		if (i >= sent)
			break;
		worker_wait(pool, &s->job);
		if (rc == 0 && s->rc < 0) {
			rc = s->rc;
			if (err != NULL)
				*err = s->err;
		}
		if (rc == 0)
			rc = each(s->plain, object_frame_plain(x, i), arg, err);
	}
	return rc;
}

/* Shared by the threads that scatter an object. */
struct scatter {
	const struct object_index *x;
	const struct object_input *in;
	const uint8_t *key;
	object_put *put;
	void *arg;
};

/* As many frames as are checked at once; plain bytes are given on while they are in the processor's cache. */
struct scatter_slot {
	struct worker_job job; /* first */
	const struct scatter *s;
	uint32_t i;
	bool busy;
	int rc;
	struct err err;
	uint8_t plain[OBJECT_FRAME];
	uint8_t stored[OBJECT_HASH_LANES * OBJECT_FRAME_STORED_MAX];
};

static uint32_t
frames_from(const struct object_index *x, uint32_t i)
{
	return x->lengths.frames - i < OBJECT_HASH_LANES ? x->lengths.frames - i : OBJECT_HASH_LANES;
}

static int
scatter_frames(struct scatter_slot *t)
{
	const struct scatter *s = t->s;
	uint32_t n = frames_from(s->x, t->i);
	uint8_t *stored = t->stored;
	int rc = fetch_frames(s->x, s->in, t->i, n, stored, &t->err);

	for (uint32_t i = t->i; rc == 0 && i < t->i + n; i++) {
		rc = open_frame(s->x, s->key, i, stored, t->plain, &t->err);
		if (rc == 0)
			rc = s->put(t->plain, object_frame_plain(s->x, i), (uint64_t)i * OBJECT_FRAME, s->arg, &t->err);
		stored += s->x->frames[i].stored;
	}
	return rc;
}

static void
scatter_slot_run(struct worker_job *job)
{
	struct scatter_slot *t = (struct scatter_slot *)job;

	t->rc = scatter_frames(t);
}

static int
collect(struct worker_pool *pool, struct scatter_slot *t, int rc, struct err *err)
{
	if (!t->busy)
		return rc;
	worker_wait(pool, &t->job);
	t->busy = false;
	if (rc == 0 && t->rc < 0 && err != NULL)
		*err = t->err;
	return rc == 0 ? t->rc : rc;
}

/* A small object uses little of its one slot. */
static struct scatter_slot *
slots_new(const struct object_index *x, uint32_t n)
{
	return x->lengths.frames <= 1 ? malloc(n * sizeof(struct scatter_slot)) : buf_large(n * sizeof(struct scatter_slot));
}

int
object_scatter(const struct object_index *x, const struct object_input *in, const uint8_t *key, struct worker_pool *pool,
    object_put *put, void *arg, struct err *err)
{
	const struct scatter s = {x, in, key, put, arg};
	uint32_t n_slots = (uint32_t)worker_pool_threads(pool) + 1;
	FREE_AUTO struct scatter_slot *slots = slots_new(x, n_slots);
	int rc = need_key(x, key, err);

	if (slots == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for frames");
	for (uint32_t k = 0; k < n_slots; k++)
		slots[k].busy = false;
	for (uint32_t i = 0; rc == 0 && i < x->lengths.frames; i += OBJECT_HASH_LANES) {
		struct scatter_slot *t = &slots[i / OBJECT_HASH_LANES % n_slots];

		rc = collect(pool, t, rc, err);
		if (rc < 0)
			break;
		t->job = (struct worker_job){.run = scatter_slot_run};
		t->s = &s;
		t->i = i;
		t->busy = true;
		worker_submit(pool, &t->job);
	}
	for (uint32_t k = 0; k < n_slots; k++)
		rc = collect(pool, &slots[k], rc, err);
	return rc;
}

int
object_frames_check(const struct object_index *x, const struct object_input *in, struct err *err)
{
	FREE_AUTO uint8_t *stored = malloc(OBJECT_HASH_LANES * OBJECT_FRAME_STORED_MAX);
	int rc = 0;

	if (stored == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for frames");
	for (uint32_t i = 0; rc == 0 && i < x->lengths.frames; i += OBJECT_HASH_LANES)
		rc = fetch_frames(x, in, i, frames_from(x, i), stored, err);
	return rc;
}
