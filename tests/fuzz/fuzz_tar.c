/* The tar reader with any bytes: the first says how long the pieces are. What it tells must hold what tar.h promises. */
#include "pg/path.h"
#include "pg/tar.h"

#include <stdbool.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	uint64_t left; /* of the current file */
	bool open;
};

static int
on_begin(const struct tar_entry *e, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (s->open || !path_is_plain(e->name) || e->size > INT64_MAX || (e->type != TAR_FILE && e->size != 0))
		abort();
	s->open = true;
	s->left = e->size;
	return 0;
}

static int
on_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)bytes;
	(void)err;
	if (!s->open || len == 0 || len > s->left)
		abort();
	s->left -= len;
	return 0;
}

static int
on_end(void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (!s->open || s->left != 0)
		abort();
	s->open = false;
	return 0;
}

/* A fuzzer does not find checksums by itself: every whole block gets one that fits, when the input asks for it. */
static void
seal(uint8_t *block)
{
	unsigned sum = 8 * ' ';

	for (int i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? 0 : block[i];
	for (int i = 6; i >= 0; i--, sum >>= 3)
		block[148 + i] = (uint8_t)('0' + (sum & 7));
	block[155] = ' ';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tar_events events = {.begin = on_begin, .data = on_data, .end = on_end};
	TAR_READER_AUTO struct tar_reader *r = NULL;
	FREE_AUTO uint8_t *copy = NULL;
	struct seen seen = {0};
	size_t piece, len;
	int rc;

	if (size < 2)
		return 0;
	piece = (size_t)(data[0] & 0x7f) * 8 + 1;
	len = size - 1;
	copy = malloc(len);
	if (copy == NULL || tar_reader_new(&r, &events, &seen, NULL) != 0)
		return 0;
	memcpy(copy, data + 1, len);
	if (data[0] & 0x80)
		for (size_t at = 0; at + TAR_BLOCK <= len; at += TAR_BLOCK)
			seal(copy + at);
	rc = 0;
	for (size_t at = 0; rc == 0 && at < len; at += piece)
		rc = tar_reader_feed(r, copy + at, len - at < piece ? len - at : piece, NULL);
	if (rc == 0 && tar_reader_finish(r, NULL) == 0 && seen.open)
		abort();
	return 0;
}
