/* What the unit tests share: calls that must work, and an error that must be of a kind and say something. */
#ifndef PGCAIRN_TESTS_CHECK_H
#define PGCAIRN_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/scope.h"

static inline void
must(int rc, const struct err *err)
{
	if (rc != 0)
		fail_msg("unexpected %s: %s", err_kind_name(rc), err->msg);
}

/* The row of a table stands in the message. */
static inline void
must_fail(int rc, int want, const struct err *err, const char *row)
{
	if (rc != want)
		fail_msg("%s: %s (%s), expected %s", row, err_kind_name(rc), rc != 0 ? err->msg : "", err_kind_name(want));
	if (err->kind != want || err->msg[0] == '\0')
		fail_msg("%s: the error does not say what it is: %s '%s'", row, err_kind_name(err->kind), err->msg);
}

#endif
