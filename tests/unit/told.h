/* What a server or its tools print about something, line by line: a key and its value. */
#ifndef PGCAIRN_TESTS_TOLD_H
#define PGCAIRN_TESTS_TOLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pg/lsn.h"

/* The value behind a key: the rest of its line. */
static inline const char *
told(const char *text, const char *key, char *out, size_t size)
{
	const char *at = strstr(text, key);
	size_t n;

	if (at == NULL)
		fail_msg("no '%s'", key);
	at += strlen(key);
	at += strspn(at, " ");
	n = strcspn(at, "\n");
	assert_true(n < size);
	memcpy(out, at, n);
	out[n] = '\0';
	return out;
}

static inline void
expect_number(const char *text, const char *key, uint64_t have)
{
	char value[128], want[32];

	(void)snprintf(want, sizeof(want), "%" PRIu64, have);
	assert_string_equal(told(text, key, value, sizeof(value)), want);
}

static inline void
expect_lsn(const char *text, const char *key, lsn_t have)
{
	char value[128], want[LSN_TEXT];

	lsn_format(want, have);
	assert_string_equal(told(text, key, value, sizeof(value)), want);
}

#endif
