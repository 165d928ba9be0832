#include "agent/lane.h"

#include "base/clock.h"

static void
go_down(struct lane *l, const struct err *why)
{
	if (l->failures == 0) {
		log_err(l->op->log, LOG_WARN, why);
		l->since_us = clock_now_us();
	}
	l->err = *why;
	l->failures++;
	l->retry_ms = clock_monotonic_ms() + shared_pause_ms(l->failures);
}

/* With the lock, which is free while the repository is opened. */
static void
open_it(struct lane *l)
{
	struct repository *repo = NULL;
	struct err err = {0};
	int rc;

	shared_unlock(l->shared);
	rc = op_open_target(l->op, l->c, l->writer, &repo, &err);
	shared_lock(l->shared);
	l->tries++;
	if (rc < 0) {
		err_wrap(&err, "repository '%s'", l->c->name);
		go_down(l, &err);
	} else {
		l->repo = repo;
		l->timeline = 0;
		l->since_us = clock_now_us();
	}
	shared_ring(l->shared);
}

/* With the lock, which is free while it is closed. */
static void
close_it(struct lane *l)
{
	struct repository *repo = STEAL(l->repo);

	l->broken = false;
	shared_unlock(l->shared);
	repository_free(repo);
	shared_lock(l->shared);
}

static void *
run(void *arg)
{
	struct lane *l = arg;

	shared_lock(l->shared);
	while (!l->shared->ending) {
		if (l->repo != NULL && l->broken && l->users == 0)
			close_it(l);
		else if (l->repo == NULL && l->retry_ms <= clock_monotonic_ms())
			open_it(l);
		else
			shared_wait(l->shared, l->repo == NULL ? l->retry_ms : INT64_MAX);
	}
	shared_unlock(l->shared);
	return NULL;
}

int
lane_start(struct lane *l, struct err *err)
{
	int sys;

	l->since_us = clock_now_us();
	err_set(&l->err, ERR_RETRY, 0, "repository '%s' was not opened yet", l->c->name);
	sys = pthread_create(&l->thread, NULL, run, l);
	if (sys != 0)
		return err_set(err, ERR_RETRY, sys, "start a thread for repository '%s'", l->c->name);
	l->started = true;
	return 0;
}

void
lane_join(struct lane *l)
{
	if (l->started)
		(void)pthread_join(l->thread, NULL);
	l->started = false;
	repository_free(STEAL(l->repo));
}

bool
lane_is_up(const struct lane *l)
{
	return l->repo != NULL && !l->broken;
}

struct repository *
lane_borrow(struct lane *l)
{
	if (!lane_is_up(l))
		return NULL;
	l->users++;
	return l->repo;
}

void
lane_give_back(struct lane *l)
{
	l->users--;
	if (l->broken && l->users == 0)
		shared_ring(l->shared);
}

void
lane_works(struct lane *l)
{
	if (l->failures > 0)
		log_write(
		    l->op->log, LOG_INFO, "repository '%s' of cluster '%s' takes WAL again", l->c->name, l->op->cluster->name);
	l->failures = 0;
}

void
lane_stored(struct lane *l)
{
	l->stored++;
	lane_works(l);
}

/* Is it the repository that fails, or this one object in it? */
static bool
is_of_repository(int kind)
{
	return kind != ERR_CORRUPT && kind != ERR_CONFLICT && kind != ERR_REFUSED;
}

void
lane_missed(struct lane *l, uint64_t bytes)
{
	l->missed++;
	l->behind = true;
	if (l->since.oldest_us == 0)
		l->since.oldest_us = clock_now_us();
	l->since.segments++;
	l->since.bytes += bytes;
}

struct lane_lag
lane_lag(const struct lane *l)
{
	return (struct lane_lag){
	    .segments = l->lag.segments + l->since.segments,
	    .bytes = l->lag.bytes + l->since.bytes,
	    .oldest_us = l->lag.oldest_us != 0 ? l->lag.oldest_us : l->since.oldest_us,
	};
}

void
lane_failed(struct lane *l, const struct err *why)
{
	if (!lane_is_up(l) || !is_of_repository(why->kind))
		return;
	l->broken = true;
	go_down(l, why);
	shared_ring(l->shared);
}

void
lane_hurry(struct lane *l)
{
	if (l->repo == NULL)
		l->retry_ms = 0;
	shared_ring(l->shared);
}
