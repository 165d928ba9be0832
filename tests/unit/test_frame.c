/* One frame and one part, there and back: what is bound to them, and what hostile lengths do. */
#include "check.h"

#include <sodium.h>

#include "codec/object.h"

static const uint8_t header_digest[OBJECT_DIGEST] = {1}, other_digest[OBJECT_DIGEST] = {2}, key[OBJECT_KEY] = {3};

struct sealed {
	struct object_frame_context c;
	struct object_frame frame;
	uint8_t *plain, *stored;
	size_t len;
};

static struct sealed
seal(uint8_t codec, const uint8_t *with_key, size_t len)
{
	struct sealed s = {.c = {.header_digest = header_digest, .key = with_key, .codec = codec, .number = 5},
	    .plain = malloc(OBJECT_FRAME),
	    .stored = malloc(OBJECT_FRAME_STORED_MAX),
	    .len = len};
	void *state = NULL;
	struct err err = {0};

	assert_non_null(s.plain);
	assert_non_null(s.stored);
	for (size_t i = 0; i < OBJECT_FRAME; i++)
		s.plain[i] = (uint8_t)(i / 100);
	must(object_frame_seal(&s.c, s.plain, len, s.stored, &s.frame, &state, &err), &err);
	object_hash(s.frame.digest, s.stored, s.frame.stored);
	object_codec_state_free(state);
	return s;
}

static void
sealed_free(struct sealed *s)
{
	free(s->plain);
	free(s->stored);
}

static int
open_as(
    const struct sealed *s, const struct object_frame_context *c, const struct object_frame *f, size_t want, struct err *err)
{
	FREE_AUTO uint8_t *plain = malloc(want > 0 && want < OBJECT_FRAME ? want : OBJECT_FRAME);
	FREE_AUTO uint8_t *stored = malloc(OBJECT_FRAME_STORED_MAX); /* opening a frame spoils it */
	int rc;

	assert_non_null(plain);
	assert_non_null(stored);
	memcpy(stored, s->stored, OBJECT_FRAME_STORED_MAX);
	rc = f->stored <= OBJECT_FRAME_STORED_MAX ? object_digests_check(c->number, f, 1, stored, err) : 0;
	if (rc == 0)
		rc = object_frame_open(c, f, stored, plain, want, err);
	if (rc == 0)
		assert_memory_equal(plain, s->plain, want);
	return rc;
}

static void
a_frame_opens_only_as_what_it_was_sealed_as(void **state)
{
	static const size_t lengths[] = {1, 2, 1000, OBJECT_FRAME};

	(void)state;
	for (size_t i = 0; i < 3 * ARRAY_LEN(lengths); i++) {
		uint8_t other_key[OBJECT_KEY] = {4};
		struct sealed s = seal((uint8_t)(i % 3), key, lengths[i / 3]);
		struct object_frame_context c;
		struct object_frame f;
		struct err err = {0};

		must(open_as(&s, &s.c, &s.frame, s.len, &err), &err);
		for (int change = 0; change < 8; change++) {
			size_t want = s.len;

			c = s.c;
			f = s.frame;
			if (change == 0)
				c.header_digest = other_digest;
			else if (change == 1)
				c.key = other_key;
			else if (change == 2)
				c.number++;
			else if (change == 3)
				c.last = !c.last;
			else if (change == 4)
				f.encoding = (uint8_t)((f.encoding + 1) % 3);
			else if (change == 5)
				want = s.len > 1 ? s.len - 1 : 2;
			else if (change == 6)
				f.digest[0] ^= 1;
			else
				c.key = NULL;
			if (change == 7 && s.len > 1 && s.frame.encoding == OBJECT_CODEC_NONE)
				want = s.len;
			must_fail(open_as(&s, &c, &f, want, &err), ERR_CORRUPT, &err, "changed");
		}
		sealed_free(&s);
	}
}

static void
impossible_lengths_are_refused_unread(void **state)
{
	static const struct {
		uint32_t stored;
		size_t want;
	} rows[] = {{0, 100}, {OBJECT_TAG, 100}, {OBJECT_TAG + 101, 100}, {UINT32_MAX, 100}, {UINT32_MAX, OBJECT_FRAME},
	    {OBJECT_FRAME_STORED_MAX + 1, OBJECT_FRAME}, {116, 0}, {116, OBJECT_FRAME + 1}, {116, SIZE_MAX}, {115, 100}};
	struct sealed s = seal(OBJECT_CODEC_NONE, key, 100);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct object_frame f = s.frame;
		struct err err = {0};
		uint8_t room[128];

		f.stored = rows[i].stored;
		must_fail(object_frame_open(&s.c, &f, s.stored, room, rows[i].want, &err), ERR_CORRUPT, &err, "length");
	}
	sealed_free(&s);
}

static void
compressed_bytes_that_are_not_so_are_refused(void **state)
{
	static const uint8_t codecs[] = {OBJECT_CODEC_LZ4, OBJECT_CODEC_ZSTD, 3, 255};
	FREE_AUTO uint8_t *plain = malloc(1000);
	uint8_t stored[300];

	(void)state;
	for (unsigned seed = 0; seed < 200; seed++) {
		for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
			struct object_frame_context c = {.header_digest = header_digest, .codec = codecs[i]};
			struct object_frame f = {.stored = sizeof(stored), .encoding = codecs[i]};
			uint8_t seed_bytes[randombytes_SEEDBYTES] = {(uint8_t)seed};
			struct err err = {0};

			randombytes_buf_deterministic(stored, sizeof(stored), seed_bytes);
			object_hash(f.digest, stored, sizeof(stored));
			must_fail(object_frame_open(&c, &f, stored, plain, 1000, &err), ERR_CORRUPT, &err, "random");
		}
	}
}

static void
a_frame_that_cannot_be_is_our_own_mistake(void **state)
{
	struct object_frame_context c = {.header_digest = header_digest};
	struct object_frame f;
	struct err err = {0};
	void *codec = NULL;
	uint8_t b[64] = {0};

	(void)state;
	must_fail(object_frame_seal(&c, b, 0, b, &f, &codec, &err), ERR_BUG, &err, "empty");
	must_fail(object_frame_seal(&c, b, OBJECT_FRAME + 1, b, &f, &codec, &err), ERR_BUG, &err, "too long");
	assert_null(codec);
	object_codec_state_free(NULL);
}

static void
a_part_comes_back_or_is_refused(void **state)
{
	struct object_frame_context c = {
	    .header_digest = header_digest, .key = key, .number = OBJECT_SEALED_FRAME, .last = true};
	struct object_frame_context d = c;
	struct err err = {0};

	(void)state;
	for (size_t len = 0; len < 40; len++) {
		BUF_AUTO struct buf stored = {0}, out = {0}, none = {0};
		char text[41] = "0123456789012345678901234567890123456789";

		must(object_part_seal(&c, text, len, &stored, &err), &err);
		assert_int_equal(stored.len, len > 0 ? len + OBJECT_TAG : 0);
		must(object_part_open(&c, stored.data, stored.len, &out, &err), &err);
		assert_int_equal(out.len, len);
		assert_memory_equal(buf_text(&out), text, len);
		for (size_t cut = 1; cut < stored.len; cut++)
			must_fail(object_part_open(&c, stored.data, cut, &none, &err), ERR_CORRUPT, &err, "cut");
		d.number = 0;
		if (len > 0)
			must_fail(
			    object_part_open(&d, stored.data, stored.len, &none, &err), ERR_CORRUPT, &err, "a frame's place");
		assert_int_equal(none.len, 0);
	}
}

/* Any lengths side by side, the ends of blocks among them, are what each is by itself. */
static void
digests_made_together_are_the_same(void **state)
{
	static const size_t lengths[] = {0, 1, 127, 128, 129, 255, 256, 257, 1000, 4096, 100000};
	FREE_AUTO uint8_t *bytes = malloc(100000 + 64);

	(void)state;
	assert_non_null(bytes);
	randombytes_buf(bytes, 100000 + 64);
	for (unsigned i = 0; i < 4000; i++) {
		uint8_t made[OBJECT_HASH_LANES + 1][OBJECT_DIGEST], want[OBJECT_DIGEST];
		struct object_hash_job jobs[OBJECT_HASH_LANES + 1];
		size_t n = i % (OBJECT_HASH_LANES + 2);

		for (size_t k = 0; k < n; k++) {
			size_t len = lengths[(i / (k + 1) + 3 * k) % ARRAY_LEN(lengths)];

			jobs[k] = (struct object_hash_job){bytes + k * 13, len, made[k]};
		}
		object_hash_many(jobs, n);
		for (size_t k = 0; k < n; k++) {
			crypto_generichash(want, sizeof(want), jobs[k].data, jobs[k].len, NULL, 0);
			assert_memory_equal(made[k], want, OBJECT_DIGEST);
		}
	}
}

/* The first frame whose digest differs is named; more than can be checked at once is our own mistake. */
static void
a_wrong_digest_names_its_frame(void **state)
{
	struct object_frame frames[OBJECT_HASH_LANES + 1];
	uint8_t stored[(OBJECT_HASH_LANES + 1) * 100] = {7};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i <= OBJECT_HASH_LANES; i++) {
		frames[i] = (struct object_frame){.stored = 100};
		object_hash(frames[i].digest, stored + i * 100, 100);
	}
	must(object_digests_check(40, frames, OBJECT_HASH_LANES, stored, &err), &err);
	must_fail(object_digests_check(40, frames, OBJECT_HASH_LANES + 1, stored, &err), ERR_BUG, &err, "too many");
	for (size_t i = OBJECT_HASH_LANES; i-- > 0;) {
		char name[32];

		stored[i * 100 + 99] ^= 1;
		(void)snprintf(name, sizeof(name), "frame %zu ", 40 + i);
		must_fail(
		    object_digests_check(40, frames, OBJECT_HASH_LANES, stored, &err), ERR_CORRUPT, &err, "a flipped bit");
		assert_non_null(strstr(err.msg, name));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(digests_made_together_are_the_same),
	    cmocka_unit_test(a_wrong_digest_names_its_frame),
	    cmocka_unit_test(a_frame_opens_only_as_what_it_was_sealed_as),
	    cmocka_unit_test(impossible_lengths_are_refused_unread),
	    cmocka_unit_test(compressed_bytes_that_are_not_so_are_refused),
	    cmocka_unit_test(a_frame_that_cannot_be_is_our_own_mistake),
	    cmocka_unit_test(a_part_comes_back_or_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
