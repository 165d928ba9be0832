/* Reading through an input that fails, ends early, lies, or takes its memory back. */
#include <limits.h>
#include <stdatomic.h>

#include "check.h"
#include "memory.h"

static const uint8_t key[OBJECT_KEY] = {3};

struct made {
	uint8_t *plain;
	struct memory_blob b;
};

static struct made
make(size_t len, const char *clear)
{
	struct made m = {.plain = malloc(len + 1)};

	assert_non_null(m.plain);
	for (size_t i = 0; i < len; i++)
		m.plain[i] = (uint8_t)(i * 31 + (i >> 16));
	memory_object_write(&(struct memory_object){.kind = OBJECT_PACK,
				.codec = OBJECT_CODEC_ZSTD,
				.key = key,
				.clear = clear,
				.sealed = "{}",
				.plain = m.plain,
				.len = len},
	    &m.b);
	return m;
}

static void
made_free(struct made *m)
{
	free(m->plain);
	free(m->b.data);
}

static void
errors_of_the_input_pass_through(void **state)
{
	static const int kinds[] = {ERR_NOT_FOUND, ERR_IO, ERR_AUTH, ERR_RETRY};
	struct made m = make(3 * OBJECT_FRAME, "{}");
	BUF_AUTO struct buf out = {0};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		m.b.tail_kind = kinds[i];
		must_fail(memory_read(&m.b, key, NULL, &out, &err), kinds[i], &err, "tail");
	}
	m.b.tail_kind = 0;
	for (size_t at = 0; at < m.b.len; at += m.b.len / 17) {
		err = (struct err){0};
		m.b.fail_get_at = at;
		/* the last bytes come with get_tail, which does not fail here */
		if (memory_read(&m.b, key, NULL, &out, &err) != 0)
			assert_int_equal(err.kind, ERR_RETRY);
		else
			assert_true(m.b.len - at <= 4096);
	}
	made_free(&m);
}

static void
short_answers_are_corruption(void **state)
{
	struct made m = make(2 * OBJECT_FRAME, "{}");
	BUF_AUTO struct buf out = {0};
	struct err err = {0};

	(void)state;
	m.b.short_get = true;
	must_fail(memory_read(&m.b, key, NULL, &out, &err), ERR_CORRUPT, &err, "short get");
	m.b.short_get = false;
	m.b.short_tail = true; /* the store may do that: the rest is fetched */
	must(memory_read(&m.b, key, NULL, &out, &err), &err);
	assert_int_equal(out.len, 2 * OBJECT_FRAME);
	made_free(&m);
}

static void
a_size_that_is_not_true_is_refused(void **state)
{
	struct made m = make(1000, "{}");
	const uint64_t sizes[] = {1, OBJECT_TAIL, m.b.len - 1, m.b.len + 1, m.b.len + (UINT64_C(1) << 32), UINT64_MAX};
	BUF_AUTO struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct err err = {0};

		m.b.size = sizes[i];
		must_fail(memory_read(&m.b, key, NULL, &out, &err), ERR_CORRUPT, &err, "size");
	}
	made_free(&m);
}

/* The index keeps nothing of the input's memory, and later reads find what was changed behind its back. */
static void
an_index_outlives_the_bytes_that_it_was_read_from(void **state)
{
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	FREE_AUTO uint8_t *stored = malloc(OBJECT_FRAME_STORED_MAX), *plain = malloc(OBJECT_FRAME);
	BUF_AUTO struct buf sealed = {0};
	struct made m = make(2 * OBJECT_FRAME + 5, "{\"a\":1}");
	struct object_input in = memory_input(&m.b);
	struct err err = {0};

	(void)state;
	must(object_index_read(&x, &in, &err), &err);
	for (uint32_t i = 0; i < 3; i++) {
		must(object_frame_read(x, &in, key, i, stored, plain, &err), &err);
		assert_memory_equal(plain, m.plain + i * OBJECT_FRAME, object_frame_plain(x, i));
	}
	memset(m.b.data, 0xdb, m.b.len);
	assert_string_equal(buf_text(&x->clear), "{\"a\":1}");
	assert_string_equal(x->header.name, "wal/1/x");
	must(object_sealed_read(x, key, &sealed, &err), &err);
	assert_string_equal(buf_text(&sealed), "{}");
	for (uint32_t i = 0; i < 3; i++)
		must_fail(object_frame_read(x, &in, key, i, stored, plain, &err), ERR_CORRUPT, &err, "poisoned");
	must_fail(object_frames_check(x, &in, &err), ERR_CORRUPT, &err, "poisoned");
	must_fail(object_frame_read(x, &in, key, 3, stored, plain, &err), ERR_CORRUPT, &err, "no such frame");
	must_fail(object_frame_read(x, &in, key, UINT32_MAX, stored, plain, &err), ERR_CORRUPT, &err, "no such frame");
	made_free(&m);
}

struct stop {
	unsigned calls, at;
};

static int
stop_at(const void *data, size_t len, void *arg, struct err *err)
{
	struct stop *s = arg;

	(void)data;
	(void)len;
	return s->calls++ == s->at ? err_set(err, ERR_NOSPACE, 0, "stopped") : 0;
}

static void
the_reader_stops_where_its_caller_does(void **state)
{
	struct made m = make(5 * OBJECT_FRAME, "{}");
	struct object_input in = memory_input(&m.b);
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	struct worker_pool *pool = NULL;
	struct err err = {0};

	(void)state;
	must(worker_pool_new(&pool, 2, &err), &err);
	must(object_index_read(&x, &in, &err), &err);
	for (unsigned i = 0; i < 10; i++) {
		struct stop s = {.at = i / 2};

		must_fail(object_read_all(x, &in, key, i % 2 != 0 ? pool : NULL, stop_at, &s, &err), ERR_NOSPACE, &err, "each");
		assert_int_equal(s.calls, i / 2 + 1);
	}
	for (uint32_t i = 0; i < 5; i++) { /* frames before a bad one are given out, none behind it */
		struct stop s = {.at = 100};

		m.b.data[x->frames[i].offset] ^= 1;
		must_fail(object_read_all(x, &in, key, pool, stop_at, &s, &err), ERR_CORRUPT, &err, "frame");
		assert_int_equal(s.calls, i);
		m.b.data[x->frames[i].offset] ^= 1;
	}
	worker_pool_free(pool);
	made_free(&m);
}

/* A place for scattered bytes; it says no from the piece with this number on. */
struct place {
	uint8_t *bytes;
	atomic_uint pieces;
	unsigned at;
};

static int
put_piece(const void *data, size_t len, uint64_t offset, void *arg, struct err *err)
{
	struct place *p = arg;

	if (atomic_fetch_add(&p->pieces, 1) >= p->at)
		return err_set(err, ERR_NOSPACE, 0, "full");
	memcpy(p->bytes + offset, data, len);
	return 0;
}

static void
scattered_pieces_come_all_and_checked_or_fail(void **state)
{
	static const size_t lengths[] = {1, OBJECT_FRAME, 3 * OBJECT_FRAME + 5, 4 * OBJECT_FRAME, 17 * OBJECT_FRAME + 1};
	struct worker_pool *pool = NULL;
	struct err err = {0};

	(void)state;
	must(worker_pool_new(&pool, 3, &err), &err);
	for (size_t i = 0; i < 2 * ARRAY_LEN(lengths); i++) {
		struct worker_pool *with = i % 2 != 0 ? pool : NULL;
		struct made m = make(lengths[i / 2], "{}");
		struct object_input in = memory_input(&m.b);
		OBJECT_INDEX_AUTO struct object_index *x = NULL;
		FREE_AUTO uint8_t *bytes = calloc(1, lengths[i / 2]);
		struct place p = {.bytes = bytes, .at = UINT_MAX};

		must(object_index_read(&x, &in, &err), &err);
		must(object_scatter(x, &in, key, with, put_piece, &p, &err), &err);
		assert_int_equal(p.pieces, x->lengths.frames);
		assert_memory_equal(bytes, m.plain, lengths[i / 2]);
		for (uint32_t k = 0; k < x->lengths.frames; k++) {
			m.b.data[x->frames[k].offset] ^= 1;
			must_fail(object_scatter(x, &in, key, with, put_piece, &p, &err), ERR_CORRUPT, &err, "a bad frame");
			m.b.data[x->frames[k].offset] ^= 1;
			p = (struct place){.bytes = bytes, .at = k};
			must_fail(object_scatter(x, &in, key, with, put_piece, &p, &err), ERR_NOSPACE, &err, "no room");
			p = (struct place){.bytes = bytes, .at = UINT_MAX};
		}
		made_free(&m);
	}
	worker_pool_free(pool);
}

static void
frames_are_read_together_within_the_object_only(void **state)
{
	static const struct {
		uint32_t i, n;
		int want;
	} rows[] = {{0, 4, 0}, {1, 4, 0}, {4, 1, 0}, {2, 3, 0}, {2, 4, ERR_CORRUPT}, {5, 1, ERR_CORRUPT},
	    {UINT32_MAX, 2, ERR_CORRUPT}, {0, 5, ERR_BUG}, {0, UINT32_MAX, ERR_BUG}};
	FREE_AUTO uint8_t *stored = malloc(4 * OBJECT_FRAME_STORED_MAX), *plain = malloc(4 * OBJECT_FRAME);
	struct made m = make(4 * OBJECT_FRAME + 9, "{}");
	struct object_input in = memory_input(&m.b);
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	struct err err = {0};

	(void)state;
	must(object_index_read(&x, &in, &err), &err);
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		int rc = object_frames_read(x, &in, key, rows[r].i, rows[r].n, stored, plain, &err);

		assert_int_equal(rc, rows[r].want);
		for (uint32_t k = 0; rc == 0 && k < rows[r].n; k++)
			assert_memory_equal(plain + (size_t)k * OBJECT_FRAME, m.plain + (size_t)(rows[r].i + k) * OBJECT_FRAME,
			    object_frame_plain(x, rows[r].i + k));
	}
	made_free(&m);
}

/* Parts larger than the first tail are fetched with a second request. */
static void
a_large_clear_part_is_read_whole(void **state)
{
	static const size_t lengths[] = {3600, 3700, 3710, 3720, 3730, 3740, 3750, 3760, 3800, 3900, 4000, 4096, 5000, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		FREE_AUTO char *clear = malloc(lengths[i] + 1);
		OBJECT_INDEX_AUTO struct object_index *x = NULL;
		struct object_input in;
		struct made m;
		struct err err = {0};

		memset(clear, 'c', lengths[i]);
		clear[lengths[i]] = '\0';
		m = make(10, clear);
		in = memory_input(&m.b);
		must(object_index_read(&x, &in, &err), &err);
		assert_string_equal(buf_text(&x->clear), clear);
		made_free(&m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(errors_of_the_input_pass_through),
	    cmocka_unit_test(scattered_pieces_come_all_and_checked_or_fail),
	    cmocka_unit_test(frames_are_read_together_within_the_object_only),
	    cmocka_unit_test(short_answers_are_corruption),
	    cmocka_unit_test(a_size_that_is_not_true_is_refused),
	    cmocka_unit_test(an_index_outlives_the_bytes_that_it_was_read_from),
	    cmocka_unit_test(the_reader_stops_where_its_caller_does),
	    cmocka_unit_test(a_large_clear_part_is_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
