/* Keys as text and in files: what is not exactly a key is refused, and no message ever holds one. */
#include "keyfile.h"

#include <sodium.h>
#include <sys/resource.h>

#include "base/str.h"
#include "keys/secret.h"

static const uint8_t key[KEY_BYTES] = {0xfe, 1, 2, 3, 4, 5};

static void
a_key_comes_back_from_its_text(void **state)
{
	static const char *const types[] = {
	    KEY_TYPE_RECIPIENT, KEY_TYPE_IDENTITY, KEY_TYPE_SIGNER, KEY_TYPE_SIGNING, KEY_TYPE_COMPARISON};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		char text[KEY_TEXT];
		uint8_t back[KEY_BYTES];

		key_format(text, types[i], key);
		must(key_parse(back, types[i], text, strlen(text), &err), &err);
		assert_memory_equal(back, key, KEY_BYTES);
		for (size_t k = 0; k < ARRAY_LEN(types); k++)
			if (k != i)
				must_fail(
				    key_parse(back, types[k], text, strlen(text), &err), ERR_CONFIG, &err, "another type");
	}
}

static void
every_typing_error_is_refused_and_nothing_is_told(void **state)
{
	char text[KEY_TEXT], wrong[KEY_TEXT + 2];
	uint8_t back[KEY_BYTES] = {0};
	struct err err = {0};
	size_t len;

	(void)state;
	key_format(text, KEY_TYPE_COMPARISON, key);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		memcpy(wrong, text, len + 1);
		wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
		must_fail(key_parse(back, KEY_TYPE_COMPARISON, wrong, len, &err), ERR_CONFIG, &err, "changed");
		keyfile_is_not_told(wrong, len, &err, "changed");
		must_fail(key_parse(back, KEY_TYPE_COMPARISON, text, i, &err), ERR_CONFIG, &err, "cut");
		keyfile_is_not_told(text, len, &err, "cut");
		memmove(wrong, text, i);
		wrong[i] = i % 2 != 0 ? ' ' : '\0';
		memcpy(wrong + i + 1, text + i, len - i);
		must_fail(key_parse(back, KEY_TYPE_COMPARISON, wrong, len + 1, &err), ERR_CONFIG, &err, "inserted");
		keyfile_is_not_told(wrong, len + 1, &err, "inserted");
	}
	memcpy(wrong, text, len);
	wrong[len] = 'A';
	must_fail(key_parse(back, KEY_TYPE_COMPARISON, wrong, len + 1, &err), ERR_CONFIG, &err, "longer");
	assert_true(sodium_is_zero(back, sizeof(back)));
}

static void
a_key_file_is_read_as_people_write_it(void **state)
{
	struct keyfile_dir d;
	char text[KEY_TEXT], file[512];
	uint8_t back[KEY_BYTES];
	struct err err = {0};
	const struct {
		const char *format;
		int want;
	} rows[] = {
	    {"%s\n", 0},
	    {"%s", 0},
	    {"%s\r\n", 0},
	    {"%s name of it\n", 0},
	    {"# comment\n\n  \n\t\r\n%s \t\r\n\n", 0},
	    {"%s\nwhat follows is not looked at\n", 0},
	    {"", ERR_CONFIG},
	    {"\n\n", ERR_CONFIG},
	    {"# only this\n", ERR_CONFIG},
	    {" %s\n", ERR_CONFIG},
	    {"%s:\n", ERR_CONFIG},
	    {"garbage\n%s\n", ERR_CONFIG},
	    {"\"%s\"\n", ERR_CONFIG},
	};

	(void)state;
	keyfile_open(&d);
	key_format(text, KEY_TYPE_COMPARISON, key);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *at = strstr(rows[i].format, "%s");
		int head = at != NULL ? (int)(at - rows[i].format) : (int)strlen(rows[i].format), rc;

		(void)snprintf(
		    file, sizeof(file), "%.*s%s%s", head, rows[i].format, at != NULL ? text : "", at != NULL ? at + 2 : "");
		keyfile_put(&d, file, strlen(file), 0600);
		for (int is_secret = 0; is_secret < 2; is_secret++) {
			rc = key_file_read(d.file, KEY_TYPE_COMPARISON, is_secret != 0, back, &err);
			if (rows[i].want == 0) {
				must(rc, &err);
				assert_memory_equal(back, key, KEY_BYTES);
				continue;
			}
			must_fail(rc, rows[i].want, &err, rows[i].format);
			keyfile_is_not_told(text, strlen(text), &err, rows[i].format);
		}
	}
	keyfile_close(&d);
}

static void
a_nul_in_a_key_file_is_refused(void **state)
{
	struct keyfile_dir d;
	char text[KEY_TEXT], file[256];
	uint8_t back[KEY_BYTES];
	size_t len;
	struct err err = {0};

	(void)state;
	keyfile_open(&d);
	key_format(text, KEY_TYPE_COMPARISON, key);
	len = (size_t)snprintf(file, sizeof(file), "%s name\n", text);
	for (size_t i = 0; i < len; i++) {
		char kept = file[i];

		file[i] = '\0';
		keyfile_put(&d, file, len, 0600);
		must_fail(key_file_read(d.file, KEY_TYPE_COMPARISON, true, back, &err), ERR_CONFIG, &err, "NUL");
		keyfile_is_not_told(text, strlen(text), &err, "NUL");
		must_fail(key_file_read(d.file, KEY_TYPE_COMPARISON, false, back, &err), ERR_CONFIG, &err, "NUL");
		file[i] = kept;
	}
	keyfile_close(&d);
}

static void
a_secret_that_others_can_read_is_refused(void **state)
{
	static const struct {
		mode_t mode;
		int want;
	} rows[] = {{0400, 0}, {0600, 0}, {0440, 0}, {0640, 0}, {0644, ERR_CONFIG}, {0604, ERR_CONFIG}, {0444, ERR_CONFIG},
	    {0602, ERR_CONFIG}, {0660, ERR_CONFIG}, {0666, ERR_CONFIG}, {0777, ERR_CONFIG}};
	struct keyfile_dir d;
	char text[KEY_TEXT];
	uint8_t back[KEY_BYTES];

	(void)state;
	keyfile_open(&d);
	key_format(text, KEY_TYPE_COMPARISON, key);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		char row[16];

		(void)snprintf(row, sizeof(row), "%04o", rows[i].mode);
		keyfile_put(&d, text, strlen(text), rows[i].mode);
		must(key_file_read(d.file, KEY_TYPE_COMPARISON, false, back, &err), &err);
		if (rows[i].want == 0) {
			must(key_file_read(d.file, KEY_TYPE_COMPARISON, true, back, &err), &err);
			continue;
		}
		must_fail(key_file_read(d.file, KEY_TYPE_COMPARISON, true, back, &err), rows[i].want, &err, row);
		assert_true(err.hint[0] != '\0');
	}
	keyfile_close(&d);
}

static void
what_is_no_file_of_keys_is_an_error(void **state)
{
	struct keyfile_dir d;
	FREE_AUTO char *big = malloc(70000);
	uint8_t back[KEY_BYTES];
	struct err err = {0};

	(void)state;
	keyfile_open(&d);
	for (int is_secret = 0; is_secret < 2; is_secret++) {
		must_fail(key_file_read(d.file, KEY_TYPE_SIGNING, is_secret != 0, back, &err), ERR_NOT_FOUND, &err, "absent");
		assert_true(key_file_read(d.path, KEY_TYPE_SIGNING, is_secret != 0, back, &err) < 0); /* a directory */
		assert_int_not_equal(err.kind, ERR_NOT_FOUND);
		memset(big, '#', 70000);
		keyfile_put(&d, big, 70000, 0600);
		must_fail(key_file_read(d.file, KEY_TYPE_SIGNING, is_secret != 0, back, &err), ERR_CORRUPT, &err, "too large");
		keyfile_put(&d, big, 65536, 0600);
		must_fail(key_file_read(d.file, KEY_TYPE_SIGNING, is_secret != 0, back, &err), ERR_CONFIG, &err, "one comment");
		(void)unlink(d.file);
	}
	keyfile_close(&d);
}

static void
a_written_key_is_read_again_and_never_replaced(void **state)
{
	struct keyfile_dir d;
	uint8_t back[KEY_BYTES], other[KEY_BYTES] = {9};
	struct err err = {0};
	struct stat st;

	(void)state;
	keyfile_open(&d);
	must(key_file_write(d.file, "a comment", KEY_TYPE_IDENTITY, key, "me", true, &err), &err);
	assert_int_equal(stat(d.file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	must_fail(key_file_write(d.file, "", KEY_TYPE_IDENTITY, other, "", true, &err), ERR_EXISTS, &err, "again");
	must(key_file_read(d.file, KEY_TYPE_IDENTITY, true, back, &err), &err);
	assert_memory_equal(back, key, KEY_BYTES);
	(void)unlink(d.file);
	must(key_file_write(d.file, "a comment", KEY_TYPE_SIGNER, key, "", false, &err), &err);
	assert_int_equal(stat(d.file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	keyfile_close(&d);
}

static void
no_core_dump_holds_a_key(void **state)
{
	struct rlimit limit = {1, 1};

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
	assert_int_equal(limit.rlim_cur, 0);
	secret_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_key_comes_back_from_its_text),
	    cmocka_unit_test(every_typing_error_is_refused_and_nothing_is_told),
	    cmocka_unit_test(a_key_file_is_read_as_people_write_it),
	    cmocka_unit_test(a_nul_in_a_key_file_is_refused),
	    cmocka_unit_test(a_secret_that_others_can_read_is_refused),
	    cmocka_unit_test(what_is_no_file_of_keys_is_an_error),
	    cmocka_unit_test(a_written_key_is_read_again_and_never_replaced),
	    cmocka_unit_test(no_core_dump_holds_a_key),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	(void)umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
