/*
 * The candidates. libsodium, lz4, zstd and xxhash are what the product links; OpenSSL's rows are there to know what it would
 * bring, and are left out where its development files are missing.
 */
#include <stdlib.h>
#include <string.h>

#include <lz4.h>
#include <lz4frame.h>
#include <sodium.h>
#include <xxhash.h>
#include <zstd.h>
#ifdef HAVE_LIBCRYPTO
#include <openssl/evp.h>
#endif
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#include "candidates.h"

#define TAG ((size_t)16)

struct work {
	uint8_t secret[XXH3_SECRET_SIZE_MIN + 56]; /* 192 bytes, xxhash's own default length */
	uint8_t key[32];
	uint8_t nonce[24];
	crypto_aead_aes256gcm_state aes;
	ZSTD_CCtx *zstd_in;
	ZSTD_DCtx *zstd_out;
	LZ4F_dctx *lz4_out;
#ifdef HAVE_LIBCRYPTO
	EVP_MD *sha256;
	EVP_CIPHER_CTX *gcm_in;
	EVP_CIPHER_CTX *gcm_out;
	EVP_CIPHER_CTX *chacha_in;
	EVP_CIPHER_CTX *chacha_out;
#endif
};

/*
 * Checks and digests
 */

static size_t
run_memcpy(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	(void)w;
	memcpy(out, in, len);
	return len;
}

#ifdef __x86_64__
static bool
has_crc32c(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) static size_t
run_crc32c(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	uint64_t crc = UINT32_MAX;
	uint32_t sum;
	size_t i;

	(void)w;
	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t eight;

		memcpy(&eight, in + i, sizeof(eight));
		crc = _mm_crc32_u64(crc, eight);
	}
	sum = (uint32_t)crc;
	for (; i < len; i++)
		sum = _mm_crc32_u8(sum, in[i]);
	memcpy(out, &sum, sizeof(sum));
	return sizeof(sum);
}
#endif

static size_t
run_xxh3(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSecret(in, len, w->secret, sizeof(w->secret)));
	memcpy(out, &canonical, sizeof(canonical));
	return sizeof(canonical);
}

static size_t
run_blake2b(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return crypto_generichash(out, 32, in, len, w->key, sizeof(w->key)) == 0 ? 32 : 0;
}

static size_t
run_sha256(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	(void)w;
	return crypto_hash_sha256(out, in, len) == 0 ? crypto_hash_sha256_BYTES : 0;
}

/*
 * Ciphers
 */

static size_t
seal_xchacha(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	unsigned long long n = 0;
	int rc = crypto_aead_xchacha20poly1305_ietf_encrypt(out, &n, in, len, NULL, 0, NULL, w->nonce, w->key);

	return rc == 0 ? (size_t)n : 0;
}

static size_t
open_xchacha(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	unsigned long long n = 0;
	int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(out, &n, NULL, in, len, NULL, 0, w->nonce, w->key);

	return rc == 0 ? (size_t)n : 0;
}

static size_t
seal_chacha(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	unsigned long long n = 0;
	int rc = crypto_aead_chacha20poly1305_ietf_encrypt(out, &n, in, len, NULL, 0, NULL, w->nonce, w->key);

	return rc == 0 ? (size_t)n : 0;
}

static size_t
open_chacha(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	unsigned long long n = 0;
	int rc = crypto_aead_chacha20poly1305_ietf_decrypt(out, &n, NULL, in, len, NULL, 0, w->nonce, w->key);

	return rc == 0 ? (size_t)n : 0;
}

static bool
has_aes(void)
{
	return crypto_aead_aes256gcm_is_available() == 1;
}

static size_t
seal_aes(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	unsigned long long n = 0;
	int rc = crypto_aead_aes256gcm_encrypt_afternm(out, &n, in, len, NULL, 0, NULL, w->nonce, &w->aes);

	return rc == 0 ? (size_t)n : 0;
}

static size_t
open_aes(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	unsigned long long n = 0;
	int rc = crypto_aead_aes256gcm_decrypt_afternm(out, &n, NULL, in, len, NULL, 0, w->nonce, &w->aes);

	return rc == 0 ? (size_t)n : 0;
}

/*
 * OpenSSL: the digest and the ciphers are fetched once, as its manual asks
 */
#ifdef HAVE_LIBCRYPTO
static size_t
run_ossl_sha256(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	unsigned int n = 0;

	return EVP_Digest(in, len, out, &n, w->sha256, NULL) == 1 ? n : 0;
}

static size_t
ossl_seal(EVP_CIPHER_CTX *c, const struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	int n = 0;
	int tail = 0;

	if (EVP_EncryptInit_ex(c, NULL, NULL, NULL, w->nonce) != 1 || EVP_EncryptUpdate(c, out, &n, in, (int)len) != 1 ||
	    EVP_EncryptFinal_ex(c, out + n, &tail) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, (int)TAG, out + len) != 1)
		return 0;
	return len + TAG;
}

static size_t
ossl_open(EVP_CIPHER_CTX *c, const struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t tag[TAG];
	size_t plain = len - TAG;
	int n = 0;
	int tail = 0;

	memcpy(tag, in + plain, TAG);
	if (EVP_DecryptInit_ex(c, NULL, NULL, NULL, w->nonce) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, (int)TAG, tag) != 1 ||
	    EVP_DecryptUpdate(c, out, &n, in, (int)plain) != 1 || EVP_DecryptFinal_ex(c, out + n, &tail) != 1)
		return 0;
	return plain;
}

static size_t
seal_ossl_aes(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return ossl_seal(w->gcm_in, w, out, in, len);
}

static size_t
open_ossl_aes(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return ossl_open(w->gcm_out, w, out, in, len);
}

static size_t
seal_ossl_chacha(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return ossl_seal(w->chacha_in, w, out, in, len);
}

static size_t
open_ossl_chacha(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return ossl_open(w->chacha_out, w, out, in, len);
}

static bool
ossl_new(struct work *w)
{
	w->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	w->gcm_in = EVP_CIPHER_CTX_new();
	w->gcm_out = EVP_CIPHER_CTX_new();
	w->chacha_in = EVP_CIPHER_CTX_new();
	w->chacha_out = EVP_CIPHER_CTX_new();
	return w->sha256 != NULL && w->gcm_in != NULL && w->gcm_out != NULL && w->chacha_in != NULL && w->chacha_out != NULL &&
	       EVP_EncryptInit_ex(w->gcm_in, EVP_aes_256_gcm(), NULL, w->key, w->nonce) == 1 &&
	       EVP_DecryptInit_ex(w->gcm_out, EVP_aes_256_gcm(), NULL, w->key, w->nonce) == 1 &&
	       EVP_EncryptInit_ex(w->chacha_in, EVP_chacha20_poly1305(), NULL, w->key, w->nonce) == 1 &&
	       EVP_DecryptInit_ex(w->chacha_out, EVP_chacha20_poly1305(), NULL, w->key, w->nonce) == 1;
}

static void
ossl_free(struct work *w)
{
	EVP_MD_free(w->sha256);
	EVP_CIPHER_CTX_free(w->gcm_in);
	EVP_CIPHER_CTX_free(w->gcm_out);
	EVP_CIPHER_CTX_free(w->chacha_in);
	EVP_CIPHER_CTX_free(w->chacha_out);
}
#endif

/*
 * Codecs
 */

static size_t
lz4_fast(uint8_t *out, const uint8_t *in, size_t len, int acceleration)
{
	int n = LZ4_compress_fast((const char *)in, (char *)out, (int)len, (int)PIECE_STORED, acceleration);

	return n > 0 ? (size_t)n : 0;
}

static size_t
press_lz4(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	(void)w;
	return lz4_fast(out, in, len, 1);
}

static size_t
press_lz4_2(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	(void)w;
	return lz4_fast(out, in, len, 2);
}

static size_t
unpress_lz4(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	int n = LZ4_decompress_safe((const char *)in, (char *)out, (int)len, (int)PIECE);

	(void)w;
	return n > 0 ? (size_t)n : 0;
}

static size_t
press_lz4f(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	LZ4F_preferences_t how = {.frameInfo = {.blockSizeID = LZ4F_max1MB, .blockMode = LZ4F_blockIndependent}};
	size_t n = LZ4F_compressFrame(out, PIECE_STORED, in, len, &how);

	(void)w;
	return LZ4F_isError(n) ? 0 : n;
}

static size_t
unpress_lz4f(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	size_t made = PIECE;
	size_t eaten = len;
	size_t more = LZ4F_decompress(w->lz4_out, out, &made, in, &eaten, NULL);

	return more == 0 && eaten == len ? made : 0;
}

static size_t
zstd_level(struct work *w, uint8_t *out, const uint8_t *in, size_t len, int level)
{
	size_t n = ZSTD_compressCCtx(w->zstd_in, out, PIECE_STORED, in, len, level);

	return ZSTD_isError(n) ? 0 : n;
}

static size_t
press_zstd_fast(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return zstd_level(w, out, in, len, -1);
}

static size_t
press_zstd_1(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return zstd_level(w, out, in, len, 1);
}

static size_t
press_zstd_3(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	return zstd_level(w, out, in, len, 3);
}

static size_t
unpress_zstd(struct work *w, uint8_t *out, const uint8_t *in, size_t len)
{
	size_t n = ZSTD_decompressDCtx(w->zstd_out, out, PIECE, in, len);

	return ZSTD_isError(n) ? 0 : n;
}

const struct candidate candidates[] = {
    {"memcpy", CANDIDATE_DIGEST, NULL, run_memcpy, NULL},
#ifdef __x86_64__
    {"CRC32C (SSE 4.2, 8 bytes a step)", CANDIDATE_DIGEST, has_crc32c, run_crc32c, NULL},
#endif
    {"XXH3-128 with secret", CANDIDATE_DIGEST, NULL, run_xxh3, NULL},
    {"BLAKE2b-256 keyed", CANDIDATE_DIGEST, NULL, run_blake2b, NULL},
    {"SHA-256 (libsodium)", CANDIDATE_DIGEST, NULL, run_sha256, NULL},
#ifdef HAVE_LIBCRYPTO
    {"SHA-256 (OpenSSL)", CANDIDATE_DIGEST, NULL, run_ossl_sha256, NULL},
#endif
    {"XChaCha20-Poly1305", CANDIDATE_CIPHER, NULL, seal_xchacha, open_xchacha},
    {"ChaCha20-Poly1305-IETF", CANDIDATE_CIPHER, NULL, seal_chacha, open_chacha},
    {"AES-256-GCM (libsodium)", CANDIDATE_CIPHER, has_aes, seal_aes, open_aes},
#ifdef HAVE_LIBCRYPTO
    {"AES-256-GCM (OpenSSL)", CANDIDATE_CIPHER, NULL, seal_ossl_aes, open_ossl_aes},
    {"ChaCha20-Poly1305 (OpenSSL)", CANDIDATE_CIPHER, NULL, seal_ossl_chacha, open_ossl_chacha},
#endif
    {"LZ4 block", CANDIDATE_CODEC, NULL, press_lz4, unpress_lz4},
    {"LZ4 frame, level 0", CANDIDATE_CODEC, NULL, press_lz4f, unpress_lz4f},
    {"LZ4 block, acceleration 2", CANDIDATE_CODEC, NULL, press_lz4_2, unpress_lz4},
    {"zstd -1", CANDIDATE_CODEC, NULL, press_zstd_fast, unpress_zstd},
    {"zstd 1", CANDIDATE_CODEC, NULL, press_zstd_1, unpress_zstd},
    {"zstd 3", CANDIDATE_CODEC, NULL, press_zstd_3, unpress_zstd},
};
const size_t candidates_count = sizeof(candidates) / sizeof(candidates[0]);

const struct candidate *
candidate_find(const char *name)
{
	for (size_t i = 0; i < candidates_count; i++) {
		const struct candidate *c = &candidates[i];

		if (strcmp(c->name, name) == 0)
			return c->available == NULL || c->available() ? c : NULL;
	}
	return NULL;
}

struct work *
work_new(void)
{
	struct work *w = aligned_alloc(_Alignof(struct work), sizeof(*w));

	if (w == NULL)
		return NULL;
	memset(w, 0, sizeof(*w));
	randombytes_buf(w->secret, sizeof(w->secret));
	randombytes_buf(w->key, sizeof(w->key));
	w->zstd_in = ZSTD_createCCtx();
	w->zstd_out = ZSTD_createDCtx();
	if (w->zstd_in == NULL || w->zstd_out == NULL ||
	    LZ4F_isError(LZ4F_createDecompressionContext(&w->lz4_out, LZ4F_VERSION)) ||
	    (has_aes() && crypto_aead_aes256gcm_beforenm(&w->aes, w->key) != 0)) {
		work_free(w);
		return NULL;
	}
#ifdef HAVE_LIBCRYPTO
	if (!ossl_new(w)) {
		work_free(w);
		return NULL;
	}
#endif
	return w;
}

void
work_free(struct work *w)
{
	if (w == NULL)
		return;
#ifdef HAVE_LIBCRYPTO
	ossl_free(w);
#endif
	(void)ZSTD_freeCCtx(w->zstd_in);
	(void)ZSTD_freeDCtx(w->zstd_out);
	(void)LZ4F_freeDecompressionContext(w->lz4_out);
	free(w);
}
