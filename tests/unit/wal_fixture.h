/* Real WAL for tests, out of tests/fixtures/wal. Every failure here ends the test. */
#ifndef PGCAIRN_TESTS_WAL_FIXTURE_H
#define PGCAIRN_TESTS_WAL_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/err.h"
#include "pg/wal_walker.h"

#define FIXTURE_SEGMENT ((size_t)1 << 20)

/* The bytes as they lie there, with a NUL behind them; the caller frees. */
static inline char *
fixture_raw(const char *name, size_t *len)
{
	const char *root = getenv("PGCAIRN_TEST_SOURCE");
	char path[512];
	char *data = malloc(FIXTURE_SEGMENT + 1);
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/tests/fixtures/wal/%s", root != NULL ? root : ".", name);
	f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("fixture '%s' is missing", path);
	assert_non_null(data);
	*len = fread(data, 1, FIXTURE_SEGMENT, f);
	data[*len] = '\0';
	assert_int_equal(fclose(f), 0);
	return data;
}

/* NAME.zst, unpacked. */
static inline uint8_t *
fixture(const char *name, size_t *len)
{
	char file[256];
	size_t packed_len, size;
	char *packed;
	uint8_t *data;

	(void)snprintf(file, sizeof(file), "%s.zst", name);
	packed = fixture_raw(file, &packed_len);
	size = (size_t)ZSTD_getFrameContentSize(packed, packed_len);
	assert_in_range(size, 1, (size_t)1 << 26);
	data = malloc(size);
	assert_non_null(data);
	*len = ZSTD_decompress(data, size, packed, packed_len);
	assert_false(ZSTD_isError(*len));
	free(packed);
	return data;
}

/* One walk in pieces of step bytes. */
static inline int
fixture_walk(
    const struct wal_walk_options *opt, const uint8_t *data, size_t len, size_t step, struct wal_summary *out, struct err *err)
{
	WAL_WALKER_AUTO struct wal_walker *w = NULL;
	int rc = wal_walker_new(&w, opt, err);

	for (size_t at = 0; rc == 0 && at < len; at += step)
		rc = wal_walker_feed(w, data + at, len - at < step ? len - at : step, err);
	return rc < 0 ? rc : wal_walker_finish(w, out, err);
}

static inline struct wal_walk_options
fixture_options(const char *name, enum wal_walk_mode mode)
{
	struct wal_walk_options opt = {.mode = mode};

	assert_true(wal_name_parse(name, &opt.name));
	return opt;
}

#endif
