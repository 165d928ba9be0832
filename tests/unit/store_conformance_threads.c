/* The cases with several threads on one handle. */
#include "store_conformance_internal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/str.h"

#define WRITERS 8
#define RACE_SIZE (300 * 1000)

struct racer {
	pthread_t thread;
	pthread_barrier_t *start;
	struct store *s;
	const char *key;
	uint32_t seed;
	int rc;
};

static void *
race(void *arg)
{
	struct racer *r = arg;
	uint8_t *data = malloc(RACE_SIZE);

	conform_fill(data, RACE_SIZE, r->seed);
	pthread_barrier_wait(r->start);
	r->rc = store_put_bytes(r->s, r->key, data, RACE_SIZE, NULL);
	free(data);
	return NULL;
}

void
of_eight_writers_exactly_one_wins(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	struct store_factory *f = *state;

	for (unsigned round = 0; round < 10; round++) {
		FREE_AUTO char *key = str_printf("race/%u/deep/object", round);
		struct racer racers[WRITERS];
		pthread_barrier_t start;
		int winner = -1;

		pthread_barrier_init(&start, NULL, WRITERS);
		for (int i = 0; i < WRITERS; i++) {
			racers[i] =
			    (struct racer){.start = &start, .s = s, .key = key, .seed = round * 100 + (uint32_t)i, .rc = 1};
			assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
		}
		for (int i = 0; i < WRITERS; i++)
			pthread_join(racers[i].thread, NULL);
		pthread_barrier_destroy(&start);
		for (int i = 0; i < WRITERS; i++) {
			if (racers[i].rc == 0) {
				assert_int_equal(winner, -1);
				winner = i;
			} else {
				assert_int_equal(racers[i].rc, ERR_EXISTS);
			}
		}
		assert_true(winner >= 0);
		FREE_AUTO uint8_t *want = conform_bytes(RACE_SIZE, racers[winner].seed);
		conform_expect(s, key, want, RACE_SIZE);
	}
	if (f->leftovers != NULL)
		assert_int_equal(f->leftovers(f), 0);
}

struct watcher {
	pthread_t thread;
	struct store *s;
	const uint8_t *want;
	bool stop; /* atomic */
	unsigned misses, wholes, torn;
};

static void *
watch(void *arg)
{
	struct watcher *w = arg;
	uint8_t *data = malloc(4 * MIB);

	while (w->wholes == 0 || !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		size_t got = 0;
		int rc = store_get(w->s, "seen/whole", 0, data, 4 * MIB, &got, NULL);

		if (rc == ERR_NOT_FOUND && w->wholes == 0)
			w->misses++;
		else if (rc == 0 && got == 4 * MIB && memcmp(data, w->want, got) == 0)
			w->wholes++;
		else
			w->torn++;
		if (w->torn > 0)
			break;
	}
	free(data);
	return NULL;
}

void
readers_during_a_put_see_nothing_or_all(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	FREE_AUTO uint8_t *data = conform_bytes(4 * MIB, 3);
	struct watcher watchers[3];
	SINK_AUTO struct sink *sink = NULL;
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_LEN(watchers); i++) {
		watchers[i] = (struct watcher){.s = s, .want = data};
		assert_int_equal(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]), 0);
	}
	conform_must(store_put(s, "seen/whole", &sink, &err), &err);
	for (size_t at = 0; at < 4 * MIB; at += 64 << 10)
		conform_must(sink_write(sink, data + at, 64 << 10, &err), &err);
	conform_must(sink_finish(sink, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(watchers); i++)
		__atomic_store_n(&watchers[i].stop, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < ARRAY_LEN(watchers); i++) {
		pthread_join(watchers[i].thread, NULL);
		assert_int_equal(watchers[i].torn, 0);
		assert_true(watchers[i].wholes > 0);
	}
}
