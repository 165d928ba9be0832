/* Writing: the same plain bytes come back whatever the pieces, codec and pool; what fails leaves nothing visible. */
#include "check.h"
#include "memory.h"

#include <sodium.h>

static const uint8_t key[OBJECT_KEY] = {9};

/* Half of it compresses, the other half does not. */
static uint8_t *
make_plain(size_t len)
{
	static const uint8_t seed[randombytes_SEEDBYTES] = {4};
	uint8_t *p = malloc(len + 1);

	assert_non_null(p);
	randombytes_buf_deterministic(p, len, seed);
	for (size_t i = 0; i < len; i += 8192)
		memset(p + i, (int)(i >> 13), len - i < 4096 ? len - i : 4096);
	return p;
}

static void
expect_same(const struct memory_object *o, const char *what)
{
	BUF_AUTO struct buf out = {0};
	struct memory_blob b;
	struct err err = {0};

	memory_object_write(o, &b);
	must(memory_read(&b, o->key, o->pool, &out, &err), &err);
	if (out.len != o->len || (o->len > 0 && memcmp(out.data, o->plain, o->len) != 0))
		fail_msg("%s: %zu bytes became %zu others", what, o->len, out.len);
	free(b.data);
}

static void
the_same_bytes_come_back_at_every_length(void **state)
{
	static const size_t lengths[] = {0, 1, 2, 3, 4095, OBJECT_FRAME - 1, OBJECT_FRAME, OBJECT_FRAME + 1,
	    2 * OBJECT_FRAME - 1, 2 * OBJECT_FRAME, 2 * OBJECT_FRAME + 1, 5 * OBJECT_FRAME + 12345};
	FREE_AUTO uint8_t *plain = make_plain(6 * OBJECT_FRAME);
	struct worker_pool *pool = NULL;
	struct err err = {0};

	(void)state;
	must(worker_pool_new(&pool, 3, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		for (uint8_t codec = OBJECT_CODEC_NONE; codec <= OBJECT_CODEC_ZSTD; codec++) {
			struct memory_object o = {.kind = OBJECT_PACK, .codec = codec, .plain = plain, .len = lengths[i]};

			expect_same(&o, "plain");
			o.key = key;
			o.pool = pool;
			expect_same(&o, "encrypted, with a pool");
		}
	}
	worker_pool_free(pool);
}

static void
pieces_and_pool_change_nothing_that_is_stored(void **state)
{
	static const size_t steps[] = {777, 8192, OBJECT_FRAME - 1, OBJECT_FRAME, OBJECT_FRAME + 1, 3 * OBJECT_FRAME};
	FREE_AUTO uint8_t *plain = make_plain(4 * OBJECT_FRAME);
	struct memory_object o = {.kind = OBJECT_PACK, .codec = OBJECT_CODEC_LZ4, .key = key, .plain = plain};
	struct worker_pool *pool = NULL;
	struct memory_blob first, b;
	struct err err = {0};

	(void)state;
	o.len = 3 * OBJECT_FRAME + 500;
	memory_object_write(&o, &first);
	must(worker_pool_new(&pool, 2, &err), &err);
	for (size_t i = 0; i < 2 * ARRAY_LEN(steps); i++) {
		o.step = steps[i / 2];
		o.pool = i % 2 != 0 ? pool : NULL;
		memory_object_write(&o, &b);
		assert_int_equal(b.len, first.len);
		assert_memory_equal(b.data, first.data, b.len);
		free(b.data);
	}
	o.len = 100;
	o.step = 1;
	expect_same(&o, "byte by byte");
	worker_pool_free(pool);
	free(first.data);
}

static void
what_does_not_shrink_is_kept_as_it_is(void **state)
{
	FREE_AUTO uint8_t *plain = malloc(2 * OBJECT_FRAME);
	struct err err = {0};

	(void)state;
	randombytes_buf(plain, 2 * OBJECT_FRAME);
	memset(plain, 0, OBJECT_FRAME);
	for (uint8_t codec = OBJECT_CODEC_LZ4; codec <= OBJECT_CODEC_ZSTD; codec++) {
		OBJECT_INDEX_AUTO struct object_index *x = NULL;
		struct memory_object o = {
		    .kind = OBJECT_PACK, .codec = codec, .key = key, .plain = plain, .len = 2 * OBJECT_FRAME};
		struct memory_blob b;
		struct object_input in;

		memory_object_write(&o, &b);
		in = memory_input(&b);
		must(object_index_read(&x, &in, &err), &err);
		assert_int_equal(x->frames[0].encoding, codec);
		assert_true(x->frames[0].stored < OBJECT_FRAME / 100);
		assert_int_equal(x->frames[1].encoding, OBJECT_CODEC_NONE);
		assert_int_equal(x->frames[1].stored, OBJECT_FRAME_STORED_MAX);
		assert_int_equal(x->lengths.plain, 2 * OBJECT_FRAME);
		free(b.data);
	}
}

/* Writes one object of len bytes into p: the first error, or 0. */
static int
write_with(struct memory_place *p, size_t len, struct worker_pool *pool, struct object_slots *slots, const uint8_t *plain,
    struct err *err)
{
	OBJECT_WRITER_AUTO struct object_writer *w = NULL;
	BUF_AUTO struct buf clear = {0};
	uint8_t signing[64];
	struct object_spec spec = {.header = {.kind = OBJECT_PACK, .codec = OBJECT_CODEC_LZ4, .name = "backup/x/pack-000000"},
	    .signing_key = signing,
	    .pool = pool,
	    .slots = slots};
	int rc;

	memory_signing_key(signing, 1);
	rc = object_writer_new(&w, &spec, memory_sink(p), err);
	for (size_t at = 0; rc == 0 && at < len; at += 300000)
		rc = object_writer_write(w, plain + at, len - at < 300000 ? len - at : 300000, err);
	if (rc == 0)
		rc = buf_append(&clear, "{}", 2, err);
	return rc < 0 ? rc : object_writer_finish(w, &clear, NULL, NULL, err);
}

static int
write_to(struct memory_place *p, size_t len, struct worker_pool *pool, const uint8_t *plain, struct err *err)
{
	return write_with(p, len, pool, NULL, plain, err);
}

/* Also after one that broke off with frames in every state: nothing of it is in the next. */
static void
lent_buffers_serve_one_object_after_another(void **state)
{
	static const size_t lengths[] = {12 * OBJECT_FRAME + 3, 1, OBJECT_FRAME, 9 * OBJECT_FRAME, 0};
	FREE_AUTO uint8_t *plain = make_plain(lengths[0]);
	struct worker_pool *pool = NULL;
	struct object_slots *slots = NULL;
	struct err err = {0};

	(void)state;
	must(worker_pool_new(&pool, 2, &err), &err);
	must(object_slots_new(&slots, pool, &err), &err);
	for (size_t i = 0; i < 3 * ARRAY_LEN(lengths); i++) {
		struct memory_place want = {.fail_at = UINT64_MAX}, got = {.fail_at = UINT64_MAX};
		size_t len = lengths[i % ARRAY_LEN(lengths)];

		must(write_to(&want, len, NULL, plain, &err), &err);
		if (i % 2 != 0) {
			struct memory_place broken = {.fail_at = want.visible.len * i / 16};

			must_fail(write_with(&broken, len, pool, slots, plain, &err), ERR_IO, &err, "broken");
			assert_int_equal(broken.open, 0);
		}
		must(write_with(&got, len, pool, slots, plain, &err), &err);
		assert_int_equal(got.visible.len, want.visible.len);
		assert_memory_equal(got.visible.data, want.visible.data, want.visible.len);
		buf_free(&want.visible);
		buf_free(&got.visible);
	}
	object_slots_free(slots);
	object_slots_free(NULL);
	worker_pool_free(pool);
}

static void
a_sink_that_fails_at_any_byte_fails_the_object(void **state)
{
	FREE_AUTO uint8_t *plain = make_plain(5 * OBJECT_FRAME);
	struct memory_place whole = {.fail_at = UINT64_MAX};
	struct worker_pool *pool = NULL;
	struct err err = {0};
	size_t size;

	(void)state;
	must(worker_pool_new(&pool, 2, &err), &err);
	must(write_to(&whole, 5 * OBJECT_FRAME, NULL, plain, &err), &err);
	size = whole.visible.len;
	buf_free(&whole.visible);
	for (unsigned i = 0; i < 40; i++) {
		struct memory_place p = {.fail_at = i < 20 ? i : size * (i - 20) / 20 + i - 20, .fail_kind = ERR_NOSPACE};

		err = (struct err){0};
		if (i == 39)
			p.fail_at = size - 1;
		must_fail(write_to(&p, 5 * OBJECT_FRAME, i % 2 != 0 ? pool : NULL, plain, &err), ERR_NOSPACE, &err, "write");
		assert_int_equal(p.visible.len, 0);
		assert_false(p.finished);
		assert_int_equal(p.open, 0);
		assert_int_equal(p.after_err, 0);
	}
	worker_pool_free(pool);
}

static void
an_error_of_finish_passes_through(void **state)
{
	static const int kinds[] = {ERR_EXISTS, ERR_IO, ERR_NOSPACE, ERR_RETRY};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct memory_place p = {.fail_at = UINT64_MAX, .fail_finish = true, .fail_kind = kinds[i]};
		struct err err = {0};

		must_fail(write_to(&p, 10, NULL, (const uint8_t *)"0123456789", &err), kinds[i], &err, "finish");
		assert_int_equal(p.open, 0);
		assert_int_equal(p.visible.len, 0);
	}
}

static void
a_writer_that_is_thrown_away_leaves_nothing(void **state)
{
	FREE_AUTO uint8_t *plain = make_plain(4 * OBJECT_FRAME);
	struct worker_pool *pool = NULL;
	struct err err = {0};

	(void)state;
	must(worker_pool_new(&pool, 2, &err), &err);
	for (size_t len = 0; len <= 4 * OBJECT_FRAME; len += OBJECT_FRAME) {
		struct memory_place p = {.fail_at = UINT64_MAX};
		struct object_writer *w = NULL;
		uint8_t signing[64];
		struct object_spec spec = {.header = {.kind = OBJECT_PACK, .codec = OBJECT_CODEC_ZSTD, .name = "x"},
		    .signing_key = signing,
		    .pool = pool};

		memory_signing_key(signing, 1);
		must(object_writer_new(&w, &spec, memory_sink(&p), &err), &err);
		must(object_writer_write(w, plain, len, &err), &err);
		object_writer_free(w); /* with jobs under way */
		assert_int_equal(p.open, 0);
		assert_false(p.finished);
	}
	object_writer_free(NULL);
	worker_pool_free(pool);
}

static void
a_spec_that_cannot_be_is_refused_and_the_sink_is_freed(void **state)
{
	uint8_t signing[64];
	const struct {
		const char *what;
		struct object_spec spec;
	} rows[] = {
	    {"key without cipher", {.header = {.name = "x"}, .key = key}},
	    {"cipher without key", {.header = {.name = "x", .cipher = OBJECT_CIPHER_XCHACHA20POLY1305, .sealed_key_len = 1}}},
	    {"no name", {.header = {.name = ""}}},
	};

	(void)state;
	memory_signing_key(signing, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct memory_place p = {.fail_at = UINT64_MAX};
		struct object_spec spec = rows[i].spec;
		struct object_writer *w = NULL;
		struct err err = {0};

		spec.signing_key = signing;
		must_fail(object_writer_new(&w, &spec, memory_sink(&p), &err), ERR_BUG, &err, rows[i].what);
		assert_null(w);
		assert_int_equal(p.open, 0);
	}
}

static int
count_write(struct sink *s, const void *data, size_t len, struct err *err)
{
	(void)s;
	(void)data;
	(void)len;
	(void)err;
	return 0;
}

static void
count_free(struct sink *s)
{
	(void)s;
}

/* Frames of zeros cost little: the cap is reached in seconds. */
static void
an_object_ends_at_its_cap_of_frames(void **state)
{
	static const struct sink_ops ops = {count_write, NULL, count_free};
	struct sink sink = {&ops};
	FREE_AUTO uint8_t *zeros = calloc(1, OBJECT_FRAME);
	OBJECT_WRITER_AUTO struct object_writer *w = NULL;
	uint8_t signing[64];
	struct object_spec spec = {
	    .header = {.kind = OBJECT_PACK, .codec = OBJECT_CODEC_LZ4, .name = "x"}, .signing_key = signing};
	struct err err = {0};

	(void)state;
	memory_signing_key(signing, 1);
	must(object_writer_new(&w, &spec, &sink, &err), &err);
	for (int i = 0; i < OBJECT_FRAMES_MAX; i++)
		must(object_writer_write(w, zeros, OBJECT_FRAME, &err), &err);
	assert_int_equal(object_writer_plain(w), (uint64_t)OBJECT_FRAMES_MAX * OBJECT_FRAME);
	must(object_writer_write(w, zeros, 1, &err), &err); /* only this one cannot leave any more */
	must_fail(object_writer_finish(w, NULL, NULL, NULL, &err), ERR_BUG, &err, "one frame too many");
}

static void
parts_past_their_cap_are_refused(void **state)
{
	FREE_AUTO uint8_t *big = calloc(1, OBJECT_PART_MAX + 1);
	struct buf large = {.data = big, .len = OBJECT_PART_MAX + 1}, fits = {.data = big, .len = OBJECT_PART_MAX};

	(void)state;
	for (int row = 0; row < 3; row++) {
		struct memory_place p = {.fail_at = UINT64_MAX};
		OBJECT_WRITER_AUTO struct object_writer *w = NULL;
		uint8_t signing[64];
		struct object_spec spec = {.header = {.kind = OBJECT_RECORD, .name = "x"}, .signing_key = signing};
		struct object_result result;
		struct err err = {0};

		memory_signing_key(signing, 1);
		must(object_writer_new(&w, &spec, memory_sink(&p), &err), &err);
		if (row == 0)
			must_fail(object_writer_finish(w, &large, NULL, NULL, &err), ERR_BUG, &err, "clear");
		else if (row == 1)
			must_fail(object_writer_finish(w, NULL, &large, NULL, &err), ERR_BUG, &err, "sealed");
		else
			must(object_writer_finish(w, &fits, NULL, &result, &err), &err);
		if (row == 2)
			assert_int_equal(p.visible.len, result.stored);
		assert_int_equal(p.finished, row == 2);
		buf_free(&p.visible);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_same_bytes_come_back_at_every_length),
	    cmocka_unit_test(pieces_and_pool_change_nothing_that_is_stored),
	    cmocka_unit_test(what_does_not_shrink_is_kept_as_it_is),
	    cmocka_unit_test(lent_buffers_serve_one_object_after_another),
	    cmocka_unit_test(a_sink_that_fails_at_any_byte_fails_the_object),
	    cmocka_unit_test(an_error_of_finish_passes_through),
	    cmocka_unit_test(a_writer_that_is_thrown_away_leaves_nothing),
	    cmocka_unit_test(a_spec_that_cannot_be_is_refused_and_the_sink_is_freed),
	    cmocka_unit_test(an_object_ends_at_its_cap_of_frames),
	    cmocka_unit_test(parts_past_their_cap_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
