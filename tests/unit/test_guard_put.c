/* Writing and listing through a guard: queues that are bounded, waits that end, and nothing that comes after them. */
#include "check.h"
#include "moody_store.h"

#include "base/clock.h"
#include "repo/fanout.h"

#define LIMIT_MS 150

static struct sink *
put(struct moody_pair *p)
{
	struct sink *sink = NULL;
	struct err err = {0};

	must(store_put(p->s, "k", &sink, &err), &err);
	return sink;
}

static void
bytes_arrive_in_order_whatever_the_pieces(void **state)
{
	static uint8_t data[5 * MOODY_QUEUE];
	struct moody_pair p = moody_pair_new(10000, 10000);
	struct sink *sink = put(&p);
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t at = 0, n = 1; at < sizeof(data); at += n, n = n * 3 + 1 < sizeof(data) ? n * 3 + 1 : 5) {
		if (n > sizeof(data) - at)
			n = sizeof(data) - at;
		must(sink_write(sink, data + at, n, &err), &err);
	}
	assert_int_equal(p.m->finished, 0);
	must(sink_finish(sink, &err), &err);
	sink_free(sink);
	assert_int_equal(p.m->finished, 1);
	assert_int_equal(p.m->bytes.len, sizeof(data));
	assert_memory_equal(p.m->bytes.data, data, sizeof(data));
	moody_pair_free(&p);
}

static void
a_queue_that_stays_full_is_too_slow(void **state)
{
	static const struct {
		enum moody_call hangs;
		size_t at_most; /* bytes that the store had been given before */
	} rows[] = {{MOODY_PUT, 0}, {MOODY_WRITE, MOODY_QUEUE}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct moody_pair p = moody_pair_new(60000, LIMIT_MS); /* the operation itself may take its time */
		struct sink *sink = put(&p);
		static const uint8_t data[MOODY_QUEUE];
		int64_t began = clock_monotonic_ms();
		struct err err = {0};

		moody_hang(p.m, rows[i].hangs, true);
		must(sink_write(sink, data, 10, &err), &err);
		must(sink_write(sink, data, MOODY_QUEUE - 10, &err), &err); /* what the queue holds costs nothing */
		assert_true(clock_monotonic_ms() - began < LIMIT_MS);
		must_fail(sink_write(sink, data, 1, &err), ERR_RETRY, &err, "full");
		assert_string_equal(err.msg, "repository 'dr' is too slow for 'k'");
		assert_in_range(clock_monotonic_ms() - began, LIMIT_MS - 20, 20 * LIMIT_MS);
		sink_free(sink); /* waits for nothing */
		assert_in_range(clock_monotonic_ms() - began, LIMIT_MS - 20, 20 * LIMIT_MS);
		moody_hang(p.m, rows[i].hangs, false);
		store_close(p.s);
		assert_int_equal(p.m->sinks, 0);
		assert_int_equal(p.m->finished, 0);
		assert_true(p.m->bytes.len <= rows[i].at_most);
		guard_free(p.g);
		moody_free(p.m);
	}
}

static void
a_store_that_is_slow_but_moves_is_waited_for(void **state)
{
	static const uint8_t data[8 * MOODY_QUEUE];
	struct moody_pair p = moody_pair_new(LIMIT_MS, LIMIT_MS);
	struct sink *sink = put(&p);
	struct err err = {0};

	(void)state;
	p.m->takes[MOODY_WRITE] = p.m->takes[MOODY_FINISH] = p.m->takes[MOODY_PUT] = p.m->takes[MOODY_FREE] = LIMIT_MS / 2;
	must(sink_write(sink, data, sizeof(data), &err), &err);
	must(sink_finish(sink, &err), &err);
	sink_free(sink);
	assert_int_equal(p.m->finished, 1);
	assert_int_equal(p.m->bytes.len, sizeof(data));
	moody_pair_free(&p);
}

/* What the inner sink says is heard at the next write, or at finish; a name that is taken stays ERR_EXISTS. */
static void
errors_arrive_with_the_next_call(void **state)
{
	static const enum moody_call calls[] = {MOODY_PUT, MOODY_WRITE};
	static const uint8_t data[MOODY_QUEUE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		for (int at_finish = 0; at_finish < 2; at_finish++) {
			struct moody_pair p = moody_pair_new(10000, 10000);
			struct sink *sink = put(&p);
			struct err err = {0};
			int rc = 0;

			p.m->fails[calls[i]] = ERR_NOSPACE;
			must(sink_write(sink, data, 1, &err), &err);
			if (!at_finish) {
				moody_await(p.m, calls[i], 1);
				while (rc == 0) /* it is known in a moment */
					rc = sink_write(sink, data, 1, &err);
			} else {
				rc = sink_finish(sink, &err);
			}
			must_fail(rc, ERR_NOSPACE, &err, moody_call_name(calls[i]));
			assert_string_equal(err.hint, "the test's hint");
			sink_free(sink);
			assert_int_equal(p.m->sinks, 0);
			assert_int_equal(p.m->calls[MOODY_FINISH], 0);
			moody_pair_free(&p);
		}
	}
}

static void
a_put_that_is_given_up_leaves_nothing(void **state)
{
	static const uint8_t data[MOODY_QUEUE];

	(void)state;
	for (int written = 0; written < 3; written++) {
		struct moody_pair p = moody_pair_new(10000, 10000);
		struct sink *sink = put(&p);
		struct err err = {0};

		for (int i = 0; i < written; i++)
			must(sink_write(sink, data, MOODY_QUEUE, &err), &err);
		sink_free(sink);
		assert_int_equal(p.m->sinks, 0);
		assert_int_equal(p.m->calls[MOODY_FINISH], 0);
		moody_pair_free(&p);
	}
}

/* Whatever hangs while it is finished: the caller goes, and only what was being published by then may still come. */
static void
a_finish_that_hangs_is_left_behind(void **state)
{
	static const struct {
		enum moody_call hangs;
		unsigned published;
	} rows[] = {{MOODY_PUT, 0}, {MOODY_WRITE, 0}, {MOODY_FINISH, 1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct moody_pair p = moody_pair_new(LIMIT_MS, 10000);
		struct sink *sink = put(&p);
		int64_t began = clock_monotonic_ms();
		struct err err = {0};

		moody_hang(p.m, rows[i].hangs, true);
		must(sink_write(sink, "bytes", 5, &err), &err);
		must_fail(sink_finish(sink, &err), ERR_RETRY, &err, moody_call_name(rows[i].hangs));
		assert_string_equal(err.msg, "repository 'dr' does not answer");
		sink_free(sink);
		assert_true(clock_monotonic_ms() - began < 20 * LIMIT_MS);
		assert_int_equal(guard_answers(p.g, NULL), ERR_RETRY);
		moody_hang(p.m, rows[i].hangs, false);
		while (guard_answers(p.g, NULL) < 0)
			clock_sleep_ms(1);
		store_close(p.s);
		assert_int_equal(p.m->finished, rows[i].published);
		guard_free(p.g);
		moody_free(p.m);
	}
}

static void
more_puts_may_be_open_than_there_are_threads(void **state)
{
	struct sink *sinks[3 * GUARD_THREADS];
	static const uint8_t data[MOODY_QUEUE];
	struct moody_pair p = moody_pair_new(20000, 20000);
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sinks); i++)
		sinks[i] = put(&p);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < ARRAY_LEN(sinks); i++)
			must(sink_write(sinks[i], data, MOODY_QUEUE, &err), &err);
	must(moody_do(p.s, MOODY_STAT, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(sinks); i++) {
		must(sink_finish(sinks[i], &err), &err);
		sink_free(sinks[i]);
	}
	assert_int_equal(p.m->finished, ARRAY_LEN(sinks));
	assert_int_equal(p.m->bytes.len, 3 * ARRAY_LEN(sinks) * MOODY_QUEUE);
	moody_pair_free(&p);
}

/* A fan-out to both; its repositories are the caller's to take out again. */
static struct fanout *
fanout_to(struct moody_pair p[2])
{
	struct fanout *f = NULL;
	struct err err = {0};

	must(fanout_new(&f, 2, &err), &err);
	for (int i = 0; i < 2; i++) {
		struct repository *r = calloc(1, sizeof(*r));

		r->store = p[i].s;
		memcpy(r->cluster_name, "c", 2);
		f->targets[i].name = i == 0 ? "a" : "b";
		f->targets[i].repo = r;
	}
	return f;
}

static void
two_that_hang_in_their_finish_are_waited_for_together(void **state)
{
	struct moody_pair p[2] = {moody_pair_new(4 * LIMIT_MS, 20000), moody_pair_new(4 * LIMIT_MS, 20000)};
	FANOUT_AUTO struct fanout *f = fanout_to(p);
	struct sink *sink = NULL;
	struct err err = {0};
	int64_t began;

	(void)state;
	must(fanout_put(f, "wal/1/x", NULL, &sink, &err), &err);
	must(sink_write(sink, "bytes", 5, &err), &err);
	for (int i = 0; i < 2; i++)
		moody_hang(p[i].m, MOODY_FINISH, true);
	began = clock_monotonic_ms();
	must_fail(sink_finish(sink, &err), ERR_RETRY, &err, "both hang");
	assert_in_range(clock_monotonic_ms() - began, 4 * LIMIT_MS - 20, 7 * LIMIT_MS);
	sink_free(sink);
	for (int i = 0; i < 2; i++) {
		moody_hang(p[i].m, MOODY_FINISH, false);
		f->targets[i].repo->store = NULL;
		moody_pair_free(&p[i]);
	}
}

/* Each of the two stores waits in write and in finish until the other one is there too. */
static void
a_fanout_writes_and_publishes_at_the_same_time(void **state)
{
	struct moody_pair p[2] = {moody_pair_new(20000, 20000), moody_pair_new(20000, 20000)};
	FANOUT_AUTO struct fanout *f = fanout_to(p);
	static const uint8_t data[MOODY_QUEUE]; /* more would wait for the first store before the second one hears of it */
	SINK_AUTO struct sink *sink = NULL;
	struct err err = {0};

	(void)state;
	for (int i = 0; i < 2; i++)
		p[i].m->meets = p[1 - i].m;
	must(fanout_put(f, "wal/1/x", NULL, &sink, &err), &err);
	must(sink_write(sink, data, sizeof(data), &err), &err);
	must(sink_finish(sink, &err), &err);
	sink_free(STEAL(sink));
	for (int i = 0; i < 2; i++) {
		assert_true(f->targets[i].done);
		assert_int_equal(p[i].m->finished, 1);
		assert_int_equal(p[i].m->bytes.len, sizeof(data));
		f->targets[i].repo->store = NULL;
	}
	for (int i = 0; i < 2; i++)
		moody_pair_free(&p[i]);
}

struct seen {
	struct moody_pair *p;
	unsigned n, stop_at, furthest;
	int answer;
	bool asks; /* the store, from inside the listing */
	bool over; /* the listing has returned */
};

static int
see(const struct store_entry *e, void *arg, struct err *err)
{
	struct seen *s = arg;
	char want[32];

	assert_false(s->over);
	(void)snprintf(want, sizeof(want), "k/%08u", s->n);
	assert_string_equal(e->key, want);
	assert_int_equal(e->stat.size, s->n);
	pthread_mutex_lock(&s->p->m->lock);
	if (s->p->m->told - s->n > s->furthest)
		s->furthest = s->p->m->told - s->n;
	pthread_mutex_unlock(&s->p->m->lock);
	s->n++;
	if (s->asks)
		must(moody_do(s->p->s, MOODY_STAT, err), err);
	if (s->stop_at != 0 && s->n == s->stop_at)
		return s->answer < 0 ? err_set(err, s->answer, 0, "enough") : s->answer;
	return 0;
}

static void
a_listing_comes_in_order_and_in_bounded_batches(void **state)
{
	static const unsigned counts[] = {0, 1, 255, 256, 257, 512, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct moody_pair p = moody_pair_new(20000, 20000);
		struct seen seen = {.p = &p};
		struct err err = {0};

		p.m->entries = counts[i];
		must(store_list(p.s, "k/", see, &seen, &err), &err);
		assert_int_equal(seen.n, counts[i]);
		assert_in_range(seen.furthest, 0, 600); /* what the store told and the caller has not seen */
		moody_pair_free(&p);
	}
}

static void
a_listing_that_its_caller_ends_is_over(void **state)
{
	static const unsigned stops[] = {1, 256, 257, 999};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
		struct moody_pair p = moody_pair_new(20000, 20000);
		struct seen seen = {.p = &p, .stop_at = stops[i], .answer = i % 2 == 0 ? 5 : ERR_REFUSED};
		struct err err = {0};

		p.m->entries = 1000;
		assert_int_equal(store_list(p.s, "k/", see, &seen, &err), seen.answer);
		seen.over = true;
		assert_int_equal(seen.n, stops[i]);
		must(moody_do(p.s, MOODY_STAT, &err), &err); /* it was orderly: the store still answers */
		moody_pair_free(&p);
	}
}

static void
a_listing_that_hangs_on_the_way_is_left_behind(void **state)
{
	static const unsigned places[] = {1, 2, 256, 257, 700};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct moody_pair p = moody_pair_new(LIMIT_MS, 20000);
		struct seen seen = {.p = &p};
		struct err err = {0};

		p.m->entries = 1000;
		p.m->hang_at_entry = places[i];
		must_fail(store_list(p.s, "k/", see, &seen, &err), ERR_RETRY, &err, "hangs");
		assert_string_equal(err.msg, "repository 'dr' does not answer");
		seen.over = true;
		assert_true(seen.n < places[i]);
		pthread_mutex_lock(&p.m->lock);
		p.m->hang_at_entry = 0;
		pthread_cond_broadcast(&p.m->changed);
		pthread_mutex_unlock(&p.m->lock);
		moody_pair_free(&p);
	}
}

static void
a_listing_that_fails_says_what_it_had(void **state)
{
	struct moody_pair p = moody_pair_new(20000, 20000);
	struct seen seen = {.p = &p};
	struct err err = {0};

	(void)state;
	p.m->fails[MOODY_LIST] = ERR_AUTH;
	must_fail(store_list(p.s, "k/", see, &seen, &err), ERR_AUTH, &err, "list");
	assert_int_equal(seen.n, 0);
	moody_pair_free(&p);
}

struct lister {
	pthread_t thread;
	struct seen seen;
	int rc;
};

static void *
list(void *arg)
{
	struct lister *l = arg;

	l->rc = store_list(l->seen.p->s, "k/", see, &l->seen, NULL);
	return NULL;
}

/* Each listing keeps a thread of the guard waiting while its caller asks: they must not starve each other. */
static void
many_listings_that_ask_the_store_get_their_answers(void **state)
{
	struct moody_pair p = moody_pair_new(20000, 20000);
	struct lister listers[3 * GUARD_THREADS];

	(void)state;
	p.m->entries = 1000;
	for (size_t i = 0; i < ARRAY_LEN(listers); i++) {
		listers[i] = (struct lister){.seen = {.p = &p, .asks = true}};
		assert_int_equal(pthread_create(&listers[i].thread, NULL, list, &listers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(listers); i++) {
		pthread_join(listers[i].thread, NULL);
		assert_int_equal(listers[i].rc, 0);
		assert_int_equal(listers[i].seen.n, 1000);
	}
	moody_pair_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_arrive_in_order_whatever_the_pieces),
	    cmocka_unit_test(a_queue_that_stays_full_is_too_slow),
	    cmocka_unit_test(a_store_that_is_slow_but_moves_is_waited_for),
	    cmocka_unit_test(errors_arrive_with_the_next_call),
	    cmocka_unit_test(a_put_that_is_given_up_leaves_nothing),
	    cmocka_unit_test(a_finish_that_hangs_is_left_behind),
	    cmocka_unit_test(more_puts_may_be_open_than_there_are_threads),
	    cmocka_unit_test(a_fanout_writes_and_publishes_at_the_same_time),
	    cmocka_unit_test(two_that_hang_in_their_finish_are_waited_for_together),
	    cmocka_unit_test(a_listing_comes_in_order_and_in_bounded_batches),
	    cmocka_unit_test(a_listing_that_its_caller_ends_is_over),
	    cmocka_unit_test(a_listing_that_hangs_on_the_way_is_left_behind),
	    cmocka_unit_test(a_listing_that_fails_says_what_it_had),
	    cmocka_unit_test(many_listings_that_ask_the_store_get_their_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
