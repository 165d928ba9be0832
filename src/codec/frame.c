/* One frame: compress -> encrypt, and back; the digests of several are made and checked at once. A frame that does not shrink
 * is kept as it is. */
#include <lz4.h>
#include <sodium.h>
#include <zstd.h>

#include "base/bytes.h"
#include "codec/object.h"

#define ASSOCIATED (OBJECT_DIGEST + 8 + 1 + 1 + 4)
#define ZSTD_LEVEL 1

void
object_codec_state_free(void *state)
{
	ZSTD_freeCCtx(state);
}

static void
associated_data(uint8_t out[ASSOCIATED], const struct object_frame_context *c, uint8_t encoding, size_t plain_len)
{
	memcpy(out, c->header_digest, OBJECT_DIGEST);
	le64_put(out + OBJECT_DIGEST, c->number);
	out[OBJECT_DIGEST + 8] = c->last;
	out[OBJECT_DIGEST + 9] = encoding;
	le32_put(out + OBJECT_DIGEST + 10, (uint32_t)plain_len);
}

static void
nonce_of(uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES], uint64_t number)
{
	memset(nonce, 0, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	le64_put(nonce, number);
}

/* Bytes in packed, which has room for len, or 0 when they would not be fewer. */
static size_t
compress(void **state, uint8_t codec, const uint8_t *plain, size_t len, uint8_t *packed)
{
	size_t n;
	int lz;

	switch (codec) {
	case OBJECT_CODEC_LZ4:
		lz = LZ4_compress_default((const char *)plain, (char *)packed, (int)len, (int)len - 1);
		return lz > 0 ? (size_t)lz : 0;
	case OBJECT_CODEC_ZSTD:
		if (*state == NULL)
			*state = ZSTD_createCCtx();
		if (*state == NULL)
			return 0;
		n = ZSTD_compressCCtx(*state, packed, len - 1, plain, len, ZSTD_LEVEL);
		return ZSTD_isError(n) ? 0 : n;
	default:
		return 0;
	}
}

int
object_frame_seal(const struct object_frame_context *c, const uint8_t *plain, size_t len, uint8_t *out,
    struct object_frame *frame, void **codec_state, struct err *err)
{
	uint8_t ad[ASSOCIATED], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
	unsigned long long stored;
	const uint8_t *packed;
	size_t n;

	if (len == 0 || len > OBJECT_FRAME)
		return err_set(err, ERR_BUG, 0, "a frame of %zu bytes", len);
	n = len > 1 ? compress(codec_state, c->codec, plain, len, out) : 0;
	frame->encoding = n > 0 ? c->codec : OBJECT_CODEC_NONE;
	packed = n > 0 ? out : plain;
	stored = n > 0 ? n : len;
	if (c->key != NULL) {
		/* in place when it is compressed: the cipher allows that */
		associated_data(ad, c, frame->encoding, len);
		nonce_of(nonce, c->number);
		crypto_aead_xchacha20poly1305_ietf_encrypt(out, &stored, packed, stored, ad, sizeof(ad), NULL, nonce, c->key);
	} else if (packed != out) {
		memcpy(out, packed, stored);
	}
	frame->stored = (uint32_t)stored;
	return 0;
}

/* The bytes behind the encryption: packed has room for OBJECT_FRAME bytes, and may be stored itself. */
static int
decrypt(const struct object_frame_context *c, const struct object_frame *frame, const uint8_t *stored, uint8_t *packed,
    size_t want, size_t *len, struct err *err)
{
	uint8_t ad[ASSOCIATED], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
	unsigned long long n;

	associated_data(ad, c, frame->encoding, want);
	nonce_of(nonce, c->number);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		packed, &n, NULL, stored, frame->stored, ad, sizeof(ad), nonce, c->key) != 0)
		return err_set(err, ERR_CORRUPT, 0, "frame %llu does not open with its key", (unsigned long long)c->number);
	*len = (size_t)n;
	return 0;
}

static int
decompress(uint8_t encoding, const uint8_t *packed, size_t len, uint8_t *plain, size_t want, struct err *err)
{
	size_t n = 0;

	if (encoding == OBJECT_CODEC_LZ4) {
		int lz = LZ4_decompress_safe((const char *)packed, (char *)plain, (int)len, (int)want);

		n = lz > 0 ? (size_t)lz : 0;
	} else if (encoding == OBJECT_CODEC_ZSTD) {
		n = ZSTD_decompress(plain, want, packed, len);
		if (ZSTD_isError(n))
			n = 0;
	}
	if (n != want)
		return err_set(err, ERR_CORRUPT, 0, "a frame does not decompress to its %zu bytes", want);
	return 0;
}

int
object_digests_check(uint64_t first, const struct object_frame *frames, size_t n, const uint8_t *stored, struct err *err)
{
	uint8_t digests[OBJECT_HASH_LANES][OBJECT_DIGEST];
	struct object_hash_job jobs[OBJECT_HASH_LANES] = {0};

	if (n > OBJECT_HASH_LANES)
		return err_set(err, ERR_BUG, 0, "%zu frames at once", n);
	for (size_t i = 0; i < n; i++) {
		jobs[i] = (struct object_hash_job){stored, frames[i].stored, digests[i]};
		stored += frames[i].stored;
	}
	object_hash_many(jobs, n);
	for (size_t i = 0; i < n; i++)
		if (memcmp(digests[i], frames[i].digest, OBJECT_DIGEST) != 0)
			return err_set(err, ERR_CORRUPT, 0, "frame %llu has other bytes than its digest says",
			    (unsigned long long)(first + i));
	return 0;
}

int
object_frame_open(const struct object_frame_context *c, const struct object_frame *frame, uint8_t *stored, uint8_t *plain,
    size_t want, struct err *err)
{
	size_t overhead = c->key != NULL ? OBJECT_TAG : 0, len;
	int rc;

	if (want == 0 || want > OBJECT_FRAME || frame->stored <= overhead || frame->stored > want + overhead)
		return err_set(err, ERR_CORRUPT, 0, "frame %llu has an impossible length", (unsigned long long)c->number);
	if (frame->encoding == OBJECT_CODEC_NONE) {
		if (frame->stored != want + overhead)
			return err_set(err, ERR_CORRUPT, 0, "frame %llu is too short", (unsigned long long)c->number);
		if (c->key != NULL)
			return decrypt(c, frame, stored, plain, want, &len, err);
		memcpy(plain, stored, want);
		return 0;
	}
	if (c->key == NULL)
		return decompress(frame->encoding, stored, frame->stored, plain, want, err);
	rc = decrypt(c, frame, stored, stored, want, &len, err);
	return rc < 0 ? rc : decompress(frame->encoding, stored, len, plain, want, err);
}

int
object_part_seal(const struct object_frame_context *c, const void *plain, size_t len, struct buf *out, struct err *err)
{
	uint8_t ad[ASSOCIATED], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
	int rc;

	if (len > OBJECT_PART_MAX - OBJECT_TAG)
		return err_set(err, ERR_BUG, 0, "a sealed part of %zu bytes", len);
	if (c->key == NULL || len == 0)
		return buf_append(out, plain, len, err);
	rc = buf_reserve(out, len + OBJECT_TAG, err);
	if (rc < 0)
		return rc;
	associated_data(ad, c, OBJECT_CODEC_NONE, len);
	nonce_of(nonce, c->number);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out->data + out->len, NULL, plain, len, ad, sizeof(ad), NULL, nonce, c->key);
	out->len += len + OBJECT_TAG;
	return 0;
}

int
object_part_open(const struct object_frame_context *c, const void *stored, size_t len, struct buf *out, struct err *err)
{
	struct object_frame f = {.stored = (uint32_t)len, .encoding = OBJECT_CODEC_NONE};
	size_t n;
	int rc;

	if (c->key == NULL || len == 0)
		return buf_append(out, stored, len, err);
	if (len <= OBJECT_TAG)
		return err_set(err, ERR_CORRUPT, 0, "sealed part is too short");
	rc = buf_reserve(out, len, err);
	if (rc == 0)
		rc = decrypt(c, &f, stored, out->data + out->len, len - OBJECT_TAG, &n, err);
	if (rc < 0)
		return rc;
	out->len += n;
	out->data[out->len] = '\0';
	return 0;
}
