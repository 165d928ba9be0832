/* The corpus of each supported major, out of tests/fixtures/majors: what real servers wrote. */
#ifndef PGCAIRN_TESTS_MAJORS_FIXTURE_H
#define PGCAIRN_TESTS_MAJORS_FIXTURE_H

#include "wal_fixture.h"

#include "base/scope.h"
#include "pg/conn.h"

#define MAJORS (PG_MAJOR_KNOWN - PG_MAJOR_MIN + 1) /* all of them: a major that is claimed has its corpus */

static inline uint8_t *
majors_fixture(unsigned major, const char *name, size_t *len)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "../majors/%u/%s", major, name);
	return fixture(path, len);
}

static inline char *
majors_text(unsigned major, const char *name, size_t *len)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "../majors/%u/%s", major, name);
	return fixture_raw(path, len);
}

#endif
