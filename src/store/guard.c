/* A guarded store: opening, closing, and the operations that are one question and one answer. See guard.h. */
#include "store/guard_internal.h"

#include "base/clock.h"

/* One question to the inner store. What is answered lies here until the caller, who may be gone by then, fetches it. */
struct question {
	struct guard_call call; /* first */
	struct guarded *s;
	int (*ask)(struct question *q, struct store *inner);
	char key[STORE_KEY_MAX + 1];
	uint64_t offset, size, free_bytes;
	struct store_stat stat;
	struct store_caps caps;
	size_t len, got;
	uint8_t data[];
};

void
guarded_use(struct guarded *s)
{
	pthread_mutex_lock(&s->guard->lock);
	s->users++;
	pthread_mutex_unlock(&s->guard->lock);
}

void
guarded_done(struct guarded *s)
{
	struct guard *g = s->guard;

	pthread_mutex_lock(&g->lock);
	s->users--;
	if (s->users == 0 && s->closed)
		(void)guard_submit(&s->closing, true, NULL); /* there is a thread: it runs this */
	else if (s->users == 0)
		pthread_cond_broadcast(&s->quiet);
	pthread_mutex_unlock(&g->lock);
}

static void
question_run(struct guard_call *c)
{
	struct question *q = (struct question *)c;
	struct store *inner = q->s->inner;
	int rc;

	guard_enter(c);
	rc = q->ask(q, inner);
	guard_leave(c);
	c->rc = rc;
}

static void
question_release(struct guard_call *c)
{
	struct question *q = (struct question *)c;

	guarded_done(q->s);
	guard_call_destroy(c);
	free(q);
}

/* room: bytes of data in the answer. */
static int
question_new(struct question **out, struct store *store, const char *key, size_t room,
    int (*ask)(struct question *q, struct store *inner), struct err *err)
{
	struct guarded *s = (struct guarded *)store;
	struct question *q;
	int rc = key != NULL ? store_key_check(key, false, err) : 0;

	if (rc < 0)
		return rc;
	q = malloc(sizeof(*q) + room);
	if (q == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %zu bytes of '%s'", room, key != NULL ? key : store->url);
	*q = (struct question){.call = {.run = question_run, .release = question_release}, .s = s, .ask = ask, .len = room};
	if (key != NULL)
		memcpy(q->key, key, strlen(key) + 1);
	guard_call_init(&q->call, s->guard);
	guarded_use(s);
	*out = q;
	return 0;
}

static void
scope_question(struct question **q)
{
	if (*q != NULL)
		guard_call_leave(&(*q)->call);
}
#define QUESTION_AUTO SCOPE(scope_question)

/* The answer's kind, and its error. */
static int
question_do(struct question *q, struct err *err)
{
	int rc = guard_call_do(&q->call, err);

	if (rc == 0 && q->call.rc < 0 && err != NULL)
		*err = q->call.err;
	return rc < 0 ? rc : q->call.rc;
}

/* A question that is answered by its error alone. */
static int
act(struct store *s, const char *key, int (*ask)(struct question *q, struct store *inner), struct err *err)
{
	QUESTION_AUTO struct question *q = NULL;
	int rc = question_new(&q, s, key, 0, ask, err);

	return rc < 0 ? rc : question_do(q, err);
}

static int
ask_get(struct question *q, struct store *inner)
{
	return store_get(inner, q->key, q->offset, q->data, q->len, &q->got, &q->call.err);
}

static int
guarded_get(struct store *s, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	QUESTION_AUTO struct question *q = NULL;
	int rc = question_new(&q, s, key, len, ask_get, err);

	if (rc < 0)
		return rc;
	q->offset = offset;
	rc = question_do(q, err);
	if (rc < 0)
		return rc;
	memcpy(data, q->data, q->got);
	*got = q->got;
	return 0;
}

static int
ask_get_tail(struct question *q, struct store *inner)
{
	return store_get_tail(inner, q->key, q->data, q->len, &q->got, &q->size, &q->call.err);
}

static int
guarded_get_tail(struct store *s, const char *key, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	QUESTION_AUTO struct question *q = NULL;
	int rc = question_new(&q, s, key, len, ask_get_tail, err);

	if (rc == 0)
		rc = question_do(q, err);
	if (rc < 0)
		return rc;
	memcpy(data, q->data, q->got);
	*got = q->got;
	*size = q->size;
	return 0;
}

static int
ask_settle(struct question *q, struct store *inner)
{
	return store_settle(inner, q->key, &q->call.err);
}

static int
guarded_settle(struct store *s, const char *key, struct err *err)
{
	return act(s, key, ask_settle, err);
}

static int
ask_stat(struct question *q, struct store *inner)
{
	return store_stat(inner, q->key, &q->stat, &q->call.err);
}

static int
guarded_stat(struct store *s, const char *key, struct store_stat *out, struct err *err)
{
	QUESTION_AUTO struct question *q = NULL;
	int rc = question_new(&q, s, key, 0, ask_stat, err);

	if (rc == 0)
		rc = question_do(q, err);
	if (rc == 0)
		*out = q->stat;
	return rc;
}

static int
ask_remove(struct question *q, struct store *inner)
{
	return store_remove(inner, q->key, &q->call.err);
}

static int
guarded_remove(struct store *s, const char *key, struct err *err)
{
	return act(s, key, ask_remove, err);
}

static int
ask_caps(struct question *q, struct store *inner)
{
	return store_caps(inner, &q->caps, &q->call.err);
}

static int
guarded_caps(struct store *s, struct store_caps *out, struct err *err)
{
	QUESTION_AUTO struct question *q = NULL;
	int rc = question_new(&q, s, NULL, 0, ask_caps, err);

	if (rc == 0)
		rc = question_do(q, err);
	if (rc == 0)
		*out = q->caps;
	return rc;
}

static int
ask_space(struct question *q, struct store *inner)
{
	return store_space(inner, &q->free_bytes, &q->size, &q->call.err);
}

static int
guarded_space(struct store *s, uint64_t *free_bytes, uint64_t *total_bytes, struct err *err)
{
	QUESTION_AUTO struct question *q = NULL;
	int rc = question_new(&q, s, NULL, 0, ask_space, err);

	if (rc == 0)
		rc = question_do(q, err);
	if (rc < 0)
		return rc;
	*free_bytes = q->free_bytes;
	*total_bytes = q->size;
	return 0;
}

static void
closing_run(struct guard_call *c)
{
	struct guarded *s = (struct guarded *)((char *)c - offsetof(struct guarded, closing));

	guard_enter(c);
	store_close(s->inner);
	guard_leave(c);
}

static void
closing_release(struct guard_call *c)
{
	struct guarded *s = (struct guarded *)((char *)c - offsetof(struct guarded, closing));
	struct guard *g = s->guard;

	guard_call_destroy(c);
	pthread_cond_destroy(&s->quiet);
	free(s);
	guard_unref(g);
}

/* Calls that are orderly under way are waited for; behind one that hangs, the thread that comes back closes. */
static void
guarded_close(struct store *store)
{
	struct guarded *s = (struct guarded *)store;
	struct guard *g = s->guard;
	int64_t until = clock_monotonic_ms() + g->limit_ms;
	bool mine;

	pthread_mutex_lock(&g->lock);
	while (s->users > 0 && !guard_is_stuck(g) && clock_wait(&s->quiet, &g->lock, until))
		;
	s->closed = true;
	mine = s->users == 0;
	if (!mine)
		s->closing.left = true;
	else if (guard_submit(&s->closing, true, NULL) == 0)
		guard_await_end(&s->closing);
	else
		closing_run(&s->closing); /* no thread can be had */
	pthread_mutex_unlock(&g->lock);
	if (mine)
		guard_call_leave(&s->closing);
}

int
guard_wrap(struct guard *g, struct store **out, struct store *inner, struct err *err)
{
	static const struct store_ops ops = {
	    .get = guarded_get,
	    .get_tail = guarded_get_tail,
	    .put = guarded_put,
	    .settle = guarded_settle,
	    .list = guarded_list,
	    .list_names = guarded_list_names,
	    .stat = guarded_stat,
	    .remove = guarded_remove,
	    .caps = guarded_caps,
	    .space = guarded_space,
	    .close = guarded_close,
	};
	struct guarded *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		store_close(inner);
		return err_set(err, ERR_NOMEM, 0, "out of memory to guard a store");
	}
	s->store.ops = &ops;
	s->store.url = inner->url;
	s->guard = g;
	s->inner = inner;
	s->closing = (struct guard_call){.run = closing_run, .release = closing_release, .must_run = true};
	guard_call_init(&s->closing, g);
	pthread_cond_init(&s->quiet, NULL);
	pthread_mutex_lock(&g->lock);
	g->refs++;
	pthread_mutex_unlock(&g->lock);
	*out = &s->store;
	return 0;
}

/* Work that is not of a guarded store. */
struct work_call {
	struct guard_call call; /* first */
	const struct guard_work *work;
	void *arg;
};

static void
work_run(struct guard_call *c)
{
	struct work_call *w = (struct work_call *)c;
	int rc;

	guard_enter(c);
	rc = w->work->run(w->arg, &c->err);
	guard_leave(c);
	c->rc = rc;
}

static void
work_release(struct guard_call *c)
{
	struct work_call *w = (struct work_call *)c;

	w->work->release(w->arg);
	guard_call_destroy(c);
	free(w);
}

int
guard_do(struct guard *g, const struct guard_work *work, void *arg, struct err *err)
{
	struct work_call *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL) {
		work->release(arg);
		return err_set(err, ERR_NOMEM, 0, "out of memory for work on repository '%s'", g->name);
	}
	w->call = (struct guard_call){.run = work_run, .release = work_release};
	w->work = work;
	w->arg = arg;
	guard_call_init(&w->call, g);
	rc = guard_call_do(&w->call, err);
	if (rc == 0 && w->call.rc < 0) {
		rc = w->call.rc;
		if (err != NULL)
			*err = w->call.err;
	} else if (rc == 0) {
		work->take(arg);
	}
	guard_call_leave(&w->call);
	return rc;
}

/* A store that is being opened. */
struct opening {
	struct store *inner, **out;
	char url[];
};

static int
opening_run(void *arg, struct err *err)
{
	struct opening *o = arg;

	return store_open(&o->inner, o->url, false, err);
}

static void
opening_take(void *arg)
{
	struct opening *o = arg;

	*o->out = STEAL(o->inner);
}

static void
opening_release(void *arg)
{
	struct opening *o = arg;

	store_close(o->inner); /* nobody came for it */
	free(o);
}

int
guard_open(struct guard *g, struct store **out, const char *url, struct err *err)
{
	static const struct guard_work work = {opening_run, opening_take, opening_release};
	size_t len = strlen(url) + 1;
	struct opening *o = calloc(1, sizeof(*o) + len);
	struct store *inner;
	int rc;

	if (o == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory to open '%s'", url);
	memcpy(o->url, url, len);
	o->out = &inner;
	rc = guard_do(g, &work, o, err);
	return rc < 0 ? rc : guard_wrap(g, out, inner, err);
}
