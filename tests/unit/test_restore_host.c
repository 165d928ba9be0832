/* Collation versions of a backup against this host's: what a manifest can say, also what it should not, and what is told. */
#include "check.h"

#include <gnu/libc-version.h>

#include "base/json.h"
#include "base/str.h"
#include "ops/restore_host.h"

#define DB(name, provider, locale, version)                                                                                    \
	"{\"name\":\"" name "\",\"provider\":\"" provider "\",\"locale\":\"" locale "\"" version "}"
#define VERSION(v) ",\"version\":\"" v "\""

/* HERE in a text becomes this host's version. */
static void
compare(const char *text, struct restore_host *h)
{
	JSON_AUTO json_t *sealed = NULL;
	BUF_AUTO struct buf b = {.max = 1 << 20};
	struct err err = {0};

	*h = (struct restore_host){0};
	if (text == NULL) {
		restore_host_collation(h, NULL);
		return;
	}
	for (const char *at; (at = strstr(text, "HERE")) != NULL; text = at + 4)
		must(buf_printf(&b, &err, "%.*s%s", (int)(at - text), text, gnu_get_libc_version()), &err);
	must(buf_printf(&b, &err, "%s", text), &err);
	must(json_read(&sealed, buf_text(&b), b.len, "sealed", &err), &err);
	restore_host_collation(h, sealed);
}

static void
versions_are_compared_as_the_server_compares_them(void **state)
{
	static const struct {
		const char *sealed, *want, *told; /* told: part of the one warning; NULL: none */
	} rows[] = {
	    {NULL, "unknown", NULL},
	    {"{}", "unknown", NULL},
	    {"{\"collation\":1}", "unknown", NULL},
	    {"{\"collation\":{\"libc\":7}}", "unknown", NULL},
	    {"{\"collation\":{\"databases\":[]}}", "unknown", NULL},
	    {"{\"collation\":{\"libc\":\"HERE\"}}", "same", NULL},
	    {"{\"collation\":{\"libc\":\"HERE\",\"databases\":7,\"collations\":\"x\"}}", "same", NULL},
	    {"{\"collation\":{\"libc\":\"HERE\",\"databases\":[1,null,{}],\"collations\":[1,null,{}]}}", "same", NULL},
	    {"{\"collation\":{\"libc\":\"HERE\",\"databases\":[" DB("a", "c", "en_US.UTF-8", VERSION("HERE")) "]}}", "same",
		NULL},
	    /* what the database has recorded counts before what its host had */
	    {"{\"collation\":{\"libc\":\"HERE\",\"databases\":[" DB("a", "c", "en_US.UTF-8", VERSION("1.0")) "]}}", "differs",
		": a;"},
	    {"{\"collation\":{\"libc\":\"1.0\",\"databases\":[" DB("a", "c", "en_US.UTF-8", VERSION("HERE")) "]}}", "same",
		NULL},
	    /* PostgreSQL 14 records none */
	    {"{\"collation\":{\"libc\":\"1.0\",\"databases\":[" DB("old", "c", "de_DE", "") "]}}", "differs", ": old;"},
	    /* these have no rules of the library's */
	    {"{\"collation\":{\"libc\":\"1.0\",\"databases\":[" DB("a", "c", "C", "") "," DB("b", "c", "POSIX", "") "," DB(
		 "c", "c", "C.UTF-8", "") "]}}",
		"same", NULL},
	    /* ICU's and PostgreSQL's own are none of the C library's business */
	    {"{\"collation\":{\"libc\":\"1.0\",\"databases\":[" DB("a", "i", "en", VERSION("153.1")) "," DB(
		 "b", "b", "C.UTF-8", VERSION("1")) "]}}",
		"same", NULL},
	    {"{\"collation\":{\"libc\":\"HERE\",\"databases\":[" DB("a", "c", "x", VERSION("1.0")) "," DB(
		 "b", "c", "x", VERSION("HERE")) "," DB("c", "c", "x", VERSION("9")) "]}}",
		"differs", ": a, c;"},
	    {"{\"collation\":{\"libc\":\"HERE\",\"collations\":[{\"provider\":\"c\",\"version\":\"1.0\"}]}}", "differs",
		"another C library"},
	    {"{\"collation\":{\"libc\":\"HERE\",\"collations\":[{\"provider\":\"i\",\"version\":\"1.0\"}]}}", "same", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct restore_host h;

		compare(rows[i].sealed, &h);
		if (strcmp(h.collation, rows[i].want) != 0)
			fail_msg("row %zu: %s", i, h.collation);
		assert_int_equal(h.n_warnings, rows[i].told != NULL);
		if (rows[i].told != NULL && strstr(h.warnings[0].msg, rows[i].told) == NULL)
			fail_msg("row %zu: %s", i, h.warnings[0].msg);
		if (rows[i].told != NULL)
			assert_non_null(strstr(h.warnings[0].hint, "REINDEX"));
		restore_host_free(&h);
		assert_int_equal(h.n_warnings, 0);
	}
}

static void
many_databases_are_told_by_the_first_of_them(void **state)
{
	BUF_AUTO struct buf b = {.max = 1 << 20};
	struct restore_host h;
	struct err err = {0};

	(void)state;
	must(buf_printf(&b, &err, "{\"collation\":{\"libc\":\"1.0\",\"databases\":["), &err);
	for (int i = 0; i < 500; i++) /* the longest name that PostgreSQL allows */
		must(buf_printf(&b, &err, "%s{\"name\":\"%063d\",\"provider\":\"c\",\"locale\":\"x\"}", i > 0 ? "," : "", i),
		    &err);
	must(buf_printf(&b, &err, "]}}"), &err);
	compare(buf_text(&b), &h);
	assert_string_equal(h.collation, "differs");
	assert_non_null(strstr(h.warnings[0].msg, "000000, 0000"));
	assert_null(strstr(h.warnings[0].msg, "00499"));
	assert_non_null(strstr(h.warnings[0].msg, "without any error"));
	restore_host_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(versions_are_compared_as_the_server_compares_them),
	    cmocka_unit_test(many_databases_are_told_by_the_first_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
