/*
 * Any bytes as a stored object: index, sealed part, every frame. A fuzzer finds no digests and no signatures, so where the
 * first byte asks for it they are made to fit: what then is left to refuse is what somebody could write who may sign.
 */
#include <sodium.h>
#include <string.h>

#include "codec/object_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIT_DIGESTS 0x01
#define USE_KEY 0x02

struct blob {
	uint8_t *data;
	size_t len;
};

static int
blob_get(void *arg, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	const struct blob *b = arg;
	size_t n = offset < b->len ? b->len - (size_t)offset : 0;

	(void)err;
	*got = n < len ? n : len;
	if (*got > 0)
		memcpy(data, b->data + offset, *got);
	return 0;
}

static int
blob_get_tail(void *arg, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	const struct blob *b = arg;

	*size = b->len;
	return blob_get(arg, b->len > len ? b->len - len : 0, data, len, got, err);
}

/* Digests of the frames, signature and object digest as they would be if these bytes had been written so. */
static void
fit(struct blob *b, const uint8_t signing[64])
{
	uint8_t header_digest[OBJECT_DIGEST], root[OBJECT_DIGEST], digest[OBJECT_DIGEST], *tail, *table;
	struct object_lengths l;
	uint64_t end, at;

	if (b->len < OBJECT_TAIL || object_tail_decode(&l, digest, tail = b->data + b->len - OBJECT_TAIL, NULL) < 0)
		return;
	end = (uint64_t)l.frames * OBJECT_TABLE_ENTRY + l.clear + l.sealed + l.signature + OBJECT_TAIL;
	if (b->len != l.header + l.frame_bytes + end)
		return;
	table = b->data + b->len - end;
	at = l.header;
	for (uint32_t i = 0; i < l.frames; i++) {
		uint8_t *e = table + (size_t)i * OBJECT_TABLE_ENTRY;
		uint32_t stored = (uint32_t)e[0] | (uint32_t)e[1] << 8 | (uint32_t)e[2] << 16 | (uint32_t)e[3] << 24;

		if (stored > l.header + l.frame_bytes - at)
			break;
		object_hash(e + 8, b->data + at, stored);
		at += stored;
	}
	object_hash(header_digest, b->data, l.header);
	table += (size_t)l.frames * OBJECT_TABLE_ENTRY;
	object_root(root, header_digest, b->data + b->len - end, table, table + l.clear, &l);
	object_signature_make(tail - OBJECT_SIGNATURE, root, signing);
	object_digest(digest, root, tail - OBJECT_SIGNATURE, l.signature);
	object_tail_encode(tail, &l, digest);
}

static int
each(const void *data, size_t len, void *arg, struct err *err)
{
	uint64_t *plain = arg;

	(void)data;
	(void)err;
	if (len == 0 || len > OBJECT_FRAME)
		abort();
	*plain += len;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[OBJECT_KEY] = {3}, seed[crypto_sign_SEEDBYTES] = {1};
	uint8_t signing[64], public_key[32];
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	BUF_AUTO struct buf sealed = {0};
	struct blob b;
	struct object_input in = {blob_get, blob_get_tail, &b};
	uint64_t plain = 0;

	if (size < 1 || sodium_init() < 0)
		return 0;
	b = (struct blob){malloc(size), size - 1};
	if (b.data == NULL)
		return 0;
	memcpy(b.data, data + 1, b.len);
	crypto_sign_seed_keypair(public_key, signing, seed);
	if ((data[0] & FIT_DIGESTS) != 0)
		fit(&b, signing);
	if (object_index_read(&x, &in, NULL) == 0) {
		if (memchr(x->header.name, '\0', sizeof(x->header.name)) == NULL || x->clear.len != x->lengths.clear)
			abort();
		if (object_read_all(x, &in, (data[0] & USE_KEY) != 0 ? key : NULL, NULL, each, &plain, NULL) == 0 &&
		    plain != x->lengths.plain)
			abort();
		(void)object_sealed_read(x, (data[0] & USE_KEY) != 0 ? key : NULL, &sealed, NULL);
		(void)object_frames_check(x, &in, NULL);
	}
	free(b.data);
	return 0;
}
