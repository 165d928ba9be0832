/* Times with their offsets, and deadlines. */
#include "check.h"

#include "base/clock.h"

#define DAY INT64_C(86400000000)
#define JAN1 INT64_C(1767225600000000) /* 2026-01-01 00:00 UTC */

static void
a_time_says_its_offset(void **state)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} rows[] = {
	    {"2026-01-01T00:00:00Z", JAN1}, {"2026-01-01 00:00:00z", JAN1}, {"2026-01-01 00:00+00", JAN1},
	    {"2026-01-01 00:00:00 +00", JAN1}, {"2026-01-01 02:00:00+02", JAN1}, {"2026-01-01 05:30:00+05:30", JAN1},
	    {"2026-01-01 05:45:00+0545", JAN1}, {"2025-12-31T14:00:00-10", JAN1}, {"2026-01-01T00:00:00.000001Z", JAN1 + 1},
	    {"2026-01-01T00:00:00.5+00:00", JAN1 + 500000}, {"2024-02-29 00:00:00Z", JAN1 - 672 * DAY},
	    {"1970-01-01T00:00:00Z", 0}, {"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)},
	    {"2026-01-01 00:00:00", -1}, {"2026-01-01", -1}, {"", -1}, {"now", -1}, {"2026-02-29 00:00:00Z", -1},
	    {"2026-04-31 00:00:00Z", -1}, {"2026-13-01 00:00:00Z", -1}, {"2026-00-01 00:00:00Z", -1},
	    {"2026-01-00 00:00:00Z", -1}, {"2026-01-01 24:00:00Z", -1}, {"2026-01-01 00:60:00Z", -1},
	    {"2026-01-01 00:00:60Z", -1}, {"1969-12-31 23:59:59Z", -1}, {"26-01-01 00:00:00Z", -1}, {"2026-1-1 00:00:00Z", -1},
	    {"2026-01-01_00:00:00Z", -1}, {"2026-01-01 00:00:00.Z", -1}, {"2026-01-01 00:00:00.1234567Z", -1},
	    {"2026-01-01 00:00:00+", -1}, {"2026-01-01 00:00:00+2", -1}, {"2026-01-01 00:00:00+16", -1},
	    {"2026-01-01 00:00:00+02:", -1}, {"2026-01-01 00:00:00+02:6", -1}, {"2026-01-01 00:00:00+02:60", -1},
	    {"2026-01-01 00:00:00Zx", -1}, {"2026-01-01 00:00:00 CET", -1}, {"2026-01-01 00:00:00Z ", -1},
	    {" 2026-01-01 00:00:00Z", -1},
	    {"9999-12-31T23:59:59-01", -1}, /* the year 10000 in UTC: nobody writes that in four digits */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		int64_t us = 42;
		int rc = clock_parse_utc(rows[i].text, &us, &err);

		if (rows[i].want == -1) {
			must_fail(rc, ERR_CONFIG, &err, rows[i].text);
			assert_true(err.hint[0] != '\0');
			assert_int_equal(us, 42);
			continue;
		}
		must(rc, &err);
		if (us != rows[i].want)
			fail_msg("'%s' is %lld", rows[i].text, (long long)us);
	}
}

static void
a_written_time_is_read_again(void **state)
{
	static const struct {
		int64_t us;
		const char *want;
	} rows[] = {{0, "1970-01-01T00:00:00Z"}, {JAN1, "2026-01-01T00:00:00Z"}, {JAN1 + 1, "2026-01-01T00:00:00.000001Z"},
	    {-1, "1969-12-31T23:59:59.999999Z"}, {CLOCK_PG_EPOCH_US, "2000-01-01T00:00:00Z"}};
	char out[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t back;

		clock_format_utc(out, sizeof(out), rows[i].us);
		assert_string_equal(out, rows[i].want);
		if (rows[i].us >= 0) {
			assert_int_equal(clock_parse_utc(out, &back, NULL), 0);
			assert_int_equal(back, rows[i].us);
		}
	}
	clock_format_utc(out, sizeof(out), INT64_MAX);
	clock_format_utc(out, sizeof(out), INT64_MIN);
	assert_true(strlen(out) < sizeof(out));
}

static int64_t fake_ms;

static int64_t
fake_monotonic(void)
{
	return fake_ms;
}

static void
a_deadline_passes_once_and_never_overflows(void **state)
{
	static const struct clock_ops ops = {.monotonic_ms = fake_monotonic};
	const struct deadline never = {INT64_MAX};
	struct deadline d;

	(void)state;
	clock_replace(&ops);
	fake_ms = 1000;
	d = deadline_in_ms(500);
	assert_int_equal(deadline_left_ms(d), 500);
	fake_ms = 1499;
	assert_false(deadline_passed(d));
	fake_ms = 1500;
	assert_true(deadline_passed(d));
	fake_ms = INT64_MAX - 1;
	assert_int_equal(deadline_left_ms(d), 0);
	assert_false(deadline_passed(never));
	fake_ms = 1000;
	assert_false(deadline_passed(deadline_in_ms(INT64_MAX))); /* never */
	assert_true(deadline_passed(deadline_in_ms(0)));
	clock_replace(NULL);
	assert_true(clock_monotonic_ms() > 0);
	assert_true(clock_now_us() > JAN1 / 2);
}

static void
random_bytes_differ(void **state)
{
	uint8_t a[300] = {0}, b[300] = {0};

	(void)state;
	clock_random(a, sizeof(a));
	clock_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, a + 150, 150);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_time_says_its_offset),
	    cmocka_unit_test(a_written_time_is_read_again),
	    cmocka_unit_test(a_deadline_passes_once_and_never_overflows),
	    cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
