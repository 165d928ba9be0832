/* Who decided what, when and why: what is written is read back, and what does not fit is refused. */
#include "check.h"

#include "base/clock.h"
#include "repo/decision.h"

static void
what_is_decided_is_read_back(void **state)
{
	JSON_AUTO json_t *o = json_object();
	struct decision made, read;
	char text[DECISION_TEXT];
	struct err err = {0};

	(void)state;
	must(decision_make(&made, "der Speicher zieht um – Ticket 4711", &err), &err);
	assert_non_null(strchr(made.by, '@'));
	assert_true(made.time_us > 0 && made.time_us <= clock_now_us());
	must(decision_encode(&made, o, &err), &err);
	must(decision_decode(&read, o, &err), &err);
	assert_string_equal(read.reason, made.reason);
	assert_string_equal(read.by, made.by);
	assert_int_equal(read.time_us, made.time_us);
	decision_describe(&read, text);
	assert_non_null(strstr(text, "Ticket 4711"));
	assert_non_null(strstr(text, made.by));
}

static void
a_reason_is_one_line_of_text(void **state)
{
	char longest[DECISION_REASON_MAX + 1];
	const char *const bad[] = {"", "   ", "two\nlines", "a\tb", "\x1b[2J", "\x7f", "latin \xe9", longest};
	struct decision d;
	struct err err = {0};

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[DECISION_REASON_MAX] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		must_fail(decision_make(&d, bad[i], &err), ERR_CONFIG, &err, bad[i]);
		assert_true(err.hint[0] != '\0');
	}
	longest[DECISION_REASON_MAX - 1] = '\0';
	must(decision_make(&d, longest, &err), &err);
}

static void
what_does_not_fit_is_not_read(void **state)
{
	static const char *const bad[] = {"{}", "{\"by\":\"a@b\",\"reason\":\"r\"}",
	    "{\"time\":\"2026-01-31T14:59:00Z\",\"reason\":\"r\"}", "{\"time\":\"2026-01-31T14:59:00Z\",\"by\":\"a@b\"}",
	    "{\"time\":\"yesterday\",\"by\":\"a@b\",\"reason\":\"r\"}", "{\"time\":1,\"by\":\"a@b\",\"reason\":\"r\"}",
	    "{\"time\":\"2026-01-31 14:59:00\",\"by\":\"a@b\",\"reason\":\"r\"}",
	    "{\"time\":\"1969-12-31T23:59:59Z\",\"by\":\"a@b\",\"reason\":\"r\"}",
	    "{\"time\":\"9999-12-31T23:59:59-12:00\",\"by\":\"a@b\",\"reason\":\"r\"}",
	    "{\"time\":\"2026-01-31T14:59:00Z\",\"by\":\"a@b\",\"reason\":null}"};
	JSON_AUTO json_t *o = NULL;
	char text[1024];
	struct decision d;
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		must(json_read(&o, bad[i], strlen(bad[i]), "a row", &err), &err);
		must_fail(decision_decode(&d, o, &err), ERR_CORRUPT, &err, bad[i]);
		json_decref(STEAL(o));
	}
	(void)snprintf(text, sizeof(text), "{\"time\":\"2026-01-31T14:59:00Z\",\"by\":\"%0200d\",\"reason\":\"r\"}", 0);
	must(json_read(&o, text, strlen(text), "a row", &err), &err);
	must_fail(decision_decode(&d, o, &err), ERR_CORRUPT, &err, "a name that is too long");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_decided_is_read_back),
	    cmocka_unit_test(a_reason_is_one_line_of_text),
	    cmocka_unit_test(what_does_not_fit_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
