#include "memory.h"

#include <sodium.h>

#include "check.h"

struct memory_sink {
	struct sink sink; /* first */
	struct memory_place *place;
	struct buf bytes;
	bool failed;
};

static int
failure(struct memory_sink *s, const char *what, struct err *err)
{
	s->failed = true;
	return err_set(err, s->place->fail_kind != 0 ? s->place->fail_kind : ERR_IO, 0, "%s fails as the test wants", what);
}

static int
memory_sink_write(struct sink *sink, const void *data, size_t len, struct err *err)
{
	struct memory_sink *s = (struct memory_sink *)sink;

	s->place->calls++;
	s->place->after_err += s->failed;
	if (s->bytes.len + len > s->place->fail_at)
		return failure(s, "write", err);
	return buf_append(&s->bytes, data, len, err);
}

static int
memory_sink_finish(struct sink *sink, struct err *err)
{
	struct memory_sink *s = (struct memory_sink *)sink;

	s->place->after_err += s->failed || s->place->finished;
	if (s->place->fail_finish)
		return failure(s, "finish", err);
	s->place->finished = true;
	return buf_append(&s->place->visible, s->bytes.data, s->bytes.len, err);
}

static void
memory_sink_free(struct sink *sink)
{
	struct memory_sink *s = (struct memory_sink *)sink;

	s->place->open--;
	buf_free(&s->bytes);
	free(s);
}

static const struct sink_ops memory_sink_ops = {memory_sink_write, memory_sink_finish, memory_sink_free};

struct sink *
memory_sink(struct memory_place *p)
{
	struct memory_sink *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->sink.ops = &memory_sink_ops;
	s->place = p;
	p->open++;
	return &s->sink;
}

static int
memory_get(void *arg, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	struct memory_blob *b = arg;
	size_t n = offset < b->len ? b->len - (size_t)offset : 0;

	if (n > len)
		n = len;
	if (b->fail_get_at >= offset && b->fail_get_at - offset < n)
		return err_set(err, ERR_RETRY, 0, "get fails as the test wants");
	if (b->short_get && n > 0)
		n--;
	if (n > 0)
		memcpy(data, b->data + offset, n);
	*got = n;
	return 0;
}

static int
memory_get_tail(void *arg, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	struct memory_blob *b = arg;
	size_t n = b->len < len ? b->len : len;

	if (b->tail_kind != 0)
		return err_set(err, b->tail_kind, 0, "get_tail fails as the test wants");
	if (b->short_tail)
		n = n < 200 ? n : 200;
	if (n > 0)
		memcpy(data, b->data + b->len - n, n);
	*got = n;
	*size = b->size != 0 ? b->size : b->len;
	return 0;
}

struct object_input
memory_input(struct memory_blob *b)
{
	return (struct object_input){memory_get, memory_get_tail, b};
}

void
memory_signing_key(uint8_t secret[64], uint8_t number)
{
	uint8_t seed[32] = {number}, public_key[32];

	crypto_sign_seed_keypair(public_key, secret, seed);
}

void
memory_object_write(const struct memory_object *o, struct memory_blob *blob)
{
	struct memory_place place = {.fail_at = UINT64_MAX};
	OBJECT_WRITER_AUTO struct object_writer *w = NULL;
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	uint8_t signing[64];
	struct object_spec spec = {.header = {.kind = o->kind, .codec = o->codec, .cluster = {7}},
	    .key = o->key,
	    .signing_key = signing,
	    .pool = o->pool};
	size_t step = o->step != 0 ? o->step : o->len + 1;
	struct err err = {0};

	memory_signing_key(signing, o->signer != 0 ? o->signer : 1);
	(void)snprintf(spec.header.name, sizeof(spec.header.name), "%s", o->name != NULL ? o->name : "wal/1/x");
	if (o->key != NULL) {
		spec.header.cipher = OBJECT_CIPHER_XCHACHA20POLY1305;
		spec.header.sealed_key_len = 84;
		memset(spec.header.sealed_key, 0x5a, 84);
		memset(spec.header.key_id, 0x1d, sizeof(spec.header.key_id));
	}
	must(object_writer_new(&w, &spec, memory_sink(&place), &err), &err);
	for (size_t at = 0; at < o->len; at += step)
		must(object_writer_write(w, (const uint8_t *)o->plain + at, o->len - at < step ? o->len - at : step, &err),
		    &err);
	assert_int_equal(object_writer_plain(w), o->len);
	if (o->clear != NULL)
		must(buf_append(&clear, o->clear, strlen(o->clear), &err), &err);
	if (o->sealed != NULL)
		must(buf_append(&sealed, o->sealed, strlen(o->sealed), &err), &err);
	must(object_writer_finish(w, &clear, &sealed, NULL, &err), &err);
	assert_true(place.finished);
	*blob = (struct memory_blob){.data = place.visible.data, .len = place.visible.len, .fail_get_at = UINT64_MAX};
}

static int
collect(const void *data, size_t len, void *arg, struct err *err)
{
	return buf_append(arg, data, len, err);
}

int
memory_read(struct memory_blob *b, const uint8_t *key, struct worker_pool *pool, struct buf *out, struct err *err)
{
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	BUF_AUTO struct buf sealed = {0};
	struct object_input in = memory_input(b);
	int rc = object_index_read(&x, &in, err);

	if (rc == 0)
		rc = object_read_all(x, &in, key, pool, collect, out, err);
	if (rc == 0)
		rc = object_sealed_read(x, key, &sealed, err);
	return rc;
}
