/* How fast WAL comes, by what lies in pg_wal: recycled files, other timelines, bursts and wrong clocks among it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "ops/check_work.h"

#define SEGMENT ((uint32_t)1 << 20)
#define AT(segment) ((lsn_t)(segment)*SEGMENT)

struct row {
	const char *what;
	struct check_wal_file files[4]; /* number, timeline, age */
	size_t n;
	lsn_t lsn;
	uint64_t since;  /* 0: nothing can be said */
	double segments; /* that came since */
	int64_t seconds;
};

static const struct row rows[] = {
    {"an empty pg_wal", .lsn = AT(9)},
    {"only the one that is written", {{9, 1, 0}}, 1, AT(9) + 7, 0, 0, 0},
    {"only recycled ones", {{10, 1, 9000}, {11, 1, 8000}}, 2, AT(9), 0, 0, 0},
    {"the oldest, when none is an hour old", {{5, 1, 1800}, {6, 1, 900}, {9, 1, 0}}, 3, AT(9), 5, 3, 1800},
    {"the newest that is an hour old", {{4, 1, 9000}, {5, 1, 3600}, {6, 1, 900}}, 3, AT(9), 5, 3, 3600},
    {"half a segment counts", {{5, 1, 3600}}, 1, AT(9) + SEGMENT / 2, 5, 3.5, 3600},
    {"a burst is spread over ten minutes", {{5, 1, 3}}, 1, AT(9), 5, 3, CHECK_RATE_LEAST_S},
    {"a file of the future's clock was closed just now", {{5, 1, 0}}, 1, AT(9), 5, 3, CHECK_RATE_LEAST_S},
    {"a server that is idle", {{8, 1, 7200}}, 1, AT(9), 8, 0, 7200},
    {"a recycled file that is old does not count", {{8, 1, 900}, {40, 1, 90000}}, 2, AT(9), 8, 0, 900},
    {"the timeline does not matter", {{5, 1, 4000}, {8, 2, 60}}, 2, AT(9), 5, 3, 4000},
    {"a server that is silent: the last that was written", {{5, 1, 4000}, {9, 1, 10}, {30, 1, 5000}}, 3, 0, 5, 3, 4000},
};

static void
wal_comes_as_fast_as_its_files_tell(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct check_wal_file files[4];
		struct check_pg_wal w = {files, r->n};
		struct check_rate rate = {0};
		bool said;

		memcpy(files, r->files, sizeof(files));
		said = check_wal_rate(&w, SEGMENT, r->lsn, &rate);
		if (said != (r->since != 0))
			fail_msg("%s: something is %ssaid", r->what, said ? "" : "not ");
		if (!said)
			continue;
		if (rate.since->segno != r->since || rate.seconds != r->seconds ||
		    rate.bytes_per_s * (double)rate.seconds != r->segments * SEGMENT)
			fail_msg("%s: %.1f bytes a second over %lld s since %llu", r->what, rate.bytes_per_s,
			    (long long)rate.seconds, (unsigned long long)rate.since->segno);
	}
}

static void
without_a_segment_size_nothing_is_said(void **state)
{
	struct check_wal_file file = {5, 1, 4000};
	struct check_pg_wal w = {&file, 1};
	struct check_rate rate;

	(void)state;
	assert_false(check_wal_rate(&w, 0, AT(9), &rate));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wal_comes_as_fast_as_its_files_tell),
	    cmocka_unit_test(without_a_segment_size_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
