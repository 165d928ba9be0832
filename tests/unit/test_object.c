/* The stored form under hostile bytes: whatever is changed, cut, added or swapped, it is seen, and never believed. */
#include "check.h"
#include "memory.h"

#include "base/bytes.h"

static const uint8_t key[OBJECT_KEY] = {1, 2, 3}, other_key[OBJECT_KEY] = {1, 2, 4};
#define CLEAR "{\"size\":1}"
#define SEALED "{\"file\":\"x\"}"

/* Compresses to next to nothing, and no two places in it are the same for long. */
static uint8_t *
make_plain(size_t len)
{
	uint8_t *p = malloc(len + 1);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i >> 16);
	return p;
}

static struct memory_blob
make(const uint8_t *with_key, uint8_t codec, size_t len, uint8_t *plain)
{
	struct memory_blob b;

	memory_object_write(&(struct memory_object){.kind = OBJECT_WAL,
				.codec = codec,
				.key = with_key,
				.clear = CLEAR,
				.sealed = SEALED,
				.plain = plain,
				.len = len},
	    &b);
	return b;
}

static struct memory_blob
with_length(const struct memory_blob *b, size_t len)
{
	struct memory_blob copy = *b;

	/* of exactly this length, so that a read past its end is seen */
	copy.data = malloc(len > 0 ? len : 1);
	assert_non_null(copy.data);
	memset(copy.data, 0, len);
	if (len > 0)
		memcpy(copy.data, b->data, len < b->len ? len : b->len);
	copy.len = len;
	return copy;
}

static void
expect_refusal(struct memory_blob *b, const uint8_t *with_key, const char *what, size_t at)
{
	BUF_AUTO struct buf out = {0};
	struct err err = {0};
	char row[80];
	int rc = memory_read(b, with_key, NULL, &out, &err);

	(void)snprintf(row, sizeof(row), "%s at byte %zu of %zu", what, at, b->len);
	if (rc != ERR_CONFIG)
		must_fail(rc, ERR_CORRUPT, &err, row);
}

static const struct {
	const uint8_t *key;
	uint8_t codec;
	size_t len;
} shapes[] = {
    {NULL, OBJECT_CODEC_NONE, 0},
    {key, OBJECT_CODEC_NONE, 0},
    {NULL, OBJECT_CODEC_NONE, 100},
    {key, OBJECT_CODEC_LZ4, 100},
    {NULL, OBJECT_CODEC_LZ4, 5000},
    {key, OBJECT_CODEC_ZSTD, 2 * OBJECT_FRAME + 17},
    {NULL, OBJECT_CODEC_ZSTD, 2 * OBJECT_FRAME + 17},
};

static void
every_changed_byte_is_refused(void **state)
{
	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
		FREE_AUTO uint8_t *plain = make_plain(shapes[s].len);
		struct memory_blob b = make(shapes[s].key, shapes[s].codec, shapes[s].len, plain);

		for (size_t i = 0; i < b.len; i++) {
			static const uint8_t changes[] = {0x01, 0x80, 0xff};

			for (size_t c = 0; c < ARRAY_LEN(changes); c++) {
				b.data[i] ^= changes[c];
				expect_refusal(&b, shapes[s].key, "changed", i);
				b.data[i] ^= changes[c];
			}
		}
		free(b.data);
	}
}

static void
every_truncation_and_everything_appended_is_refused(void **state)
{
	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
		FREE_AUTO uint8_t *plain = make_plain(shapes[s].len);
		struct memory_blob b = make(shapes[s].key, shapes[s].codec, shapes[s].len, plain);

		for (size_t len = 0; len < b.len; len++) {
			struct memory_blob cut = with_length(&b, len);

			expect_refusal(&cut, shapes[s].key, "cut", len);
			free(cut.data);
		}
		for (size_t more = 1; more < 200; more++) {
			struct memory_blob longer = with_length(&b, b.len + more);

			expect_refusal(&longer, shapes[s].key, "appended", more);
			/* a second tail at the very end, so that the search for it succeeds */
			if (more >= OBJECT_TAIL) {
				memcpy(longer.data + longer.len - OBJECT_TAIL, b.data + b.len - OBJECT_TAIL, OBJECT_TAIL);
				expect_refusal(&longer, shapes[s].key, "appended tail", more);
			}
			free(longer.data);
		}
		free(b.data);
	}
}

/* The tail of b with one of its numbers set. */
static void
lengths_that_overflow_are_refused_before_anything_is_allocated(void **state)
{
	static const struct {
		size_t at, bytes;
	} fields[] = {{8, 4}, {12, 4}, {16, 4}, {20, 4}, {24, 4}, {28, 4}, {32, 8}, {40, 8}};
	static const uint64_t values[] = {0, 1, OBJECT_HEADER_FIXED, OBJECT_HEADER_MAX, OBJECT_HEADER_MAX + 1,
	    OBJECT_FRAMES_MAX, OBJECT_FRAMES_MAX + 1, OBJECT_PART_MAX, OBJECT_PART_MAX + 1, INT32_MAX, UINT32_MAX - 1,
	    UINT32_MAX, INT64_MAX, UINT64_MAX - OBJECT_FRAME + 2, UINT64_MAX - 1, UINT64_MAX};
	FREE_AUTO uint8_t *plain = make_plain(5000);
	struct memory_blob b = make(key, OBJECT_CODEC_LZ4, 5000, plain);

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			struct memory_blob c = with_length(&b, b.len);
			uint8_t *at = c.data + c.len - OBJECT_TAIL + fields[f].at;

			if (fields[f].bytes == 4)
				le32_put(at, (uint32_t)values[v]);
			else
				le64_put(at, values[v]);
			if (memcmp(c.data, b.data, b.len) != 0) {
				expect_refusal(&c, key, "tail field", fields[f].at);
				c.size = UINT64_MAX; /* and from a store that lies about the size too */
				expect_refusal(&c, key, "tail field, huge", fields[f].at);
			}
			free(c.data);
		}
	}
	free(b.data);
}

static void
the_wrong_key_opens_nothing(void **state)
{
	FREE_AUTO uint8_t *plain = make_plain(100);
	struct memory_blob frames = make(key, OBJECT_CODEC_LZ4, 100, plain), sealed = make(key, OBJECT_CODEC_NONE, 0, plain);
	BUF_AUTO struct buf out = {0};
	struct err err = {0};

	(void)state;
	must_fail(memory_read(&frames, other_key, NULL, &out, &err), ERR_CORRUPT, &err, "frames");
	must_fail(memory_read(&sealed, other_key, NULL, &out, &err), ERR_CORRUPT, &err, "sealed part");
	must_fail(memory_read(&frames, NULL, NULL, &out, &err), ERR_BUG, &err, "no key");
	assert_int_equal(out.len, 0);
	free(frames.data);
	free(sealed.data);
}

/* Sign and digest again what somebody changed who holds a signing key: what then still protects are the tags. */
static void
sign_again(struct memory_blob *b)
{
	uint8_t signing[64], header_digest[OBJECT_DIGEST], root[OBJECT_DIGEST], digest[OBJECT_DIGEST];
	uint8_t *tail = b->data + b->len - OBJECT_TAIL, *sig = tail - OBJECT_SIGNATURE, *table;
	struct object_lengths l;
	struct err err = {0};

	must(object_tail_decode(&l, digest, tail, &err), &err);
	table = b->data + l.header + l.frame_bytes;
	object_hash(header_digest, b->data, l.header);
	object_root(root, header_digest, table, table + (size_t)l.frames * OBJECT_TABLE_ENTRY,
	    table + (size_t)l.frames * OBJECT_TABLE_ENTRY + l.clear, &l);
	memory_signing_key(signing, 1);
	object_signature_make(sig, root, signing);
	object_digest(digest, root, sig, l.signature);
	object_tail_encode(tail, &l, digest);
}

/* Frame and table entry number to of b become those of frame from of a; both have the same stored length. */
static void
put_frame(struct memory_blob *b, unsigned to, const struct memory_blob *a, unsigned from)
{
	OBJECT_INDEX_AUTO struct object_index *x = NULL, *y = NULL;
	struct memory_blob copy = with_length(a, a->len);
	struct object_input in_b = memory_input(b), in_a = memory_input(&copy);
	size_t table;
	struct err err = {0};

	must(object_index_read(&x, &in_b, &err), &err);
	must(object_index_read(&y, &in_a, &err), &err);
	assert_int_equal(x->frames[to].stored, y->frames[from].stored);
	table = x->lengths.header + (size_t)x->lengths.frame_bytes;
	memcpy(b->data + x->frames[to].offset, copy.data + y->frames[from].offset, x->frames[to].stored);
	memcpy(b->data + table + (size_t)to * OBJECT_TABLE_ENTRY,
	    copy.data + y->lengths.header + y->lengths.frame_bytes + (size_t)from * OBJECT_TABLE_ENTRY, OBJECT_TABLE_ENTRY);
	free(copy.data);
	sign_again(b);
}

static void
a_frame_is_bound_to_its_place_and_its_object(void **state)
{
	FREE_AUTO uint8_t *plain = calloc(1, 3 * OBJECT_FRAME);
	BUF_AUTO struct buf out = {0};
	struct err err = {0};

	(void)state;
	for (unsigned row = 0; row < 4; row++) {
		struct memory_object o = {
		    .kind = OBJECT_WAL, .key = key, .codec = OBJECT_CODEC_ZSTD, .plain = plain, .len = 3 * OBJECT_FRAME};
		struct memory_blob b, a;

		memory_object_write(&o, &b);
		if (row == 0)
			o.name = "wal/1/y"; /* the same key and bytes, another object */
		memory_object_write(&o, &a);
		sign_again(&b);
		must(memory_read(&b, key, NULL, &out, &err), &err); /* signing again alone is not what is refused */
		buf_reset(&out);
		if (row == 0)
			put_frame(&b, 1, &a, 1); /* of another object with the same key */
		else if (row == 1)
			put_frame(&b, 1, &b, 0); /* of another place */
		else if (row == 2)
			put_frame(&b, 2, &b, 1); /* one that was not the last */
		else
			put_frame(&b, 0, &b, 2); /* the last one */
		must_fail(memory_read(&b, key, NULL, &out, &err), ERR_CORRUPT, &err, "swapped");
		assert_non_null(strstr(err.msg, "does not open with its key"));
		buf_reset(&out);
		free(a.data);
		free(b.data);
	}
}

static void
a_header_that_no_writer_makes_is_refused(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t value;
		int want;
	} rows[] = {
	    {"magic", 0, 'Q', ERR_CORRUPT},
	    {"a newer version", 8, OBJECT_VERSION + 1, ERR_CONFIG},
	    {"a newer version, high byte", 9, 1, ERR_CONFIG},
	    {"length", 10, 63, ERR_CORRUPT},
	    {"length, high byte", 11, 200, ERR_CORRUPT},
	    {"a codec of the future", 13, OBJECT_CODEC_ZSTD + 1, ERR_CONFIG},
	    {"a cipher of the future", 14, OBJECT_CIPHER_XCHACHA20POLY1305 + 1, ERR_CONFIG},
	    {"a key without cipher", 14, OBJECT_CIPHER_NONE, ERR_CORRUPT},
	    {"frame size", 15, OBJECT_FRAME_SHIFT + 1, ERR_CORRUPT},
	    {"a feature of the future", 16, 1, ERR_CONFIG},
	    {"the highest feature", 23, 0x80, ERR_CONFIG},
	    {"no name", 56, 0, ERR_CORRUPT},
	    {"a longer name", 56, 8, ERR_CORRUPT},
	    {"a name past the end", 57, 1, ERR_CORRUPT},
	    {"a longer key", 58, 85, ERR_CORRUPT},
	    {"a key past the end", 59, 0xff, ERR_CORRUPT},
	    {"reserved", 60, 1, ERR_CORRUPT},
	    {"reserved, last byte", 63, 1, ERR_CORRUPT},
	    {"NUL in the name", 64, 0, ERR_CORRUPT},
	};
	struct object_header h = {.kind = OBJECT_WAL,
	    .codec = OBJECT_CODEC_LZ4,
	    .cipher = OBJECT_CIPHER_XCHACHA20POLY1305,
	    .name = "wal/1/x",
	    .sealed_key_len = 84};
	struct object_header back;
	uint8_t good[OBJECT_HEADER_MAX], bytes[OBJECT_HEADER_MAX];
	struct err err = {0};
	size_t len, took;

	(void)state;
	must(object_header_encode(&h, good, &len, &err), &err);
	must(object_header_decode(&back, good, len, &took, &err), &err);
	assert_int_equal(took, len);
	assert_memory_equal(&back, &h, sizeof(h));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err = (struct err){0};
		memcpy(bytes, good, sizeof(bytes));
		bytes[rows[i].at] = rows[i].value;
		must_fail(object_header_decode(&back, bytes, len, &took, &err), rows[i].want, &err, rows[i].what);
		assert_int_equal(err.hint[0] != '\0', rows[i].want == ERR_CONFIG);
	}
	for (size_t have = 0; have < len; have++)
		must_fail(object_header_decode(&back, good, have, &took, &err), ERR_CORRUPT, &err, "a part of it");
}

static void
a_key_id_without_cipher_is_refused(void **state)
{
	struct object_header h = {.kind = OBJECT_RECORD, .name = "signers/0000"}, back;
	uint8_t bytes[OBJECT_HEADER_MAX];
	struct err err = {0};
	size_t len, took;

	(void)state;
	must(object_header_encode(&h, bytes, &len, &err), &err);
	must(object_header_decode(&back, bytes, len, &took, &err), &err);
	bytes[40 + OBJECT_KEY_ID - 1] = 1;
	must_fail(object_header_decode(&back, bytes, len, &took, &err), ERR_CORRUPT, &err, "the id of no key");
}

static void
a_header_that_does_not_fit_is_our_own_mistake(void **state)
{
	struct object_header h = {.kind = OBJECT_WAL};
	uint8_t out[OBJECT_HEADER_MAX];
	struct err err = {0};
	size_t len;

	(void)state;
	must_fail(object_header_encode(&h, out, &len, &err), ERR_BUG, &err, "no name");
	memset(h.name, 'x', sizeof(h.name));
	must_fail(object_header_encode(&h, out, &len, &err), ERR_BUG, &err, "a name without NUL");
	h.name[OBJECT_NAME_MAX - 1] = '\0';
	h.sealed_key_len = OBJECT_SEALED_KEY_MAX;
	must(object_header_encode(&h, out, &len, &err), &err);
	assert_int_equal(len, OBJECT_HEADER_MAX - 1);
	h.sealed_key_len++;
	must_fail(object_header_encode(&h, out, &len, &err), ERR_BUG, &err, "a key that is too long");
}

static void
a_signature_fits_one_root_and_one_purpose(void **state)
{
	uint8_t signing[64], root[OBJECT_DIGEST] = {1}, sig[OBJECT_SIGNATURE], signer[32];
	struct err err = {0};

	(void)state;
	memory_signing_key(signing, 1);
	object_signature_make(sig, root, signing);
	must(object_signature_check(sig, root, signer, &err), &err);
	assert_memory_equal(signer, signing + 32, 32);
	for (size_t i = 0; i < sizeof(sig); i++) {
		sig[i] ^= 1;
		must_fail(object_signature_check(sig, root, signer, &err), ERR_CORRUPT, &err, "changed");
		sig[i] ^= 1;
	}
	root[31] ^= 1;
	must_fail(object_signature_check(sig, root, signer, &err), ERR_CORRUPT, &err, "another root");
}

static void
a_kind_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(object_kind_name(OBJECT_WAL), "wal");
	assert_string_equal(object_kind_name(OBJECT_RECORD), "record");
	assert_string_equal(object_kind_name(0), "?");
	assert_string_equal(object_kind_name(9), "quarantine");
	assert_string_equal(object_kind_name(10), "wal-index");
	assert_string_equal(object_kind_name(11), "?");
	assert_string_equal(object_kind_name(255), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_changed_byte_is_refused),
	    cmocka_unit_test(every_truncation_and_everything_appended_is_refused),
	    cmocka_unit_test(lengths_that_overflow_are_refused_before_anything_is_allocated),
	    cmocka_unit_test(the_wrong_key_opens_nothing),
	    cmocka_unit_test(a_frame_is_bound_to_its_place_and_its_object),
	    cmocka_unit_test(a_header_that_no_writer_makes_is_refused),
	    cmocka_unit_test(a_key_id_without_cipher_is_refused),
	    cmocka_unit_test(a_header_that_does_not_fit_is_our_own_mistake),
	    cmocka_unit_test(a_signature_fits_one_root_and_one_purpose),
	    cmocka_unit_test(a_kind_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
