#include "agent/keeper.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "ops/catch_up_server.h"
#include "ops/wal_index.h"

#define SOURCES_MAX 32
#define LOOK_MS 3600000
#define INDEXES_MAX 4 /* in one go: an old repository catches up in steps */
#define INDEX_MS 60000
#define INDEX_FAILED_MS 600000

/* One round under way. */
struct round {
	struct keeper *k;
	struct repository *target, *sources[SOURCES_MAX];
	size_t n_sources;
	bool all; /* every other repository could be opened */
	struct catch_up_result result;
};

/* ---- what a round asks ---- */

/* With the lock. */
static bool
is_over(const struct keeper *k)
{
	return k->lane->shared->ending || !lane_is_up(k->lane);
}

/* The same without it: a keeper's work asks in front of each piece. */
static bool
stop(void *keeper)
{
	const struct keeper *k = keeper;
	bool over;

	shared_lock(k->lane->shared);
	over = is_over(k);
	shared_unlock(k->lane->shared);
	return over;
}

static bool
stop_round(void *arg)
{
	return stop(((struct round *)arg)->k);
}

/* One at a time in the whole process encodes, with what that needs of memory. */
static int
from_server(const char *file_name, const uint8_t content_id[CONTENT_ID], void *arg, struct err *err)
{
	const struct round *r = arg;
	struct keeper *k = r->k;
	struct shared *shared = k->lane->shared;
	struct catch_up_server s = {.op = k->lane->op, .writer = k->writer, .target = r->target};
	int rc;

	shared_lock(shared);
	while (shared->encoding && !is_over(k))
		shared_wait(shared, INT64_MAX);
	if (is_over(k)) {
		shared_unlock(shared);
		return err_set(err, ERR_NOT_FOUND, 0, "the round is over");
	}
	shared->encoding = true;
	shared_unlock(shared);
	if (shared->slots == NULL)
		(void)object_slots_new(&shared->slots, NULL, NULL); /* without them each object has its own */
	s.slots = shared->slots;
	rc = catch_up_server_segment(&s, file_name, content_id, err);
	shared_lock(shared);
	shared->encoding = false;
	shared_ring(shared);
	shared_unlock(shared);
	return rc;
}

static void
moved(const struct catch_up_result *so_far, void *arg)
{
	const struct round *r = arg;
	struct lane *l = r->k->lane;

	shared_lock(l->shared);
	if (so_far->copied + so_far->from_server > 0)
		lane_works(l);
	if (r->all && so_far->heard_all)
		l->lag = (struct lane_lag){
		    .segments = so_far->lacking, .bytes = so_far->lacking_bytes, .oldest_us = so_far->oldest_us};
	shared_unlock(l->shared);
}

/* Said at the first of several rounds that find it. */
static void
trouble(const char *repository, const char *relative, const struct err *why, void *arg)
{
	const struct keeper *k = ((struct round *)arg)->k;

	if (k->tries == 0)
		log_write(k->lane->op->log, LOG_WARN, "repository '%s' catches up: '%s' of repository '%s': %s",
		    k->lane->c->name, relative, repository, why->msg);
}

/* ---- a round ---- */

/* One that does not open is its lane's to tell. */
static void
open_sources(struct round *r)
{
	const struct keeper *k = r->k;

	r->all = true;
	for (size_t i = 0; i < k->n_lanes; i++) {
		const struct lane *l = &k->lanes[i];
		struct err why;

		if (l == k->lane)
			continue;
		if (r->n_sources < SOURCES_MAX && op_open_repository(l->op, l->c, NULL, &r->sources[r->n_sources], &why) == 0)
			r->n_sources++;
		else
			r->all = false;
	}
}

/* Without the lock. */
static int
bring(struct round *r, struct err *err)
{
	struct catch_up_round round = {
	    .target = r->target,
	    .sources = r->sources,
	    .from_server = from_server,
	    .stop = stop_round,
	    .moved = moved,
	    .trouble = trouble,
	    .arg = r,
	};
	int rc;

	open_sources(r);
	if (r->n_sources == 0) {
		r->result.no_source = true;
		return err_set(err, ERR_RETRY, 0, "no other repository can be opened");
	}
	round.n_sources = r->n_sources;
	rc = r->k->memory != NULL ? 0 : catch_up_new(&r->k->memory, err);
	if (rc == 0)
		rc = catch_up_round(r->k->memory, &round, &r->result, err);
	for (size_t i = 0; i < r->n_sources; i++)
		repository_free(r->sources[i]);
	return rc;
}

/* With the lock. */
static void
tell_caught_up(struct keeper *k)
{
	const struct catch_up_result *b = &k->brought;
	char bytes[32];

	if (b->copied + b->from_server > 0) {
		str_from_size(bytes, sizeof(bytes), b->bytes);
		log_write(k->lane->op->log, LOG_INFO,
		    "repository '%s' of cluster '%s' has caught up: %" PRIu64 " segments from pg_wal, %" PRIu64
		    " objects (%s) from other repositories",
		    k->lane->c->name, k->lane->op->cluster->name, b->from_server, b->copied, bytes);
	}
	k->brought = (struct catch_up_result){0};
}

/* What came of it. With the lock. */
static void
settle(struct keeper *k, const struct round *r, int rc, const struct err *why)
{
	const struct catch_up_result *done = &r->result;
	struct lane *l = k->lane;
	int64_t now = clock_monotonic_ms();

	k->brought.copied += done->copied;
	k->brought.bytes += done->bytes;
	k->brought.from_server += done->from_server;
	if (rc == 0 && r->all && done->heard_all && done->lacking == 0 && !done->stopped) {
		l->lag = (struct lane_lag){0};
		l->behind = l->since.segments > 0; /* missed while the round was on */
		k->look_ms = now + LOOK_MS;
		k->tries = 0;
		if (!l->behind)
			tell_caught_up(k);
		return;
	}
	if (rc < 0 && !done->no_source)
		lane_failed(l, why);
	if (!done->stopped)
		k->retry_ms = now + shared_pause_ms(++k->tries);
}

/* With the lock, which is free meanwhile. */
static void
catch_up(struct keeper *k)
{
	struct lane *l = k->lane;
	struct round r = {.k = k};
	struct err err = {0};
	int rc;

	l->lag = lane_lag(l);
	l->since = (struct lane_lag){0};
	r.target = lane_borrow(l);
	shared_unlock(l->shared);
	rc = bring(&r, &err);
	shared_lock(l->shared);
	settle(k, &r, rc, &err);
	lane_give_back(l);
	shared_ring(l->shared);
}

/* ---- indexes ---- */

/* A failure is told and no more: shipping goes on in this repository. With the lock, which is free meanwhile. */
static void
write_indexes(struct keeper *k)
{
	const struct wal_index_options o = {.max = INDEXES_MAX, .stop = stop, .arg = k};
	struct wal_index_result done;
	struct lane *l = k->lane;
	struct repository *repo = lane_borrow(l);
	struct err err = {0};
	int rc;

	l->rows = false;
	shared_unlock(l->shared);
	rc = wal_index_write(repo, k->writer, &o, &done, &err);
	shared_lock(l->shared);
	if (rc < 0)
		log_err(l->op->log, LOG_WARN, &err);
	l->rows |= rc < 0 || done.left > 0;
	k->index_ms = clock_monotonic_ms() + (rc < 0 ? INDEX_FAILED_MS : INDEX_MS);
	lane_give_back(l);
	shared_ring(l->shared);
}

static bool
may_index(const struct keeper *k, int64_t now)
{
	return lane_is_up(k->lane) && !k->lane->behind && k->lane->rows && k->index_ms <= now;
}

/* ---- the thread ---- */

static bool
is_due(struct keeper *k, int64_t now)
{
	if (k->look_ms <= now && k->n_lanes > 1)
		k->lane->behind = true;
	return lane_is_up(k->lane) && k->lane->behind && k->retry_ms <= now;
}

static int64_t
wakes_ms(const struct keeper *k, int64_t now)
{
	const int64_t times[] = {k->retry_ms, k->look_ms, k->index_ms};
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (times[i] > now && times[i] < at)
			at = times[i];
	return at;
}

static void *
run(void *arg)
{
	struct keeper *k = arg;
	struct shared *shared = k->lane->shared;

	shared_lock(shared);
	while (!shared->ending) {
		int64_t now = clock_monotonic_ms();

		if (is_due(k, now))
			catch_up(k);
		else if (may_index(k, now))
			write_indexes(k);
		else
			shared_wait(shared, wakes_ms(k, now));
	}
	shared_unlock(shared);
	return NULL;
}

int
keeper_start(struct keeper *k, struct err *err)
{
	int sys = pthread_create(&k->thread, NULL, run, k);

	if (sys != 0)
		return err_set(err, ERR_RETRY, sys, "start a thread for repository '%s'", k->lane->c->name);
	k->started = true;
	return 0;
}

void
keeper_join(struct keeper *k)
{
	if (k->started)
		(void)pthread_join(k->thread, NULL);
	k->started = false;
	catch_up_free(STEAL(k->memory));
}
