/* A store that hangs costs its caller a limit, and nothing that comes back late touches what is gone. */
#include "check.h"
#include "file_place.h"
#include "moody_store.h"

#include <dirent.h>

#include "base/clock.h"
#include "base/str.h"

#define LIMIT_MS 100

static unsigned threads_at_start; /* the thread sanitizer starts one of its own with the first of ours */

static unsigned
all_threads(void)
{
	DIR_AUTO DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	return n;
}

/* Those that were started since. */
static unsigned
threads(void)
{
	return all_threads() - threads_at_start;
}

/* Those of tests before may still be on their way out. */
static void
await_threads(unsigned n)
{
	while (threads() != n)
		clock_sleep_ms(1);
}

static void
must_be_silent(int rc, const struct err *err, const char *row)
{
	must_fail(rc, ERR_RETRY, err, row);
	assert_string_equal(err->msg, "repository 'dr' does not answer");
	assert_non_null(strstr(err->hint, "[repository:dr]"));
}

/* Each kind of operation in turn hangs: its caller goes after the limit, all others fail at once, and all works again. */
static void
an_operation_that_hangs_costs_the_limit_and_the_next_ones_nothing(void **state)
{
	(void)state;
	for (enum moody_call c = 0; c < MOODY_FREE; c++) {
		struct moody_pair p = moody_pair_new(LIMIT_MS, LIMIT_MS);
		int64_t began = clock_monotonic_ms(), took;
		struct err err = {0};

		moody_hang(p.m, c, true);
		must_be_silent(moody_do(p.s, c, &err), &err, moody_call_name(c));
		took = clock_monotonic_ms() - began;
		assert_in_range(took, LIMIT_MS - 20, 20 * LIMIT_MS);

		began = clock_monotonic_ms();
		for (enum moody_call other = 0; other < MOODY_WRITE; other++) {
			unsigned calls = moody_calls(p.m, other);

			must_be_silent(moody_do(p.s, other, &err), &err, moody_call_name(other));
			assert_int_equal(moody_calls(p.m, other), calls);
		}
		must_be_silent(guard_answers(p.g, &err), &err, "asked");
		must_be_silent(guard_open(p.g, &(struct store *){NULL}, "file:///", &err), &err, "opened");
		assert_true(clock_monotonic_ms() - began < LIMIT_MS);

		moody_hang(p.m, c, false);
		while (guard_answers(p.g, NULL) < 0)
			clock_sleep_ms(1);
		for (enum moody_call other = 0; other < MOODY_WRITE; other++)
			must(moody_do(p.s, other, &err), &err);
		moody_pair_free(&p);
	}
}

static void
what_the_store_says_comes_through(void **state)
{
	static const int kinds[] = {ERR_NOT_FOUND, ERR_EXISTS, ERR_RETRY, ERR_AUTH, ERR_CORRUPT, ERR_NOSPACE, ERR_IO};

	(void)state;
	for (enum moody_call c = 0; c < MOODY_FREE; c++) {
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			struct moody_pair p = moody_pair_new(10000, 10000);
			struct err err = {0};

			p.m->fails[c] = kinds[i];
			must_fail(moody_do(p.s, c, &err), kinds[i], &err, moody_call_name(c));
			assert_int_equal(err.sys, 5);
			assert_non_null(strstr(err.msg, "as the test wants"));
			assert_string_equal(err.hint, "the test's hint");
			assert_int_equal(moody_do(p.s, c, NULL), kinds[i]);
			must(guard_answers(p.g, &err), &err); /* an error is an answer */
			moody_pair_free(&p);
		}
	}
}

static void
answers_are_handed_over_whole(void **state)
{
	struct moody_pair p = moody_pair_new(10000, 10000);
	uint8_t data[100] = {0};
	struct store_stat st = {0};
	struct store_caps caps = {0};
	struct err err = {0};
	uint64_t x = 0, y = 0;
	size_t got = 0;

	(void)state;
	must(store_get(p.s, "k", 0, data, sizeof(data), &got, &err), &err);
	assert_int_equal(got, 100);
	assert_int_equal(data[99], 0x5a);
	must(store_get_tail(p.s, "k", data, 10, &got, &x, &err), &err);
	assert_int_equal(got, 10);
	assert_int_equal(x, 1000);
	must(store_stat(p.s, "k", &st, &err), &err);
	assert_true(st.size == 77 && st.modified_us == 88);
	must(store_caps(p.s, &caps, &err), &err);
	assert_true(caps.create_only && !caps.writer_can_delete);
	must(store_space(p.s, &x, &y, &err), &err);
	assert_true(x == 5 && y == 6);
	moody_pair_free(&p);
}

/* Under the address sanitizer: the store writes into the answer when the caller's buffer is long gone. */
static void
a_late_answer_touches_nothing_of_the_callers(void **state)
{
	static const enum moody_call calls[] = {MOODY_GET, MOODY_TAIL, MOODY_STAT, MOODY_SPACE, MOODY_LIST, MOODY_FINISH};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct moody_pair p = moody_pair_new(30, 30);
		uint8_t *data = malloc(1 << 20);
		struct err err = {0};
		size_t got;

		moody_hang(p.m, calls[i], true);
		if (calls[i] == MOODY_GET)
			must_be_silent(store_get(p.s, "k", 0, data, 1 << 20, &got, &err), &err, "get");
		else
			must_be_silent(moody_do(p.s, calls[i], &err), &err, moody_call_name(calls[i]));
		free(data);
		store_close(p.s); /* nor is the handle needed */
		guard_free(p.g);
		assert_int_equal(moody_calls(p.m, MOODY_CLOSE), 0);
		moody_hang(p.m, calls[i], false);
		moody_free(p.m); /* and whoever came last has closed the store */
	}
}

struct caller {
	pthread_t thread;
	struct moody_pair *p;
	enum moody_call c;
	int rc;
};

static void *
call(void *arg)
{
	struct caller *c = arg;

	c->rc = moody_do(c->p->s, c->c, NULL);
	return NULL;
}

static void
call_from(struct caller *callers, unsigned n, struct moody_pair *p, enum moody_call c)
{
	for (unsigned i = 0; i < n; i++) {
		callers[i] = (struct caller){.p = p, .c = c, .rc = 1};
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
	}
}

static void
join(struct caller *callers, unsigned n, int want)
{
	for (unsigned i = 0; i < n; i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].rc, want);
	}
}

static void
as_many_operations_run_at_once_as_there_are_threads(void **state)
{
	struct moody_pair p = moody_pair_new(20000, 20000);
	struct caller callers[GUARD_THREADS];

	(void)state;
	moody_hang(p.m, MOODY_STAT, true);
	call_from(callers, GUARD_THREADS, &p, MOODY_STAT);
	moody_await(p.m, MOODY_STAT, GUARD_THREADS); /* all of them are inside */
	moody_hang(p.m, MOODY_STAT, false);
	join(callers, GUARD_THREADS, 0);
	assert_int_equal(p.m->most_inside, GUARD_THREADS);
	moody_pair_free(&p);
}

static void
more_callers_than_threads_wait_for_their_turn(void **state)
{
	struct moody_pair p = moody_pair_new(20000, 20000);
	struct caller callers[5 * GUARD_THREADS];

	(void)state;
	p.m->takes[MOODY_GET] = 5;
	call_from(callers, ARRAY_LEN(callers), &p, MOODY_GET);
	join(callers, ARRAY_LEN(callers), 0);
	assert_int_equal(p.m->calls[MOODY_GET], ARRAY_LEN(callers));
	assert_in_range(p.m->most_inside, 2, GUARD_THREADS);
	moody_pair_free(&p);
}

static void
however_many_callers_and_handles_the_threads_stay_few(void **state)
{
	struct moody_pair p = moody_pair_new(LIMIT_MS, LIMIT_MS);
	struct caller callers[4 * GUARD_THREADS];
	struct err err = {0};

	(void)state;
	await_threads(0);
	moody_hang(p.m, MOODY_STAT, true);
	call_from(callers, ARRAY_LEN(callers), &p, MOODY_STAT);
	join(callers, ARRAY_LEN(callers), ERR_RETRY);
	for (int i = 0; i < 50; i++) { /* an agent that tries again and again */
		must_be_silent(guard_open(p.g, &(struct store *){NULL}, "file:///nowhere", &err), &err, "open");
		must_be_silent(moody_do(p.s, MOODY_STAT, &err), &err, "stat");
	}
	assert_in_range(threads(), 1, GUARD_THREADS);
	moody_hang(p.m, MOODY_STAT, false);
	store_close(p.s);
	guard_free(p.g);
	assert_in_range(p.m->most_inside, 1, GUARD_THREADS);
	moody_free(p.m);
}

static void
no_thread_is_there_before_it_is_needed(void **state)
{
	struct moody_pair p = moody_pair_new(1000, 1000);
	struct err err = {0};

	(void)state;
	await_threads(0);
	for (int i = 0; i < 10; i++)
		must(moody_do(p.s, MOODY_STAT, &err), &err);
	assert_int_equal(threads(), 1);
	moody_pair_free(&p);
	await_threads(0);
}

static void
closing_waits_for_nothing_that_hangs(void **state)
{
	(void)state;
	for (enum moody_call c = 0; c <= MOODY_CLOSE; c++) {
		struct moody_pair p = moody_pair_new(LIMIT_MS, LIMIT_MS);
		int64_t began;

		moody_hang(p.m, c, true);
		(void)moody_do(p.s, c, NULL);
		began = clock_monotonic_ms();
		store_close(p.s);
		guard_free(p.g);
		assert_true(clock_monotonic_ms() - began < 20 * LIMIT_MS);
		moody_hang(p.m, c, false);
		moody_free(p.m);
	}
}

static void
a_store_is_opened_and_refused_as_without_a_guard(void **state)
{
	static const struct {
		const char *url;
		int want;
	} rows[] = {{"file:///", 0}, {"file:///nowhere/at/all", ERR_IO}, {"ftp://x", ERR_CONFIG}, {"file://", ERR_CONFIG}};
	struct guard_options o = {.name = "dr"};
	GUARD_AUTO struct guard *g = NULL;
	struct err err = {0}, plain = {0};

	(void)state;
	must(guard_new(&g, &o, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		STORE_AUTO struct store *s = NULL, *direct = NULL;
		int rc = guard_open(g, &s, rows[i].url, &err);

		assert_int_equal(rc, rows[i].want);
		assert_int_equal(store_open(&direct, rows[i].url, false, &plain), rows[i].want);
		if (rc < 0)
			assert_string_equal(err.msg, plain.msg);
		else
			assert_string_equal(s->url, direct->url);
	}
}

/* The directory store, behind a guard. */
struct guarded_place {
	struct place place; /* first */
	int (*fresh)(struct store_factory *f, struct store **out, struct err *err);
	void (*destroy)(struct store_factory *f);
	struct guard *g;
};

static int
guarded_fresh(struct store_factory *f, struct store **out, struct err *err)
{
	struct guarded_place *p = (struct guarded_place *)f;
	const struct guard_options o = {.name = "dr", .limit_ms = 60000, .stall_ms = 60000, .queue_bytes = 1 << 20};
	struct store *inner = NULL;
	int rc = guard_new(&p->g, &o, err);

	if (rc == 0)
		rc = p->fresh(f, &inner, err);
	return rc < 0 ? rc : guard_wrap(p->g, out, inner, err);
}

static int
guarded_again(struct store_factory *f, struct store **out, struct err *err)
{
	struct guarded_place *p = (struct guarded_place *)f;
	FREE_AUTO char *url = str_printf("file://%s", p->place.root);

	return guard_open(p->g, out, url, err);
}

static void
guarded_destroy(struct store_factory *f)
{
	struct guarded_place *p = (struct guarded_place *)f;

	guard_free(STEAL(p->g));
	p->destroy(f);
}

static int
the_directory_store_is_the_same_behind_a_guard(void)
{
	struct guarded_place p = {.place = place_of("guarded file", FILE_MODE_LINK, false)};
	struct store_factory *f = &p.place.factory;

	p.fresh = f->fresh;
	p.destroy = f->destroy;
	f->fresh = guarded_fresh;
	f->again = guarded_again;
	f->destroy = guarded_destroy;
	return store_conformance(f);
}

static void *
end_at_once(void *arg)
{
	return arg;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_operation_that_hangs_costs_the_limit_and_the_next_ones_nothing),
	    cmocka_unit_test(what_the_store_says_comes_through),
	    cmocka_unit_test(answers_are_handed_over_whole),
	    cmocka_unit_test(a_late_answer_touches_nothing_of_the_callers),
	    cmocka_unit_test(as_many_operations_run_at_once_as_there_are_threads),
	    cmocka_unit_test(more_callers_than_threads_wait_for_their_turn),
	    cmocka_unit_test(however_many_callers_and_handles_the_threads_stay_few),
	    cmocka_unit_test(no_thread_is_there_before_it_is_needed),
	    cmocka_unit_test(closing_waits_for_nothing_that_hangs),
	    cmocka_unit_test(a_store_is_opened_and_refused_as_without_a_guard),
	};
	pthread_t first;
	int failed;

	assert_int_equal(pthread_create(&first, NULL, end_at_once, NULL), 0);
	pthread_join(first, NULL);
	threads_at_start = all_threads();
	failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + the_directory_store_is_the_same_behind_a_guard() != 0;
}
