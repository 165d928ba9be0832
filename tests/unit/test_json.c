/* JSON from outside: one object, every member of its type and range, or ERR_CORRUPT that names the member. */
#include "check.h"

#include "base/json.h"

static void
only_one_whole_object_is_read(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {{"{}", true}, {" {\"a\":1}\n", true}, {"", false}, {"[]", false}, {"1", false}, {"null", false},
	    {"{", false}, {"{}{}", false}, {"{} x", false}, {"{\"a\":1,\"a\":2}", false}, {"{\"a\":\"\\u0000\"}", false},
	    {"{\"a\":\"\xff\"}", false}, {"{\"a\":1e999}", false}, {"{\"a\":9223372036854775808}", false},
	    {"{\"a\":NaN}", false}, {"{'a':1}", false}, {"{\"a\":1,}", false}};
	FREE_AUTO char *deep = malloc(200001);
	struct err err = {0};
	json_t *o = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = json_read(&o, rows[i].text, strlen(rows[i].text), "the thing", &err);

		if (rows[i].ok) {
			must(rc, &err);
			json_decref(STEAL(o));
			continue;
		}
		must_fail(rc, ERR_CORRUPT, &err, rows[i].text);
		assert_non_null(strstr(err.msg, "the thing"));
		assert_null(o);
	}
	memset(deep, '[', 200000); /* deeper than any stack */
	memcpy(deep, "{\"a\":", 5);
	must_fail(json_read(&o, deep, 200000, "deep", &err), ERR_CORRUPT, &err, "deep");
	must_fail(json_read(&o, "{}\0", 3, "NUL", &err), ERR_CORRUPT, &err, "a NUL behind it");
}

static void
members_are_of_their_type_and_range(void **state)
{
	static const char text[] =
	    "{\"s\":\"x\",\"n\":5,\"neg\":-1,\"big\":9223372036854775807,\"r\":1.0,\"t\":true,\"z\":null,"
	    "\"a\":[1],\"o\":{},\"h\":\"00ff\",\"H\":\"00FF\",\"bad\":\"00fg\",\"odd\":\"00f\"}";
	static const char *const members[] = {"s", "n", "neg", "big", "r", "t", "z", "a", "o", "h", "bad", "odd", "H", "none"};
	JSON_AUTO json_t *o = NULL;
	struct err err = {0};

	(void)state;
	must(json_read(&o, text, sizeof(text) - 1, "t", &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const char *m = members[i], *s;
		uint64_t u;
		int64_t n;
		bool b;
		json_t *a;
		uint8_t raw[2];

		assert_int_equal(json_get_str(o, m, &s, &err) == 0, i == 0 || (i >= 9 && i <= 12));
		assert_int_equal(json_get_i64(o, m, &n, &err) == 0, i >= 1 && i <= 3);
		assert_int_equal(json_get_u64(o, m, 0, UINT64_MAX, &u, &err) == 0, i == 1 || i == 3);
		assert_int_equal(json_get_u64(o, m, 6, 100, &u, &err) == 0, false);
		assert_int_equal(json_get_bool(o, m, &b, &err) == 0, i == 5);
		assert_int_equal(json_get_array(o, m, &a, &err) == 0, i == 7);
		assert_int_equal(json_get_hex(o, m, raw, 2, &err) == 0, i == 9);
		if (i != 9)
			assert_non_null(strstr(err.msg, m));
		assert_int_equal(err.kind, ERR_CORRUPT);
		assert_int_equal(json_has(o, m), i != 6 && i != 13);
		assert_true(json_get_hex(o, m, raw, 1, NULL) < 0);
	}
	assert_true(json_get_i64(json_object_get(o, "s"), "s", &(int64_t){0}, &err) < 0); /* of something that is no object */
	assert_true(json_get_i64(NULL, "s", &(int64_t){0}, &err) < 0);
}

static void
what_is_written_is_read_again_in_its_order(void **state)
{
	JSON_AUTO json_t *o = json_object();
	BUF_AUTO struct buf out = {0}, small = {.max = 5};
	uint8_t raw[JSON_HEX_MAX + 1] = {0xab};
	struct err err = {0};

	(void)state;
	assert_int_equal(json_set_hex(o, "z", raw, 2), 0);
	json_object_set_new(o, "a", json_string("\"\n\xc3\xa9"));
	assert_int_equal(json_set_hex(o, "x", raw, sizeof(raw)), -1);
	must(json_write(o, &out, &err), &err);
	assert_string_equal(buf_text(&out), "{\"z\":\"ab00\",\"a\":\"\\\"\\n\xc3\xa9\"}");
	must_fail(json_write(o, &small, &err), ERR_NOMEM, &err, "cap");
	must_fail(json_write(NULL, &out, &err), ERR_NOMEM, &err, "nothing");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_one_whole_object_is_read),
	    cmocka_unit_test(members_are_of_their_type_and_range),
	    cmocka_unit_test(what_is_written_is_read_again_in_its_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
