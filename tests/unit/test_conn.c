#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "pg/conn.h"

static void
a_sqlstate_says_what_can_be_done(void **state)
{
	static const struct {
		const char *code;
		int want;
	} rows[] = {
	    {"", ERR_RETRY},
	    {"08006", ERR_RETRY},
	    {"57P01", ERR_RETRY},
	    {"57014", ERR_RETRY},
	    {"53300", ERR_RETRY},
	    {"40001", ERR_RETRY},
	    {"28000", ERR_AUTH},
	    {"28P01", ERR_AUTH},
	    {"42501", ERR_AUTH},
	    {"XX001", ERR_CORRUPT},
	    {"XX002", ERR_CORRUPT},
	    {"XX000", ERR_IO},
	    {"42601", ERR_CONFIG},
	    {"3D000", ERR_CONFIG},
	    {"58030", ERR_IO},
	    {"55000", ERR_IO},
	    {"22012", ERR_IO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(pg_sqlstate_kind(rows[i].code), rows[i].want);
}

/* None of these reaches a server. */
static void
a_connection_that_fails_never_tells_a_password(void **state)
{
	static const struct {
		const char *conninfo;
		int want;
	} rows[] = {
	    {"host=/nonexistent port=5 password=hunter2", ERR_RETRY},
	    {"host=/nonexistent hunter2", ERR_CONFIG},
	    {"host=/nonexistent port='5 password=hunter2'", ERR_CONFIG},
	    {"host=/nonexistent sslmode=hunter2 password=hunter2", ERR_CONFIG},
	    {"host='/nonexistent password=hunter2", ERR_CONFIG},
	    {"postgresql://me:hunter2@%zz/db", ERR_CONFIG},
	    {"hunter2=5", ERR_CONFIG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pg_conn_options o = {.conninfo = rows[i].conninfo};
		PG_CONN_AUTO struct pg_connection *c = NULL;
		struct err err = {0};

		if (pg_conn_open(&c, &o, &err) != rows[i].want)
			fail_msg("row %zu: %s", i, err.msg);
		assert_null(c);
		assert_true(err.msg[0] != '\0');
		assert_null(strstr(err.msg, "hunter2"));
		assert_null(strstr(err.hint, "hunter2"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_sqlstate_says_what_can_be_done),
	    cmocka_unit_test(a_connection_that_fails_never_tells_a_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
