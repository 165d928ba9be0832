/* The signing key of a host: made once, read again, and refused when others can read it. */
#include "keyfile.h"

#include <sodium.h>

#include "keys/sign.h"

static void
a_signing_key_is_made_once_and_read_again(void **state)
{
	struct signing_key made = {0}, back = {0}, none = {0};
	struct keyfile_dir d;
	struct err err = {0};
	struct stat st;

	(void)state;
	keyfile_open(&d);
	must_fail(signing_key_read(&none, d.file, &err), ERR_NOT_FOUND, &err, "absent");
	must(signing_key_create(&made, d.file, &err), &err);
	assert_int_equal(stat(d.file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	must_fail(signing_key_create(&none, d.file, &err), ERR_EXISTS, &err, "again");
	must(signing_key_read(&back, d.file, &err), &err);
	assert_memory_equal(back.public_key, made.public_key, KEY_BYTES);
	assert_memory_equal(back.secret->bytes, made.secret->bytes, 64);
	assert_memory_equal(made.secret->bytes + 32, made.public_key, KEY_BYTES);
	assert_null(none.secret);
	signing_key_free(&made);
	signing_key_free(&made);
	signing_key_free(&back);
	keyfile_close(&d);
}

static void
a_bad_signing_key_is_refused_and_not_told(void **state)
{
	const uint8_t seed[KEY_BYTES] = {0x77, 1, 2, 3};
	char good[KEY_TEXT], other[KEY_TEXT];
	struct keyfile_dir d;
	struct {
		const char *text;
		size_t len;
		mode_t mode;
	} rows[] = {{good, 0, 0644}, {good, 20, 0600}, {other, 0, 0600}, {"\n", 1, 0600}, {good + 1, 0, 0600}, {"", 0, 0600}};

	(void)state;
	keyfile_open(&d);
	key_format(good, KEY_TYPE_SIGNING, seed);
	key_format(other, KEY_TYPE_SIGNER, seed);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signing_key k = {0};
		struct err err = {0};
		size_t len = rows[i].len != 0 ? rows[i].len : strlen(rows[i].text);

		keyfile_put(&d, rows[i].text, len, rows[i].mode);
		must_fail(signing_key_read(&k, d.file, &err), ERR_CONFIG, &err, rows[i].text);
		assert_null(strstr(err.msg, good + 20));
		assert_null(strstr(err.hint, good + 20));
		assert_null(k.secret);
	}
	keyfile_close(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_signing_key_is_made_once_and_read_again),
	    cmocka_unit_test(a_bad_signing_key_is_refused_and_not_told),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
