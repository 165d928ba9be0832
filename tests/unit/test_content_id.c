/* The content id says "the same bytes" under one key, whatever the pieces, and nothing under another. */
#include "check.h"

#include "codec/content_id.h"
#include "keys/secret.h"

static const uint8_t key[COMPARISON_KEY] = {1}, other_key[COMPARISON_KEY] = {2};

static void
id_of(const uint8_t with[COMPARISON_KEY], const uint8_t *data, size_t len, size_t step, uint8_t out[CONTENT_ID])
{
	CONTENT_ID_AUTO struct content_id *c = NULL;
	struct err err = {0};

	must(content_id_new(&c, with, &err), &err);
	for (size_t at = 0; at < len; at += step)
		content_id_update(c, data + at, len - at < step ? len - at : step);
	content_id_final(c, out);
}

static void
pieces_change_nothing_and_every_bit_changes_it(void **state)
{
	static const size_t steps[] = {1, 7, 64, 240, 241, 1024, 5000};
	uint8_t data[3000], whole[CONTENT_ID], other[CONTENT_ID];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	id_of(key, data, sizeof(data), sizeof(data), whole);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		id_of(key, data, sizeof(data), steps[i], other);
		assert_memory_equal(whole, other, CONTENT_ID);
	}
	for (size_t i = 0; i < sizeof(data); i += 13) {
		data[i] ^= 0x10;
		id_of(key, data, sizeof(data), sizeof(data), other);
		assert_memory_not_equal(whole, other, CONTENT_ID);
		data[i] ^= 0x10;
	}
}

static void
length_and_key_count(void **state)
{
	static const uint8_t zeros[1000];
	uint8_t ids[4][CONTENT_ID];

	(void)state;
	id_of(key, zeros, 0, 1, ids[0]);
	id_of(key, zeros, 1, 1, ids[1]);
	id_of(key, zeros, 1000, 1000, ids[2]);
	id_of(other_key, zeros, 1000, 1000, ids[3]);
	for (int i = 0; i < 4; i++)
		for (int k = i + 1; k < 4; k++)
			assert_memory_not_equal(ids[i], ids[k], CONTENT_ID);
	content_id_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pieces_change_nothing_and_every_bit_changes_it),
	    cmocka_unit_test(length_and_key_count),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
