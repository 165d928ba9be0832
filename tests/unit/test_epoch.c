/* Recipients, identities and epoch keys: files line by line, and what opens for whom. */
#include "keyfile.h"

#include <sodium.h>

#include "base/str.h"
#include "keys/epoch.h"

/* Key pairs that are the same in every run. */
static void
pair(uint8_t number, uint8_t public_key[KEY_BYTES], uint8_t private_key[KEY_BYTES])
{
	uint8_t seed[crypto_box_SEEDBYTES] = {number, 1};

	crypto_box_seed_keypair(public_key, private_key, seed);
}

static void
texts(uint8_t number, char recipient[KEY_TEXT], char identity[KEY_TEXT])
{
	uint8_t public_key[KEY_BYTES], private_key[KEY_BYTES];

	pair(number, public_key, private_key);
	key_format(recipient, KEY_TYPE_RECIPIENT, public_key);
	key_format(identity, KEY_TYPE_IDENTITY, private_key);
}

/* A row's text with R, S, I for two recipients and an identity. */
static size_t
expand(const char *row, char *out, size_t size)
{
	char r[KEY_TEXT], s[KEY_TEXT], i[KEY_TEXT];
	size_t n = 0;

	texts(1, r, i);
	texts(2, s, i);
	texts(1, r, i);
	for (; *row != '\0'; row++) {
		const char *word = *row == 'R' ? r : *row == 'S' ? s : *row == 'I' ? i : NULL;

		if (word == NULL)
			out[n++] = *row == '0' ? '\0' : *row;
		else
			n += (size_t)snprintf(out + n, size - n, "%s", word);
	}
	return n;
}

#define LONG_NAME "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" /* 63 */

static void
a_recipients_file_is_taken_whole_or_not_at_all(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		int want;
		const char *name; /* of the last one */
	} rows[] = {
	    {"R", 1, 0, ""},
	    {"R\n", 1, 0, ""},
	    {"R ops\nS escrow, offline\n", 2, 0, "escrow, offline"},
	    {"# c\r\n\r\nR ops\r\nS escrow\r\n", 2, 0, "escrow"},
	    {"R " LONG_NAME "\n", 1, 0, LONG_NAME},
	    {"R " LONG_NAME "n\n", 0, ERR_CONFIG, NULL},
	    {"", 0, ERR_CONFIG, NULL},
	    {"\n# nobody\n", 0, ERR_CONFIG, NULL},
	    {"R\nR\n", 0, ERR_CONFIG, NULL},
	    {"R a\nS b\nR c\n", 0, ERR_CONFIG, NULL},
	    {"I\n", 0, ERR_CONFIG, NULL},
	    {"R\nI\n", 0, ERR_CONFIG, NULL},
	    {"R\nx25519:\n", 0, ERR_CONFIG, NULL},
	    {"R\nx25519:AAAA\n", 0, ERR_CONFIG, NULL},
	    {"R\nage1qqqq\n", 0, ERR_CONFIG, NULL},
	    {"RS\n", 0, ERR_CONFIG, NULL},
	    {"R,S\n", 0, ERR_CONFIG, NULL},
	    {"\tR\n", 0, ERR_CONFIG, NULL},
	    {"R ops0 hidden\n", 0, ERR_CONFIG, NULL},
	    {"R\n0", 0, ERR_CONFIG, NULL},
	};
	struct keyfile_dir d;

	(void)state;
	keyfile_open(&d);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct recipients to;
		struct err err = {0};
		char text[1024];
		size_t len = expand(rows[i].text, text, sizeof(text));

		keyfile_put(&d, text, len, 0644);
		if (rows[i].want == 0) {
			must(recipients_read_file(&to, d.file, &err), &err);
			assert_int_equal(to.n, rows[i].n);
			assert_string_equal(to.list[to.n - 1].name, rows[i].name);
			continue;
		}
		must_fail(recipients_read_file(&to, d.file, &err), rows[i].want, &err, rows[i].text);
		assert_non_null(strstr(err.msg, d.file));
		keyfile_is_not_told(text, len, &err, rows[i].text);
	}
	keyfile_close(&d);
}

static void
there_is_room_for_64_recipients_and_no_more(void **state)
{
	struct keyfile_dir d;
	BUF_AUTO struct buf b = {0};
	struct recipients to;
	struct err err = {0};

	(void)state;
	keyfile_open(&d);
	for (uint8_t i = 1; i <= 65; i++) {
		char r[KEY_TEXT], id[KEY_TEXT];

		texts(i, r, id);
		must(buf_printf(&b, &err, "%s number %d\n", r, i), &err);
		if (i < 64)
			continue;
		keyfile_put(&d, b.data, b.len, 0644);
		if (i == 64)
			must(recipients_read_file(&to, d.file, &err), &err);
	}
	assert_int_equal(to.n, 64);
	must_fail(recipients_read_file(&to, d.file, &err), ERR_CONFIG, &err, "65");
	assert_non_null(strstr(err.msg, ":65: more than 64"));
	keyfile_close(&d);
}

static void
an_identity_file_is_a_secret_of_one_or_more_keys(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		size_t n;
		int want;
	} rows[] = {
	    {"I\n", 0600, 1, 0},
	    {"I", 0400, 1, 0},
	    {"# mine\r\nI me\r\n", 0600, 1, 0},
	    {"I\n", 0644, 0, ERR_CONFIG},
	    {"I\n", 0604, 0, ERR_CONFIG},
	    {"R\n", 0600, 0, ERR_CONFIG},
	    {"I\nR\n", 0600, 0, ERR_CONFIG},
	    {"", 0600, 0, ERR_CONFIG},
	    {"#\n", 0600, 0, ERR_CONFIG},
	    {"I0\n", 0600, 0, ERR_CONFIG},
	    {"identity-x25519:AAAA\n", 0600, 0, ERR_CONFIG},
	    {"I\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\n", 0600, 16, 0},
	    {"I\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\nI\n", 0600, 0, ERR_CONFIG},
	};
	struct keyfile_dir d;

	(void)state;
	keyfile_open(&d);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		IDENTITY_AUTO struct identity *id = NULL;
		uint8_t public_key[KEY_BYTES], private_key[KEY_BYTES], got[KEY_BYTES];
		struct err err = {0};
		char text[2048];
		size_t len = expand(rows[i].text, text, sizeof(text));

		keyfile_put(&d, text, len, rows[i].mode);
		if (rows[i].want == 0) {
			must(identity_read_file(&id, d.file, &err), &err);
			assert_int_equal(identity_count(id), rows[i].n);
			pair(1, public_key, private_key);
			identity_recipient(id, 0, got);
			assert_memory_equal(got, public_key, KEY_BYTES);
			continue;
		}
		must_fail(identity_read_file(&id, d.file, &err), rows[i].want, &err, rows[i].text);
		assert_null(id);
		keyfile_is_not_told(text, len, &err, rows[i].text);
	}
	keyfile_close(&d);
}

struct cast {
	struct keyfile_dir d;
	struct recipients to;
	struct identity *one, *stranger;
	struct epoch epoch;
	json_t *record;
};

static int
cast_setup(void **state)
{
	struct cast *c = calloc(1, sizeof(*c));
	char r[KEY_TEXT], id[KEY_TEXT];
	struct err err = {0};

	keyfile_open(&c->d);
	for (uint8_t i = 1; i <= 3; i++) {
		uint8_t private_key[KEY_BYTES];

		texts(i, r, id);
		keyfile_put(&c->d, id, strlen(id), 0600);
		if (i == 2)
			must(identity_read_file(&c->one, c->d.file, &err), &err);
		if (i == 3)
			must(identity_read_file(&c->stranger, c->d.file, &err), &err);
		else
			pair(i, c->to.list[c->to.n++].key, private_key);
	}
	must(epoch_create(&c->epoch, &c->record, "wal", &c->to, &err), &err);
	*state = c;
	return 0;
}

static int
cast_teardown(void **state)
{
	struct cast *c = *state;

	json_decref(c->record);
	identity_free(c->one);
	identity_free(c->stranger);
	keyfile_close(&c->d);
	free(c);
	return 0;
}

static void
an_object_key_opens_for_a_recipient_and_nobody_else(void **state)
{
	struct cast *c = *state;
	SECRET_AUTO struct secret *key = NULL, *back = NULL, *private_key = NULL, *none = NULL;
	struct object_header h = {0};
	struct epoch again, other;
	json_t *other_record = NULL;
	struct err err = {0};

	must(epoch_from_record(&again, c->record, &err), &err);
	assert_memory_equal(&again, &c->epoch, sizeof(again));
	must(epoch_seal_object_key(&c->epoch, &h, &key, &err), &err);
	assert_false(sodium_is_zero(key->bytes, OBJECT_KEY));
	assert_null(memmem(h.sealed_key, h.sealed_key_len, key->bytes, OBJECT_KEY));
	must(epoch_open(&private_key, c->record, c->one, &err), &err);
	must(epoch_open_object_key(&h, private_key, &back, &err), &err);
	assert_memory_equal(back->bytes, key->bytes, OBJECT_KEY);
	must_fail(epoch_open(&none, c->record, c->stranger, &err), ERR_AUTH, &err, "stranger");
	assert_true(err.hint[0] != '\0');
	secret_free(STEAL(private_key));
	must(epoch_create(&other, &other_record, "wal", &c->to, &err), &err);
	assert_memory_not_equal(other.key_id, c->epoch.key_id, OBJECT_KEY_ID);
	must(epoch_open(&private_key, other_record, c->one, &err), &err);
	must_fail(epoch_open_object_key(&h, private_key, &none, &err), ERR_CORRUPT, &err, "another epoch");
	for (uint16_t i = 0; i < h.sealed_key_len; i++) {
		struct object_header bad = h;

		bad.sealed_key[i] ^= 1;
		assert_true(epoch_open_object_key(&bad, private_key, &none, &err) < 0);
		bad = h;
		bad.sealed_key_len = i;
		must_fail(epoch_open_object_key(&bad, private_key, &none, &err), ERR_CONFIG, &err, "cut stanza");
	}
	assert_null(none);
	json_decref(other_record);
}

/* The private half in the record is not the one of its public half: somebody who may sign made it up. */
static void
a_record_that_was_made_up_is_refused(void **state)
{
	struct cast *c = *state;
	json_t *sealed = json_object_get(c->record, "sealed"), *other_record = NULL, *first;
	SECRET_AUTO struct secret *s = NULL;
	struct epoch other, e;
	struct err err = {0};
	const struct {
		const char *member;
		json_t *value;
	} rows[] = {{"key_id", json_string("00")}, {"key_id", json_string("00000000000000000000000000000000")},
	    {"key_id", json_null()}, {"public", json_string("zz")}, {"public", json_integer(1)}};

	must(epoch_create(&other, &other_record, "wal", &c->to, &err), &err);
	first = json_object_get(other_record, "sealed");
	for (size_t i = 0; i < 2; i++)
		json_object_set(json_array_get(sealed, i), "box", json_object_get(json_array_get(first, i), "box"));
	must_fail(epoch_open(&s, c->record, c->one, &err), ERR_CORRUPT, &err, "another private half");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *kept = json_incref(json_object_get(c->record, rows[i].member));

		json_object_set_new(c->record, rows[i].member, rows[i].value);
		must_fail(epoch_from_record(&e, c->record, &err), ERR_CORRUPT, &err, rows[i].member);
		must_fail(epoch_open(&s, c->record, c->one, &err), ERR_CORRUPT, &err, rows[i].member);
		json_object_set_new(c->record, rows[i].member, kept);
	}
	json_array_clear(sealed);
	json_array_append_new(sealed, json_string("not an object"));
	json_array_append_new(sealed, json_object());
	must_fail(epoch_open(&s, c->record, c->one, &err), ERR_AUTH, &err, "no stanza for it");
	json_object_del(c->record, "sealed");
	must_fail(epoch_open(&s, c->record, c->one, &err), ERR_CORRUPT, &err, "no stanzas");
	assert_null(s);
	json_decref(other_record);
}

static void
an_epoch_for_nobody_or_for_no_key_is_refused(void **state)
{
	struct cast *c = *state;
	struct recipients nobody = {.n = 0}, zero = {.n = 1};
	json_t *record = NULL;
	struct epoch e;
	struct err err = {0};

	must_fail(epoch_create(&e, &record, "wal", &nobody, &err), ERR_BUG, &err, "nobody");
	assert_true(epoch_create(&e, &record, "wal", &zero, &err) < 0); /* the all-zero point is no key */
	assert_null(record);
	assert_false(recipients_contains(&c->to, zero.list[0].key));
	assert_true(recipients_contains(&c->to, c->to.list[1].key));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_recipients_file_is_taken_whole_or_not_at_all),
	    cmocka_unit_test(there_is_room_for_64_recipients_and_no_more),
	    cmocka_unit_test(an_identity_file_is_a_secret_of_one_or_more_keys),
	    cmocka_unit_test_setup_teardown(an_object_key_opens_for_a_recipient_and_nobody_else, cast_setup, cast_teardown),
	    cmocka_unit_test_setup_teardown(a_record_that_was_made_up_is_refused, cast_setup, cast_teardown),
	    cmocka_unit_test_setup_teardown(an_epoch_for_nobody_or_for_no_key_is_refused, cast_setup, cast_teardown),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
