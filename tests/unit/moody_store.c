#include "moody_store.h"

#include <time.h>

#include "base/clock.h"
#include "check.h"

static void
wait_for(struct moody *m)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	if (pthread_cond_timedwait(&m->changed, &m->lock, &until) != 0) {
		(void)fprintf(stderr, "a moody store waited for half a minute\n");
		abort(); /* from any thread: a test that hangs says nothing */
	}
}

/* Every operation passes here: what the test wants of it. */
static int
go_through(struct moody *m, enum moody_call c, struct err *err)
{
	int64_t takes;
	int rc;

	pthread_mutex_lock(&m->lock);
	m->calls[c]++;
	if (++m->inside > m->most_inside)
		m->most_inside = m->inside;
	pthread_cond_broadcast(&m->changed);
	while (m->hangs[c])
		wait_for(m);
	takes = m->takes[c];
	rc = m->fails[c];
	pthread_mutex_unlock(&m->lock);
	if (takes > 0)
		clock_sleep_ms(takes);
	pthread_mutex_lock(&m->lock);
	m->inside--;
	pthread_mutex_unlock(&m->lock);
	if (rc == 0)
		return 0;
	err_set(err, rc, 5, "%s fails as the test wants", moody_call_name(c));
	return err_hint(err, "the test's hint");
}

static int
moody_get(struct store *s, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	int rc = go_through((struct moody *)s, MOODY_GET, err);

	(void)key;
	(void)offset;
	if (rc < 0)
		return rc;
	memset(data, 0x5a, len);
	*got = len;
	return 0;
}

static int
moody_get_tail(struct store *s, const char *key, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	int rc = go_through((struct moody *)s, MOODY_TAIL, err);

	(void)key;
	if (rc < 0)
		return rc;
	memset(data, 0x5a, len);
	*got = len;
	*size = 1000;
	return 0;
}

static int
moody_settle(struct store *s, const char *key, struct err *err)
{
	(void)key;
	return go_through((struct moody *)s, MOODY_SETTLE, err);
}

static int
moody_stat(struct store *s, const char *key, struct store_stat *out, struct err *err)
{
	int rc = go_through((struct moody *)s, MOODY_STAT, err);

	(void)key;
	if (rc == 0)
		*out = (struct store_stat){.size = 77, .modified_us = 88};
	return rc;
}

static int
moody_remove(struct store *s, const char *key, struct err *err)
{
	(void)key;
	return go_through((struct moody *)s, MOODY_REMOVE, err);
}

static int
moody_caps(struct store *s, struct store_caps *out, struct err *err)
{
	int rc = go_through((struct moody *)s, MOODY_CAPS, err);

	if (rc == 0)
		*out = (struct store_caps){.create_only = true};
	return rc;
}

static int
moody_space(struct store *s, uint64_t *free_bytes, uint64_t *total_bytes, struct err *err)
{
	int rc = go_through((struct moody *)s, MOODY_SPACE, err);

	if (rc < 0)
		return rc;
	*free_bytes = 5;
	*total_bytes = 6;
	return 0;
}

static int
moody_list(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err)
{
	struct moody *m = (struct moody *)s;
	int rc = go_through(m, MOODY_LIST, err);

	for (unsigned i = 0; rc == 0 && i < m->entries; i++) {
		char key[STORE_KEY_MAX];
		struct store_entry e = {.key = key, .stat = {.size = i, .modified_us = 1}};

		(void)snprintf(key, sizeof(key), "%s%08u", prefix, i);
		pthread_mutex_lock(&m->lock);
		m->told++;
		pthread_cond_broadcast(&m->changed);
		while (m->hang_at_entry != 0 && i + 1 == m->hang_at_entry)
			wait_for(m);
		pthread_mutex_unlock(&m->lock);
		rc = each(&e, arg, err);
	}
	return rc;
}

struct moody_sink {
	struct sink sink; /* first */
	struct moody *m;
	bool finished;
};

/* Both of a pair have to be inside at the same time. */
static void
meet(struct moody *m, int where)
{
	struct moody *other = m->meets;

	if (other == NULL)
		return;
	pthread_mutex_lock(&m->lock);
	m->met[where] = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	pthread_mutex_lock(&other->lock);
	while (!other->met[where])
		wait_for(other);
	pthread_mutex_unlock(&other->lock);
}

static int
moody_sink_write(struct sink *sink, const void *data, size_t len, struct err *err)
{
	struct moody *m = ((struct moody_sink *)sink)->m;
	int rc = go_through(m, MOODY_WRITE, err);

	meet(m, 0);
	pthread_mutex_lock(&m->lock);
	if (rc == 0)
		rc = buf_append(&m->bytes, data, len, err);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int
moody_sink_finish(struct sink *sink, struct err *err)
{
	struct moody_sink *s = (struct moody_sink *)sink;
	int rc = go_through(s->m, MOODY_FINISH, err);

	meet(s->m, 1);
	s->finished = rc == 0;
	return rc;
}

static void
moody_sink_free(struct sink *sink)
{
	struct moody_sink *s = (struct moody_sink *)sink;
	struct moody *m = s->m;

	(void)go_through(m, MOODY_FREE, NULL);
	pthread_mutex_lock(&m->lock);
	m->sinks--;
	m->finished += s->finished;
	pthread_mutex_unlock(&m->lock);
	free(s);
}

static int
moody_put(struct store *store, const char *key, struct sink **out, struct err *err)
{
	static const struct sink_ops ops = {.write = moody_sink_write, .finish = moody_sink_finish, .free = moody_sink_free};
	struct moody *m = (struct moody *)store;
	int rc = go_through(m, MOODY_PUT, err);
	struct moody_sink *s;

	(void)key;
	if (rc < 0)
		return rc;
	s = calloc(1, sizeof(*s));
	s->sink.ops = &ops;
	s->m = m;
	pthread_mutex_lock(&m->lock);
	m->sinks++;
	pthread_mutex_unlock(&m->lock);
	*out = &s->sink;
	return 0;
}

static void
moody_close(struct store *s)
{
	struct moody *m = (struct moody *)s;

	(void)go_through(m, MOODY_CLOSE, NULL);
	pthread_mutex_lock(&m->lock);
	m->closed = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

struct moody *
moody_new(void)
{
	static const struct store_ops ops = {
	    .get = moody_get,
	    .get_tail = moody_get_tail,
	    .put = moody_put,
	    .settle = moody_settle,
	    .list = moody_list,
	    .stat = moody_stat,
	    .remove = moody_remove,
	    .caps = moody_caps,
	    .space = moody_space,
	    .close = moody_close,
	};
	struct moody *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->store.ops = &ops;
	m->store.url = "moody:";
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	return m;
}

void
moody_free(struct moody *m)
{
	pthread_mutex_lock(&m->lock);
	while (!m->closed)
		wait_for(m);
	pthread_mutex_unlock(&m->lock);
	assert_int_equal(m->sinks, 0);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	buf_free(&m->bytes);
	free(m);
}

struct moody_pair
moody_pair_new(int64_t limit_ms, int64_t stall_ms)
{
	const struct guard_options o = {.name = "dr", .limit_ms = limit_ms, .stall_ms = stall_ms, .queue_bytes = MOODY_QUEUE};
	struct moody_pair p = {.m = moody_new()};
	struct err err = {0};

	must(guard_new(&p.g, &o, &err), &err);
	must(guard_wrap(p.g, &p.s, &p.m->store, &err), &err);
	return p;
}

void
moody_pair_free(struct moody_pair *p)
{
	store_close(p->s);
	guard_free(p->g);
	moody_free(p->m);
}

void
moody_hang(struct moody *m, enum moody_call c, bool hangs)
{
	pthread_mutex_lock(&m->lock);
	m->hangs[c] = hangs;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

unsigned
moody_calls(struct moody *m, enum moody_call c)
{
	unsigned n;

	pthread_mutex_lock(&m->lock);
	n = m->calls[c];
	pthread_mutex_unlock(&m->lock);
	return n;
}

void
moody_await(struct moody *m, enum moody_call c, unsigned calls)
{
	pthread_mutex_lock(&m->lock);
	while (m->calls[c] < calls)
		wait_for(m);
	pthread_mutex_unlock(&m->lock);
}

static int
ignore(const struct store_entry *e, void *arg, struct err *err)
{
	(void)e;
	(void)arg;
	(void)err;
	return 0;
}

int
moody_do(struct store *s, enum moody_call c, struct err *err)
{
	struct store_stat st;
	struct store_caps caps;
	uint64_t x, y;
	char data[8];
	size_t got;

	switch (c) {
	case MOODY_GET:
		return store_get(s, "k", 0, data, sizeof(data), &got, err);
	case MOODY_TAIL:
		return store_get_tail(s, "k", data, sizeof(data), &got, &x, err);
	case MOODY_SETTLE:
		return store_settle(s, "k", err);
	case MOODY_STAT:
		return store_stat(s, "k", &st, err);
	case MOODY_REMOVE:
		return store_remove(s, "k", err);
	case MOODY_CAPS:
		return store_caps(s, &caps, err);
	case MOODY_SPACE:
		return store_space(s, &x, &y, err);
	case MOODY_LIST:
		return store_list(s, "k/", ignore, NULL, err);
	default:
		return store_put_bytes(s, "k", "bytes", 5, err);
	}
}

const char *
moody_call_name(enum moody_call c)
{
	static const char *const names[MOODY_CALLS] = {
	    "get", "get_tail", "settle", "stat", "remove", "caps", "space", "list", "put", "write", "finish", "free", "close"};

	return names[c];
}
