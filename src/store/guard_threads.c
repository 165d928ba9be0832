/*
 * The guard's threads and what they run. A call is queued, taken by a thread and run; its caller may leave at any time, and
 * whoever is last releases it. One lock for all of a guard: it is held for moments, never during an operation.
 */
#include "store/guard_internal.h"

#include <signal.h>

#include "base/clock.h"

#define LIMIT_MS 30000
#define STALL_MS 10000
#define QUEUE_BYTES ((size_t)4 << 20)
#define IDLE_MS 10000 /* a thread that has had nothing to do for so long ends */

int
guard_new(struct guard **out, const struct guard_options *o, struct err *err)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (g != NULL)
		g->name = strdup(o->name);
	if (g == NULL || g->name == NULL) {
		free(g);
		return err_set(err, ERR_NOMEM, 0, "out of memory for a guard");
	}
	g->limit_ms = o->limit_ms > 0 ? o->limit_ms : LIMIT_MS;
	g->stall_ms = o->stall_ms > 0 ? o->stall_ms : STALL_MS;
	g->queue_bytes = o->queue_bytes > 0 ? o->queue_bytes : QUEUE_BYTES;
	g->refs = 1;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->work, NULL);
	pthread_cond_init(&g->gone, NULL);
	*out = g;
	return 0;
}

void
guard_unref(struct guard *g)
{
	bool last;

	pthread_mutex_lock(&g->lock);
	last = --g->refs == 0;
	pthread_mutex_unlock(&g->lock);
	if (!last)
		return;
	pthread_cond_destroy(&g->gone);
	pthread_cond_destroy(&g->work);
	pthread_mutex_destroy(&g->lock);
	free(g->name);
	free(g);
}

void
guard_free(struct guard *g)
{
	int64_t until;

	if (g == NULL)
		return;
	until = clock_monotonic_ms() + g->limit_ms;
	pthread_mutex_lock(&g->lock);
	g->freed = true;
	pthread_cond_broadcast(&g->work);
	while (g->threads > 0 && !guard_is_stuck(g) && clock_wait(&g->gone, &g->lock, until))
		;
	pthread_mutex_unlock(&g->lock);
	guard_unref(g);
}

int
guard_answers(struct guard *g, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	if (guard_is_stuck(g))
		rc = guard_silent(g, err);
	pthread_mutex_unlock(&g->lock);
	return rc;
}

bool
guard_is_stuck(const struct guard *g)
{
	int64_t now = clock_monotonic_ms();

	for (const struct guard_call *c = g->running.first; c != NULL; c = c->next)
		if (c->overdue || (c->since_ms != INT64_MAX && now - c->since_ms >= g->limit_ms))
			return true;
	return false;
}

int
guard_silent(const struct guard *g, struct err *err)
{
	err_set(err, ERR_RETRY, 0, "repository '%s' does not answer", g->name);
	(void)err_hint(err, "does its file system hang? state = lost in [repository:%s] leaves it out", g->name);
	return ERR_RETRY;
}

static void
append(struct guard_list *l, struct guard_call *c)
{
	c->next = NULL;
	c->previous = l->last;
	if (l->last != NULL)
		l->last->next = c;
	else
		l->first = c;
	l->last = c;
}

static void
take_out(struct guard_list *l, struct guard_call *c)
{
	if (c->previous != NULL)
		c->previous->next = c->next;
	else
		l->first = c->next;
	if (c->next != NULL)
		c->next->previous = c->previous;
	else
		l->last = c->previous;
}

static void
enqueue(struct guard_call *c)
{
	struct guard *g = c->guard;

	c->state = GUARD_QUEUED;
	append(&g->queue, c);
	g->queued++;
	pthread_cond_signal(&g->work);
}

static void
dequeue(struct guard_call *c)
{
	take_out(&c->guard->queue, c);
	c->guard->queued--;
	c->state = GUARD_IDLE;
}

/* With the lock held, which is let go only to release the call. */
static void
run_one(struct guard *g)
{
	struct guard_call *c = g->queue.first;

	dequeue(c);
	append(&g->running, c);
	c->state = GUARD_RUNNING;
	c->again = false;
	c->run(c);
	take_out(&g->running, c);
	if (c->again) {
		enqueue(c);
		return;
	}
	c->state = GUARD_IDLE;
	if (!c->left) {
		pthread_cond_broadcast(&c->changed);
		return;
	}
	pthread_mutex_unlock(&g->lock);
	c->release(c);
	pthread_mutex_lock(&g->lock);
}

static void *
thread_main(void *arg)
{
	struct guard *g = arg;
	int64_t until = clock_monotonic_ms() + IDLE_MS;
	bool bored = false;

	pthread_mutex_lock(&g->lock);
	while (g->queue.first != NULL || (!g->freed && !bored)) {
		if (g->queue.first != NULL) {
			run_one(g);
			until = clock_monotonic_ms() + IDLE_MS;
			continue;
		}
		g->waiting++;
		bored = !clock_wait(&g->work, &g->lock, until);
		g->waiting--;
	}
	g->threads--;
	pthread_cond_broadcast(&g->gone);
	pthread_mutex_unlock(&g->lock);
	guard_unref(g);
	return NULL;
}

static bool
start_thread(struct guard *g)
{
	sigset_t all, old;
	pthread_t thread;
	int e;

	/* signals belong to the main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&thread, NULL, thread_main, g);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e != 0)
		return false;
	(void)pthread_detach(thread);
	g->threads++;
	g->refs++;
	return true;
}

int
guard_submit(struct guard_call *c, bool even_when_stuck, struct err *err)
{
	struct guard *g = c->guard;

	if (!even_when_stuck && guard_is_stuck(g))
		return guard_silent(g, err);
	/* a thread whose listing waits for its caller may be waiting for this very call: it does not count */
	if (g->queued >= g->waiting && g->threads - g->parked < GUARD_THREADS && !start_thread(g) && g->threads == 0)
		return err_set(err, ERR_NOMEM, 0, "no thread could be started for repository '%s'", g->name);
	enqueue(c);
	return 0;
}

void
guard_call_init(struct guard_call *c, struct guard *g)
{
	c->guard = g;
	c->since_ms = INT64_MAX;
	pthread_cond_init(&c->changed, NULL);
}

void
guard_call_destroy(struct guard_call *c)
{
	pthread_cond_destroy(&c->changed);
}

void
guard_enter(struct guard_call *c)
{
	c->since_ms = c->progress_ms = clock_monotonic_ms();
	pthread_mutex_unlock(&c->guard->lock);
}

void
guard_leave(struct guard_call *c)
{
	int64_t now = clock_monotonic_ms();

	pthread_mutex_lock(&c->guard->lock);
	c->since_ms = INT64_MAX;
	c->progress_ms = now;
	c->overdue = false;
}

/* Its caller has waited in vain. */
static int
give_up(struct guard_call *c, struct err *err)
{
	c->overdue = c->since_ms != INT64_MAX;
	return guard_silent(c->guard, err);
}

int
guard_await(struct guard_call *c, const bool *ready, int64_t from_ms, struct err *err)
{
	struct guard *g = c->guard;

	while (c->state != GUARD_IDLE && (ready == NULL || !*ready)) {
		int64_t from = c->progress_ms > from_ms ? c->progress_ms : from_ms;

		if (!clock_wait(&c->changed, &g->lock, from + g->limit_ms))
			return give_up(c, err);
	}
	return 0;
}

void
guard_await_end(struct guard_call *c)
{
	int64_t until = clock_monotonic_ms() + c->guard->limit_ms;

	while (c->state != GUARD_IDLE && !guard_is_stuck(c->guard) && clock_wait(&c->changed, &c->guard->lock, until))
		;
}

int
guard_call_do(struct guard_call *c, struct err *err)
{
	struct guard *g = c->guard;
	int64_t until = clock_monotonic_ms() + g->limit_ms;
	int rc;

	pthread_mutex_lock(&g->lock);
	rc = guard_submit(c, false, err);
	while (rc == 0 && c->state != GUARD_IDLE)
		if (!clock_wait(&c->changed, &g->lock, until))
			rc = give_up(c, err);
	pthread_mutex_unlock(&g->lock);
	return rc;
}

void
guard_call_leave(struct guard_call *c)
{
	struct guard *g = c->guard;
	bool last;

	pthread_mutex_lock(&g->lock);
	c->left = true;
	if (c->state == GUARD_QUEUED && !c->must_run)
		dequeue(c);
	last = c->state == GUARD_IDLE;
	pthread_cond_broadcast(&c->changed); /* a listing that waits for its caller */
	pthread_mutex_unlock(&g->lock);
	if (last)
		c->release(c);
}
