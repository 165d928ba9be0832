/*
 * Any bytes as a WAL segment, whole and in pieces: no crash, and pieces change nothing. The first byte picks mode and step. A
 * fuzzer finds no checksums, so on its highest bit the records' are made to fit, along the pages as far as they hold together.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "pg/crc32c.h"
#include "pg/wal_join.h"
#include "pg/wal_page.h"
#include "pg/wal_record.h"
#include "pg/wal_walker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FIT_CRC 0x80
#define PAGE ((size_t)8192)

/* The byte behind n bytes of WAL from at on: page headers lie between them and do not count. */
static size_t
behind(size_t at, size_t n)
{
	while (n > 0) {
		size_t here = PAGE - at % PAGE;

		if (here == PAGE) {
			at += at == 0 ? WAL_PAGE_LONG : WAL_PAGE_SHORT;
			here = PAGE - at % PAGE;
		}
		here = here < n ? here : n;
		at += here;
		n -= here;
	}
	return at;
}

static void
fit(uint8_t *data, size_t len)
{
	size_t at = WAL_PAGE_LONG, end;
	uint8_t byte;

	if (len < at)
		return;
	if ((le16_get(data + 2) & WAL_PAGE_CONTRECORD) != 0)
		at = behind(at, (size_t)le32_get(data + 16));
	for (;;) {
		uint32_t total, state = CRC32C_INIT;

		at = (at + 7) / 8 * 8;
		if (at % PAGE == 0)
			at += WAL_PAGE_SHORT;
		if (at >= len || len - at < WAL_RECORD_HEADER)
			return;
		total = le32_get(data + at);
		end = behind(at, total);
		if (total < WAL_RECORD_HEADER || total > len || end > len || at % PAGE > PAGE - 4)
			return;
		for (size_t i = WAL_RECORD_HEADER; i < total; i++) {
			byte = data[behind(at, i + 1) - 1];
			state = crc32c_update(state, &byte, 1);
		}
		for (size_t i = 0; i < WAL_RECORD_CRC_AT; i++) {
			byte = data[behind(at, i + 1) - 1];
			state = crc32c_update(state, &byte, 1);
		}
		state = crc32c_final(state);
		for (size_t i = 0; i < 4; i++)
			data[behind(at, WAL_RECORD_CRC_AT + i + 1) - 1] = (uint8_t)(state >> 8 * i);
		at = end;
	}
}

static int
walk(const struct wal_walk_options *opt, const uint8_t *data, size_t len, size_t step, struct wal_summary *out)
{
	WAL_WALKER_AUTO struct wal_walker *w = NULL;
	struct err err;
	int rc = wal_walker_new(&w, opt, &err);

	for (size_t at = 0; rc == 0 && at < len; at += step)
		rc = wal_walker_feed(w, data + at, len - at < step ? len - at : step, &err);
	return rc < 0 ? rc : wal_walker_finish(w, out, &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wal_walk_options opt = {.name = {.kind = WAL_NAME_SEGMENT, .timeline = 2}};
	struct wal_summary whole, pieces;
	struct wal_join j;
	FREE_AUTO uint8_t *copy = NULL;
	int rc;

	if (len < 1)
		return 0;
	copy = malloc(len);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, len);
	if ((data[0] & FIT_CRC) != 0)
		fit(copy + 1, len - 1);
	data = copy;
	opt.mode = data[0] & 1 ? WAL_PARTIAL : WAL_COMPLETE;
	opt.name.seg = data[0] >> 1 & 31;
	rc = walk(&opt, data + 1, len - 1, len, &whole);
	if (rc != walk(&opt, data + 1, len - 1, 1 + data[0] % 37, &pieces))
		abort();
	if (rc < 0)
		return 0;
	if (memcmp(&whole, &pieces, sizeof(whole)) != 0)
		abort();
	wal_join_init(&j);
	(void)wal_join_next(&j, &whole, NULL);
	pieces.start += pieces.segment_size;
	(void)wal_join_next(&j, &pieces, NULL);
	return 0;
}
