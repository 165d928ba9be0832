/*
 * BLAKE2b of four buffers side by side. One BLAKE2b is a chain of operations that wait for each other, and a processor with
 * AVX2 is three quarters idle in it; four chains fill it. libsodium has no such function, and its single one is what a backup
 * of bytes that do not compress spends most time in. The result is the same digest, as RFC 7693 defines it, and the tests
 * compare it with libsodium's. Without AVX2 the buffers are hashed one after the other.
 */
#include "codec/object.h"

#ifdef __x86_64__
#include <immintrin.h>

#define LANES 4
#define BLOCK 128
#define ROUNDS 12
#define PARAMETERS (UINT64_C(0x01010000) | OBJECT_DIGEST) /* no key, no tree */

static const uint64_t iv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static const uint8_t sigma[ROUNDS][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

#define AVX2 __attribute__((target("avx2")))
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Words 4·at and the three behind it of all lanes, turned so that a vector has the same word of each. */
AVX2 static ALWAYS_INLINE void
load_words(__m256i m[16], const uint8_t *const block[LANES], int at)
{
	__m256i r[LANES], lo01, hi01, lo23, hi23;

	for (int i = 0; i < LANES; i++)
		r[i] = _mm256_loadu_si256((const __m256i *)(const void *)(block[i] + at * 32));
	lo01 = _mm256_unpacklo_epi64(r[0], r[1]);
	hi01 = _mm256_unpackhi_epi64(r[0], r[1]);
	lo23 = _mm256_unpacklo_epi64(r[2], r[3]);
	hi23 = _mm256_unpackhi_epi64(r[2], r[3]);
	m[at * 4] = _mm256_permute2x128_si256(lo01, lo23, 0x20);
	m[at * 4 + 1] = _mm256_permute2x128_si256(hi01, hi23, 0x20);
	m[at * 4 + 2] = _mm256_permute2x128_si256(lo01, lo23, 0x31);
	m[at * 4 + 3] = _mm256_permute2x128_si256(hi01, hi23, 0x31);
}

/* The mixing function G on one column or diagonal. */
AVX2 static ALWAYS_INLINE void
mix(__m256i v[16], int a, int b, int c, int d, __m256i x, __m256i y)
{
	const __m256i right24 = _mm256_setr_epi8(
	    3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10, 3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10);
	const __m256i right16 = _mm256_setr_epi8(
	    2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9, 2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);

	v[a] = _mm256_add_epi64(_mm256_add_epi64(v[a], v[b]), x);
	v[d] = _mm256_shuffle_epi32(_mm256_xor_si256(v[d], v[a]), 0xb1);
	v[c] = _mm256_add_epi64(v[c], v[d]);
	v[b] = _mm256_shuffle_epi8(_mm256_xor_si256(v[b], v[c]), right24);
	v[a] = _mm256_add_epi64(_mm256_add_epi64(v[a], v[b]), y);
	v[d] = _mm256_shuffle_epi8(_mm256_xor_si256(v[d], v[a]), right16);
	v[c] = _mm256_add_epi64(v[c], v[d]);
	v[b] = _mm256_xor_si256(v[b], v[c]);
	v[b] = _mm256_or_si256(_mm256_srli_epi64(v[b], 63), _mm256_add_epi64(v[b], v[b]));
}

/* One block of each lane. counts: bytes up to and with this block; last: all ones where it is the last of its lane. */
AVX2 static void
compress(__m256i h[8], const uint8_t *const block[LANES], __m256i counts, __m256i last)
{
	__m256i m[16], v[16];

	for (int i = 0; i < 4; i++)
		load_words(m, block, i);
	for (int i = 0; i < 8; i++) {
		v[i] = h[i];
		v[i + 8] = _mm256_set1_epi64x((long long)iv[i]);
	}
	v[12] = _mm256_xor_si256(v[12], counts);
	v[14] = _mm256_xor_si256(v[14], last);
#pragma GCC unroll 12
	for (int r = 0; r < ROUNDS; r++) {
		const uint8_t *s = sigma[r];

		mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
		mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
		mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
		mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
		mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
		mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
		mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
		mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
	}
	for (int i = 0; i < 8; i++)
		h[i] = _mm256_xor_si256(h[i], _mm256_xor_si256(v[i], v[i + 8]));
}

/* The digest is the first words of the lane's state. */
AVX2 static void
take_digest(const __m256i h[8], int lane, uint8_t *out)
{
	uint64_t words[OBJECT_DIGEST / 8][LANES];

	for (int i = 0; i < OBJECT_DIGEST / 8; i++)
		_mm256_storeu_si256((__m256i *)(void *)words[i], h[i]);
	for (int i = 0; i < OBJECT_DIGEST / 8; i++)
		memcpy(out + i * 8, &words[i][lane], 8);
}

/* Lanes that are done, or were never used, go on with zeros that nobody looks at. */
AVX2 static void
hash_lanes(const struct object_hash_job *jobs, size_t n)
{
	static const uint8_t zeros[BLOCK];
	uint8_t end[LANES][BLOCK];
	size_t blocks[LANES] = {0}, most = 0;
	__m256i h[8];

	for (int i = 0; i < 8; i++)
		h[i] = _mm256_set1_epi64x((long long)(i == 0 ? iv[0] ^ PARAMETERS : iv[i]));
	for (size_t i = 0; i < n; i++) {
		blocks[i] = jobs[i].len == 0 ? 1 : (jobs[i].len + BLOCK - 1) / BLOCK;
		most = blocks[i] > most ? blocks[i] : most;
	}
	for (size_t at = 0; at < most; at++) {
		const uint8_t *block[LANES] = {zeros, zeros, zeros, zeros};
		uint64_t counts[LANES], last[LANES] = {0};

		for (size_t i = 0; i < LANES; i++) {
			counts[i] = (at + 1) * BLOCK;
			if (at + 1 < blocks[i]) {
				block[i] = jobs[i].data + at * BLOCK;
			} else if (at + 1 == blocks[i]) {
				size_t left = jobs[i].len - at * BLOCK;

				memset(end[i], 0, BLOCK);
				memcpy(end[i], jobs[i].data + at * BLOCK, left);
				block[i] = end[i];
				counts[i] = jobs[i].len;
				last[i] = UINT64_MAX;
			}
		}
		compress(h, block, _mm256_loadu_si256((const __m256i *)(const void *)counts),
		    _mm256_loadu_si256((const __m256i *)(const void *)last));
		for (size_t i = 0; i < n; i++)
			if (at + 1 == blocks[i])
				take_digest(h, (int)i, jobs[i].out);
	}
}

static bool
has_lanes(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
static void
hash_lanes(const struct object_hash_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		object_hash(jobs[i].out, jobs[i].data, jobs[i].len);
}

static bool
has_lanes(void)
{
	return false;
}
#endif

void
object_hash_many(const struct object_hash_job *jobs, size_t n)
{
	/* a single one is not faster in lanes */
	if (n > 1 && n <= OBJECT_HASH_LANES && has_lanes()) {
		hash_lanes(jobs, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		object_hash(jobs[i].out, jobs[i].data, jobs[i].len);
}
