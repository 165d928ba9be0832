/*
 * What could become a stage of the stored form: checks, digests, ciphers and codecs behind one shape, so that the benchmark
 * measures each in the same way and can chain any of them.
 */
#ifndef PGCAIRN_BENCH_CANDIDATES_H
#define PGCAIRN_BENCH_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIECE ((size_t)1 << 20)          /* the largest frame of the stored form */
#define PIECE_STORED (PIECE + PIECE / 8) /* more than any candidate can make of a piece */

/* Length of piece i of len bytes: PIECE, or what is left for the last one. */
static inline size_t
piece_len(size_t len, size_t i)
{
	size_t left = len - i * PIECE;

	return left < PIECE ? left : PIECE;
}

struct work; /* the contexts and keys that one thread uses again and again */

struct work *work_new(void); /* NULL when memory is out */
void work_free(struct work *w);

enum candidate_kind { CANDIDATE_DIGEST, CANDIDATE_CIPHER, CANDIDATE_CODEC };

struct candidate {
	const char *name;
	enum candidate_kind kind;
	bool (*available)(void); /* NULL: everywhere */
	/* One piece of at most PIECE bytes into out, which holds PIECE_STORED. Bytes written, 0 when it failed. */
	size_t (*encode)(struct work *w, uint8_t *out, const uint8_t *in, size_t len);
	/* The way back, out holds PIECE bytes; NULL for digests. */
	size_t (*decode)(struct work *w, uint8_t *out, const uint8_t *in, size_t len);
};

extern const struct candidate candidates[];
extern const size_t candidates_count;

/* By name, NULL when this machine or this build has not got it. */
const struct candidate *candidate_find(const char *name);

#endif
