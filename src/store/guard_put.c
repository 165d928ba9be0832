/*
 * Writing through the guard: the caller copies into a ring, a thread of the guard empties it into the inner store's sink. The
 * thread is taken for as long as there is something to write, so that any number of puts may be open; opening the inner sink,
 * publishing and putting away what was given up are steps of the same work.
 */
#include "store/guard_internal.h"

#include "base/clock.h"

#define PIECE ((size_t)256 << 10) /* given to the inner sink at once: so often the caller gets room again */

struct guard_sink {
	struct sink sink; /* first */
	struct guard_call call;
	struct guarded *s;
	struct sink *inner;
	bool opened, finishing, finished;
	int64_t finishing_ms; /* since when */
	bool abandoned;       /* nothing more is written or published */
	bool silent;          /* because the inner sink took too long: nobody waits for it any more */
	uint8_t *ring;        /* made at the first write */
	size_t size;
	uint64_t in, out; /* bytes written by the caller, bytes that the inner sink took */
	char key[STORE_KEY_MAX + 1];
};

static struct guard_sink *
of_call(struct guard_call *c)
{
	return (struct guard_sink *)((char *)c - offsetof(struct guard_sink, call));
}

static void
open_inner(struct guard_sink *s)
{
	struct sink *inner = NULL;
	int rc;

	s->opened = true;
	guard_enter(&s->call);
	rc = store_put(s->s->inner, s->key, &inner, &s->call.err);
	guard_leave(&s->call);
	s->inner = inner;
	s->call.must_run = inner != NULL;
	s->call.rc = rc;
}

static void
write_piece(struct guard_sink *s)
{
	size_t at = s->out % s->size, n = s->in - s->out < PIECE ? (size_t)(s->in - s->out) : PIECE;
	int rc;

	if (n > s->size - at)
		n = s->size - at;
	guard_enter(&s->call);
	rc = sink_write(s->inner, s->ring + at, n, &s->call.err);
	guard_leave(&s->call);
	s->call.rc = rc;
	s->out += n;
	pthread_cond_broadcast(&s->call.changed);
}

static void
finish_inner(struct guard_sink *s)
{
	int rc;

	guard_enter(&s->call);
	rc = sink_finish(s->inner, &s->call.err);
	guard_leave(&s->call);
	s->call.rc = rc;
	s->finished = true;
}

static void
free_inner(struct guard_sink *s)
{
	guard_enter(&s->call);
	sink_free(s->inner);
	guard_leave(&s->call);
	s->inner = NULL;
	s->call.must_run = false;
}

static bool
goes_on(const struct guard_sink *s)
{
	return s->call.rc == 0 && !s->abandoned;
}

static void
drain(struct guard_call *c)
{
	struct guard_sink *s = of_call(c);

	if (!s->opened && goes_on(s))
		open_inner(s);
	while (goes_on(s) && s->in > s->out && !c->again) {
		write_piece(s);
		c->again = c->guard->queued > c->guard->waiting; /* nobody else would come for those */
	}
	if (c->again && goes_on(s))
		return;
	c->again = false;
	if (goes_on(s) && s->finishing && !s->finished)
		finish_inner(s);
	if (s->inner != NULL && (!goes_on(s) || s->finished))
		free_inner(s);
}

static void
sink_release(struct guard_call *c)
{
	struct guard_sink *s = of_call(c);

	guarded_done(s->s);
	guard_call_destroy(c);
	free(s->ring);
	free(s);
}

/* With the lock held: is there a thread on it, or coming? */
static int
set_to_work(struct guard_sink *s, struct err *err)
{
	return s->call.state == GUARD_IDLE ? guard_submit(&s->call, true, err) : 0;
}

/* What went wrong, if anything did. */
static int
result(const struct guard_sink *s, struct err *err)
{
	if (s->call.rc < 0 && err != NULL)
		*err = s->call.err;
	return s->call.rc;
}

static int
too_slow(struct guard_sink *s, struct err *err)
{
	s->abandoned = s->silent = true;
	err_set(err, ERR_RETRY, 0, "repository '%s' is too slow for '%s'", s->call.guard->name, s->key);
	(void)err_hint(err, "it took nothing for a while; is its disk or its network overloaded?");
	return ERR_RETRY;
}

/* Room for a piece of at most len, without the lock's being given away. ERR_RETRY when there is none in time. */
static int
await_room(struct guard_sink *s, size_t len, int64_t until, size_t *room, struct err *err)
{
	while (s->in - s->out == s->size && s->call.rc == 0)
		if (!clock_wait(&s->call.changed, &s->call.guard->lock, until))
			return too_slow(s, err);
	*room = s->size - (size_t)(s->in - s->out);
	if (*room > s->size - s->in % s->size)
		*room = s->size - s->in % s->size;
	if (*room > len)
		*room = len;
	return result(s, err);
}

static int
guard_sink_write(struct sink *sink, const void *data, size_t len, struct err *err)
{
	struct guard_sink *s = (struct guard_sink *)sink;
	struct guard *g = s->call.guard;
	/* a write that is longer than the queue has to wait several times */
	int64_t until = clock_monotonic_ms() + g->stall_ms * (int64_t)(1 + len / s->size);
	const uint8_t *at = data;
	int rc = 0;

	if (s->ring == NULL && (s->ring = malloc(s->size)) == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the queue of '%s'", s->key);
	pthread_mutex_lock(&g->lock);
	while (rc == 0 && len > 0) {
		size_t n;

		rc = await_room(s, len, until, &n, err);
		if (rc < 0)
			break;
		pthread_mutex_unlock(&g->lock); /* nobody else touches what is free in the ring */
		memcpy(s->ring + s->in % s->size, at, n);
		pthread_mutex_lock(&g->lock);
		s->in += n;
		at += n;
		len -= n;
		rc = set_to_work(s, err);
	}
	pthread_mutex_unlock(&g->lock);
	return rc;
}

/* With the lock held. Several that are finished together wait together: the limit counts from here. */
static void
say_finish(struct guard_sink *s)
{
	if (!s->finishing)
		s->finishing_ms = clock_monotonic_ms();
	s->finishing = true;
}

static void
guard_sink_begin_finish(struct sink *sink)
{
	struct guard_sink *s = (struct guard_sink *)sink;

	pthread_mutex_lock(&s->call.guard->lock);
	say_finish(s);
	if (s->call.rc == 0)
		(void)set_to_work(s, NULL); /* finish tries again */
	pthread_mutex_unlock(&s->call.guard->lock);
}

static int
guard_sink_finish(struct sink *sink, struct err *err)
{
	struct guard_sink *s = (struct guard_sink *)sink;
	struct guard *g = s->call.guard;
	int rc;

	pthread_mutex_lock(&g->lock);
	say_finish(s);
	rc = result(s, err);
	if (rc == 0 && !s->finished)
		rc = set_to_work(s, err);
	if (rc == 0 && guard_await(&s->call, NULL, s->finishing_ms, err) < 0) {
		s->abandoned = s->silent = true; /* what is not being published by now never is */
		rc = ERR_RETRY;
	}
	if (rc == 0)
		rc = result(s, err);
	pthread_mutex_unlock(&g->lock);
	return rc;
}

static void
guard_sink_free(struct sink *sink)
{
	struct guard_sink *s = (struct guard_sink *)sink;
	struct guard *g = s->call.guard;

	pthread_mutex_lock(&g->lock);
	s->abandoned = true;
	if (s->inner != NULL && set_to_work(s, NULL) < 0)
		free_inner(s); /* no thread can be had */
	if (!s->silent)
		guard_await_end(&s->call);
	pthread_mutex_unlock(&g->lock);
	guard_call_leave(&s->call);
}

int
guarded_put(struct store *store, const char *key, struct sink **out, struct err *err)
{
	static const struct sink_ops ops = {.write = guard_sink_write,
	    .finish = guard_sink_finish,
	    .free = guard_sink_free,
	    .begin_finish = guard_sink_begin_finish};
	struct guarded *g = (struct guarded *)store;
	struct guard_sink *s;
	int rc = store_key_check(key, false, err);

	if (rc == 0)
		rc = guard_answers(g->guard, err);
	if (rc < 0)
		return rc;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory to put '%s'", key);
	s->sink.ops = &ops;
	s->s = g;
	s->size = g->guard->queue_bytes;
	memcpy(s->key, key, strlen(key) + 1);
	s->call.run = drain;
	s->call.release = sink_release;
	guard_call_init(&s->call, g->guard);
	guarded_use(g);
	*out = &s->sink;
	return 0;
}
