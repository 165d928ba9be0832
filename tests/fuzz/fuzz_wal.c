/* Any bytes as a WAL segment, whole and in pieces: no crash, and pieces change nothing. The first byte picks mode and step. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pg/wal_join.h"
#include "pg/wal_walker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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
	int rc;

	if (len < 1)
		return 0;
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
