/*
 * What each candidate for the stored form costs on real bytes: primitives FILE... prints a table a file, in Markdown, for
 * docs/performance.md. A candidate that does not give the bytes back ends the program with an error, so that a fast row is
 * never the row of something broken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "candidates.h"
#include "chain.h"
#include "measure.h"

struct pass {
	const struct candidate *candidate;
	struct work *work;
	const uint8_t *data;
	size_t len;
	size_t count;
	uint8_t **stored; /* one buffer a piece, to decode from */
	size_t *stored_len;
	uint8_t *out;
};

/* Output goes to one buffer: what is measured is the work, and not how fast the machine hands out new pages. */
static bool
encode_all(void *arg)
{
	struct pass *p = arg;

	for (size_t i = 0; i < p->count; i++) {
		if (p->candidate->encode(p->work, p->out, p->data + i * PIECE, piece_len(p->len, i)) == 0)
			return false;
	}
	return true;
}

static bool
decode_all(void *arg)
{
	struct pass *p = arg;

	for (size_t i = 0; i < p->count; i++) {
		if (p->candidate->decode(p->work, p->out, p->stored[i], p->stored_len[i]) != piece_len(p->len, i))
			return false;
	}
	return true;
}

/* Fills stored[] and proves that it decodes to what went in. Total stored bytes, 0 when it does not. */
static size_t
keep_encoded(struct pass *p)
{
	size_t total = 0;

	for (size_t i = 0; i < p->count; i++) {
		const uint8_t *in = p->data + i * PIECE;
		size_t n = piece_len(p->len, i);

		p->stored_len[i] = p->candidate->encode(p->work, p->stored[i], in, n);
		if (p->stored_len[i] == 0 || p->candidate->decode(p->work, p->out, p->stored[i], p->stored_len[i]) != n ||
		    memcmp(p->out, in, n) != 0)
			return 0;
		total += p->stored_len[i];
	}
	return total;
}

static void
print_rate(const struct pass *p, const struct spread *t)
{
	double mb = (double)p->len / 1e6;

	printf(" %.0f | %.0f | %.0f |", mb / t->median, mb / t->worst, mb / t->best);
}

static bool
print_candidate(struct pass *p)
{
	const struct candidate *c = p->candidate;
	struct spread t;
	size_t total;

	printf("| %s |", c->name);
	if (c->available != NULL && !c->available()) {
		printf(" absent here | | | | | | |\n");
		return true;
	}
	if (!measure(encode_all, p, MEASURE_RUNS, &t))
		return false;
	print_rate(p, &t);
	if (c->decode == NULL) {
		printf(" | | | |\n");
		return true;
	}
	total = keep_encoded(p);
	if (total == 0 || !measure(decode_all, p, MEASURE_RUNS, &t))
		return false;
	print_rate(p, &t);
	if (c->kind == CANDIDATE_CODEC)
		printf(" %.2f |\n", (double)p->len / (double)total);
	else
		printf(" |\n");
	(void)fflush(stdout);
	return true;
}

static void
pass_clean(struct pass *p)
{
	for (size_t i = 0; p->stored != NULL && i < p->count; i++)
		free(p->stored[i]);
	free(p->stored);
	free(p->stored_len);
	free(p->out);
	work_free(p->work);
}

static bool
pass_prepare(struct pass *p)
{
	bool ok;

	p->count = (p->len + PIECE - 1) / PIECE;
	p->stored = calloc(p->count, sizeof(*p->stored));
	p->stored_len = calloc(p->count, sizeof(*p->stored_len));
	p->out = malloc(PIECE_STORED);
	p->work = work_new();
	ok = p->stored != NULL && p->stored_len != NULL && p->out != NULL && p->work != NULL;
	for (size_t i = 0; ok && i < p->count; i++)
		ok = (p->stored[i] = malloc(PIECE_STORED)) != NULL;
	return ok;
}

static bool
primitive_table(const uint8_t *data, size_t len)
{
	struct pass p = {.data = data, .len = len};
	bool ok = pass_prepare(&p);

	if (!ok)
		fprintf(stderr, "bench: out of memory\n");
	else
		printf("| what | MB/s | min | max | back MB/s | min | max | ratio |\n"
		       "|---|---:|---:|---:|---:|---:|---:|---:|\n");
	for (size_t i = 0; ok && i < candidates_count; i++) {
		p.candidate = &candidates[i];
		ok = print_candidate(&p);
		if (!ok)
			fprintf(stderr, "\nbench: '%s' failed\n", candidates[i].name);
	}
	pass_clean(&p);
	return ok;
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: primitives FILE...\n");
		return 2;
	}
	if (sodium_init() < 0) {
		fprintf(stderr, "bench: sodium_init failed\n");
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		size_t len = 0;
		uint8_t *data = measure_load(argv[i], &len);
		const char *slash = strrchr(argv[i], '/');
		bool ok;

		if (data == NULL)
			return 1;
		printf("\n### %s, %.0f MiB\n\n", slash != NULL ? slash + 1 : argv[i], (double)len / (double)(1 << 20));
		ok = primitive_table(data, len) && chain_table(data, len);
		free(data);
		if (!ok)
			return 1;
	}
	return 0;
}
