/* The session file: what restore hands to the server's restore_command, and nobody else. */
#include "keyfile.h"

#include "ops/session.h"

static void
a_session_comes_back_with_its_keys(void **state)
{
	struct keyfile_dir d;
	KEYRING_AUTO struct keyring *ring = NULL, *back = NULL;
	SESSION_AUTO struct session *s = NULL;
	struct session_repository list[2] = {{"a", "00112233445566778899aabbccddeeff", "000000010000000000000009"},
	    {"b.b-b_b", "ffffffffffffffffffffffffffffffff", ""}};
	struct session out = {.sysid = UINT64_MAX, .repositories = list, .n = 2};
	uint8_t id[OBJECT_KEY_ID] = {1}, key[KEY_BYTES] = {2};
	struct object_header h = {.key_id = {1}};
	struct secret *none = NULL;
	struct err err = {0};
	struct stat st;

	(void)state;
	keyfile_open(&d);
	must(keyring_new(&ring, NULL, &err), &err);
	for (int i = 0; i < 2000; i++) {
		memcpy(id, &i, sizeof(i));
		memcpy(key, &i, sizeof(i));
		must(keyring_add(ring, id, key, &err), &err);
	}
	for (int i = 0; i < 2; i++) /* the second replaces */
		must(session_write(&out, d.file, ring, &err), &err);
	assert_int_equal(stat(d.file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	must(keyring_new(&back, NULL, &err), &err);
	must(session_read(&s, d.file, back, &err), &err);
	assert_int_equal(s->sysid, UINT64_MAX);
	assert_int_equal(s->n, 2);
	assert_memory_equal(&s->repositories[0], &list[0], sizeof(list[0].name));
	assert_string_equal(session_repository(s, "a")->id, list[0].id);
	assert_string_equal(session_repository(s, "b.b-b_b")->newest, "");
	assert_null(session_repository(s, "c"));
	assert_null(session_repository(NULL, "a"));
	memcpy(h.key_id, id, sizeof(id));
	must(keyring_need(back, NULL, id, &err), &err); /* held: no repository is asked */
	must_fail(keyring_open_object(back, NULL, &h, &none, &err), ERR_CONFIG, &err, "a header without a stanza");
	memset(id, 0xff, sizeof(id));
	must_fail(keyring_need(back, NULL, id, &err), ERR_AUTH, &err, "not held, no identity");
	assert_true(err.hint[0] != '\0');
	keyfile_close(&d);
}

#define ID "00112233445566778899aabbccddeeff"
#define KEY "5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5"
#define SYSID "\"system_identifier\":\"7\""

static void
a_session_that_is_not_whole_is_refused_and_not_told(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		int want;
	} rows[] = {
	    {"{" SYSID ",\"repositories\":[],\"keys\":[{\"key_id\":\"" ID "\",\"private\":\"" KEY "\"}]}", 0600, 0},
	    {"{" SYSID ",\"repositories\":[],\"keys\":[{\"key_id\":\"" ID "\",\"private\":\"" KEY "\"}]}", 0644, ERR_CONFIG},
	    {"{" SYSID ",\"repositories\":[],\"keys\":[{\"key_id\":\"" ID "\",\"private\":\"" KEY "\"}]", 0600, ERR_CORRUPT},
	    {"{" SYSID ",\"repositories\":[],\"keys\":[{\"key_id\":\"" ID "\",\"private\":\"" KEY "00\"}]}", 0600, ERR_CORRUPT},
	    {"{" SYSID ",\"repositories\":[],\"keys\":[{\"key_id\":\"00\",\"private\":\"" KEY "\"}]}", 0600, ERR_CORRUPT},
	    {"{" SYSID ",\"repositories\":[],\"keys\":[\"" KEY "\"]}", 0600, ERR_CORRUPT},
	    {"{" SYSID ",\"repositories\":[]}", 0600, ERR_CORRUPT},
	    {"{" SYSID ",\"keys\":[]}", 0600, ERR_CORRUPT},
	    {"{\"repositories\":[],\"keys\":[]}", 0600, ERR_CORRUPT},
	    {"{\"system_identifier\":\"0\",\"repositories\":[],\"keys\":[]}", 0600, ERR_CORRUPT},
	    {"{\"system_identifier\":7,\"repositories\":[],\"keys\":[]}", 0600, ERR_CORRUPT},
	    {"{" SYSID ",\"repositories\":[{\"name\":\"a\",\"id\":\"" ID "\"}],\"keys\":[]}", 0600, ERR_CORRUPT},
	    {"{" SYSID ",\"repositories\":[{\"name\":\"a\",\"id\":\"" ID "0\",\"newest\":\"\"}],\"keys\":[]}", 0600,
		ERR_CONFIG},
	    {"{" SYSID ",\"repositories\":[1],\"keys\":[]}", 0600, ERR_CORRUPT},
	    {"", 0600, ERR_CORRUPT},
	    {"{}", 0600, ERR_CORRUPT},
	    {"null", 0600, ERR_CORRUPT},
	};
	struct keyfile_dir d;

	(void)state;
	keyfile_open(&d);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		KEYRING_AUTO struct keyring *ring = NULL;
		SESSION_AUTO struct session *s = NULL;
		struct err err = {0};
		int rc;

		must(keyring_new(&ring, NULL, &err), &err);
		keyfile_put(&d, rows[i].text, strlen(rows[i].text), rows[i].mode);
		rc = session_read(&s, d.file, ring, &err);
		if (rows[i].want == 0) {
			must(rc, &err);
			continue;
		}
		must_fail(rc, rows[i].want, &err, rows[i].text);
		assert_null(strstr(err.msg, "5ec5ec5e"));
		assert_null(s);
	}
	(void)unlink(d.file);
	{
		KEYRING_AUTO struct keyring *ring = NULL;
		struct session *s = NULL;
		struct err err = {0};

		must(keyring_new(&ring, NULL, &err), &err);
		must_fail(session_read(&s, d.file, ring, &err), ERR_NOT_FOUND, &err, "absent");
	}
	keyfile_close(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_session_comes_back_with_its_keys),
	    cmocka_unit_test(a_session_that_is_not_whole_is_refused_and_not_told),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
