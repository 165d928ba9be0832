/*
 * A frame is compressed and encrypted on its own, so frames can be worked on in parallel. The record checks (a CRC32C pass
 * stands for them) and the content id read plain bytes and stay with the calling thread. The digest over stored bytes either
 * runs in order in the calling thread or, one digest a frame, where the frame was made.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/worker.h"
#include "candidates.h"
#include "chain.h"
#include "measure.h"

#define THREADS_MAX 2
#define SEGMENT ((double)(16 << 20))

enum digest_where { DIGEST_IN_ORDER, DIGEST_IN_FRAME };

struct chain {
	const char *codec;
	const char *cipher;
	const char *digest;
	int threads;
	enum digest_where where;
};

static const struct chain chains[] = {
    {"LZ4 block", "XChaCha20-Poly1305", "BLAKE2b-256 keyed", 1, DIGEST_IN_ORDER},
    {"LZ4 block", "AES-256-GCM (libsodium)", "BLAKE2b-256 keyed", 1, DIGEST_IN_ORDER},
    {"LZ4 block", "XChaCha20-Poly1305", "SHA-256 (OpenSSL)", 1, DIGEST_IN_ORDER},
    {"LZ4 block", "AES-256-GCM (OpenSSL)", "SHA-256 (OpenSSL)", 1, DIGEST_IN_ORDER},
    {"zstd 1", "XChaCha20-Poly1305", "BLAKE2b-256 keyed", 1, DIGEST_IN_ORDER},
    {"zstd 1", "AES-256-GCM (libsodium)", "BLAKE2b-256 keyed", 1, DIGEST_IN_ORDER},
    {"zstd 3", "XChaCha20-Poly1305", "BLAKE2b-256 keyed", 1, DIGEST_IN_ORDER},
    {"LZ4 block", "XChaCha20-Poly1305", "BLAKE2b-256 keyed", 2, DIGEST_IN_ORDER},
    {"LZ4 block", "XChaCha20-Poly1305", "BLAKE2b-256 keyed", 2, DIGEST_IN_FRAME},
    {"LZ4 block", "AES-256-GCM (libsodium)", "BLAKE2b-256 keyed", 2, DIGEST_IN_FRAME},
    {"zstd 1", "XChaCha20-Poly1305", "BLAKE2b-256 keyed", 2, DIGEST_IN_ORDER},
    {"zstd 1", "XChaCha20-Poly1305", "BLAKE2b-256 keyed", 2, DIGEST_IN_FRAME},
};

struct frame {
	uint8_t *stored;
	size_t stored_len;
	uint8_t digest[32];
};

struct run {
	const struct candidate *check;
	const struct candidate *id;
	const struct candidate *codec;
	const struct candidate *cipher;
	const struct candidate *digest;
	const struct chain *chain;
	const uint8_t *data;
	size_t len;
	struct frame *frames;
	size_t count;
	struct work *work[THREADS_MAX + 1]; /* one a thread; the last is the caller's */
	struct worker_pool *pool;
};

struct share { /* of one thread: frames first, first + threads, ... */
	struct worker_job job;
	struct run *run;
	size_t first;
	uint8_t *pressed;
	bool ok;
};

static bool
digest_frame(const struct run *r, struct work *w, struct frame *f)
{
	return r->digest->encode(w, f->digest, f->stored, f->stored_len) != 0;
}

static bool
encode_frame(const struct run *r, struct work *w, uint8_t *pressed, size_t i)
{
	struct frame *f = &r->frames[i];
	const uint8_t *in = r->data + i * PIECE;
	size_t len = piece_len(r->len, i);
	size_t n = r->codec->encode(w, pressed, in, len);

	if (n == 0)
		return false;
	f->stored_len = n < len ? r->cipher->encode(w, f->stored, pressed, n) : r->cipher->encode(w, f->stored, in, len);
	return f->stored_len != 0;
}

static bool
plain_pass(const struct run *r, size_t i)
{
	uint8_t sum[64];
	const uint8_t *in = r->data + i * PIECE;
	size_t n = piece_len(r->len, i);
	struct work *w = r->work[THREADS_MAX];

	return (r->check == NULL || r->check->encode(w, sum, in, n) != 0) && r->id->encode(w, sum, in, n) != 0;
}

static void
run_share(struct worker_job *job)
{
	struct share *s = (struct share *)job;
	struct run *r = s->run;

	s->ok = true;
	for (size_t i = s->first; i < r->count && s->ok; i += (size_t)r->chain->threads) {
		struct work *w = r->work[s->first];

		s->ok = encode_frame(r, w, s->pressed, i) &&
			(r->chain->where != DIGEST_IN_FRAME || digest_frame(r, w, &r->frames[i]));
	}
}

static bool
run_parallel(struct run *r)
{
	static uint8_t pressed[THREADS_MAX][PIECE_STORED];
	struct share shares[THREADS_MAX] = {0};
	bool ok = true;

	for (size_t t = 0; t < THREADS_MAX; t++) {
		shares[t] = (struct share){.job = {.run = run_share}, .run = r, .first = t, .pressed = pressed[t]};
		worker_submit(r->pool, &shares[t].job);
	}
	for (size_t i = 0; i < r->count; i++)
		ok = plain_pass(r, i) && ok;
	for (size_t t = 0; t < THREADS_MAX; t++) {
		worker_wait(r->pool, &shares[t].job);
		ok = shares[t].ok && ok;
	}
	for (size_t i = 0; i < r->count && ok && r->chain->where == DIGEST_IN_ORDER; i++)
		ok = digest_frame(r, r->work[THREADS_MAX], &r->frames[i]);
	return ok;
}

static bool
run_chain(void *arg)
{
	static uint8_t pressed[PIECE_STORED];
	struct run *r = arg;
	bool ok = true;

	if (r->chain->threads > 1)
		return run_parallel(r);
	for (size_t i = 0; i < r->count && ok; i++)
		ok = plain_pass(r, i) && encode_frame(r, r->work[0], pressed, i) && digest_frame(r, r->work[0], &r->frames[i]);
	return ok;
}

/* True also when the machine or the build lacks a part: the row says so. */
static bool
print_chain(struct run *r)
{
	const struct chain *c = r->chain;
	const char *where = c->threads == 1 ? "1" : c->where == DIGEST_IN_ORDER ? "2, digest in order" : "2, digest a frame";
	struct spread t;

	r->codec = candidate_find(c->codec);
	r->cipher = candidate_find(c->cipher);
	r->digest = candidate_find(c->digest);
	printf("| %s + %s + %s | %s |", c->codec, c->cipher, c->digest, where);
	if (r->codec == NULL || r->cipher == NULL || r->digest == NULL) {
		printf(" absent here | | | |\n");
		return true;
	}
	if (!measure(run_chain, r, MEASURE_RUNS, &t)) {
		fprintf(stderr, "\nbench: a chain failed\n");
		return false;
	}
	printf(" %.1f | %.1f | %.1f | %.0f |\n", t.median * 1e3 * SEGMENT / (double)r->len,
	    t.best * 1e3 * SEGMENT / (double)r->len, t.worst * 1e3 * SEGMENT / (double)r->len, (double)r->len / t.median / 1e6);
	return true;
}

static void
run_clean(struct run *r)
{
	for (size_t i = 0; r->frames != NULL && i < r->count; i++)
		free(r->frames[i].stored);
	free(r->frames);
	for (size_t t = 0; t <= THREADS_MAX; t++)
		work_free(r->work[t]);
	worker_pool_free(r->pool);
}

static bool
run_prepare(struct run *r)
{
	bool ok;

	r->check = candidate_find("CRC32C (SSE 4.2, 8 bytes a step)");
	r->id = candidate_find("XXH3-128 with secret");
	r->count = (r->len + PIECE - 1) / PIECE;
	r->frames = calloc(r->count, sizeof(*r->frames));
	ok = r->frames != NULL && worker_pool_new(&r->pool, THREADS_MAX, NULL) == 0;
	for (size_t i = 0; ok && i < r->count; i++)
		ok = (r->frames[i].stored = malloc(PIECE_STORED)) != NULL;
	for (size_t t = 0; ok && t <= THREADS_MAX; t++)
		ok = (r->work[t] = work_new()) != NULL;
	return ok;
}

bool
chain_table(const uint8_t *data, size_t len)
{
	struct run r = {.data = data, .len = len};
	bool ok = run_prepare(&r);

	if (!ok)
		fprintf(stderr, "bench: out of memory\n");
	else
		printf("\n| chain: CRC32C + XXH3-128 + ... | threads | ms per 16 MiB | best | worst | MB/s |\n"
		       "|---|---|---:|---:|---:|---:|\n");
	for (size_t i = 0; ok && i < sizeof(chains) / sizeof(chains[0]); i++) {
		r.chain = &chains[i];
		ok = print_chain(&r);
	}
	run_clean(&r);
	return ok;
}
