#include "agent/shipper.h"

#include <errno.h>

#include "base/clock.h"
#include "base/str.h"
#include "ops/archive.h"
#include "ops/stop.h"

#define RETRY_MS 5000
#define LANES_MS 2000
#define FORGET_MS 60000 /* an answer that nobody came for */

static char *
path_of(const struct shipper *s, const char *name)
{
	return str_printf("%s/pg_wal/%s", s->op.cluster->pgdata, name);
}

/* ---- what is there ---- */

static void
on_word(enum ready_event event, const char *name, void *arg)
{
	struct shipper *s = arg;
	struct queue_entry *e;

	if (event == READY_LOST || event == READY_ENDS) {
		s->rescan = true;
		s->retry_ms = 0;
		return;
	}
	if (event == READY_CAME) {
		if (queue_add(&s->queue, name, &e, NULL) == 0)
			e->listed = true;
		return;
	}
	e = queue_find(&s->queue, name);
	if (e == NULL)
		return;
	e->listed = false;
	if (e->state != QUEUE_SHIPPING && !e->asked)
		queue_remove(&s->queue, e);
}

/* What is listed no more: words about it may have been lost. */
static void
scan(struct shipper *s)
{
	struct err err;

	for (size_t i = 0; i < s->queue.n; i++)
		s->queue.list[i]->listed = false;
	s->queue.more = false;
	s->rescan = false;
	if (ready_scan(s->ready, on_word, s, &err) < 0) {
		log_err(s->op.log, LOG_WARN, &err);
		s->rescan = true;
		return;
	}
	for (size_t i = s->queue.n; i > 0; i--) {
		struct queue_entry *e = s->queue.list[i - 1];

		if (!e->listed && e->state != QUEUE_SHIPPING && !e->asked)
			queue_remove(&s->queue, e);
	}
}

void
shipper_take(struct shipper *s)
{
	struct err err;

	if (s->ready == NULL)
		return;
	shared_lock(s->shared);
	if (ready_take(s->ready, on_word, s, &err) < 0) {
		log_err(s->op.log, LOG_WARN, &err);
		s->rescan = true;
	}
	shared_ring(s->shared);
	shared_unlock(s->shared);
}

static void
open_ready(struct shipper *s)
{
	struct err err;

	ready_close(STEAL(s->ready));
	if (ready_open(&s->ready, s->op.cluster->pgdata, &err) < 0) {
		if (err.kind != ERR_NOT_FOUND)
			log_err(s->op.log, LOG_WARN, &err);
		s->retry_ms = clock_monotonic_ms() + RETRY_MS;
		return;
	}
	s->rescan = true;
}

static int
start_lanes(struct shipper *s, struct err *err)
{
	for (size_t i = 0; i < s->n_lanes; i++) {
		struct lane *l = &s->lanes[i];

		l->shared = s->shared;
		l->op = &s->op;
		l->writer = s->writer;
		if (!l->started && lane_start(l, err) < 0)
			return err->kind;
	}
	s->lanes_ms = clock_monotonic_ms();
	return 0;
}

static void
open_writer(struct shipper *s)
{
	struct writer *w = NULL;
	struct err err;
	int rc = op_open_writer(&s->op, &w, &err);

	shared_lock(s->shared);
	if (rc == 0) {
		s->writer = w;
		rc = start_lanes(s, &err);
	}
	if (rc < 0) {
		if (strcmp(s->broken.msg, err.msg) != 0)
			log_err(s->op.log, LOG_ERROR, &err);
		s->broken = err;
		s->retry_ms = clock_monotonic_ms() + RETRY_MS;
	} else {
		s->broken.kind = 0;
	}
	shared_unlock(s->shared);
}

/* Answers that nobody came for: a client that was killed, a name that is no longer listed. */
static void
forget(struct shipper *s, int64_t now)
{
	for (size_t i = s->queue.n; i > 0; i--) {
		struct queue_entry *e = s->queue.list[i - 1];

		if (!e->listed && (e->state == QUEUE_DURABLE || e->state == QUEUE_FAILED) && e->settled_ms + FORGET_MS < now)
			queue_remove(&s->queue, e);
	}
}

/* Enough that it is worth reading the directory for it. */
static bool
has_room(const struct shipper *s)
{
	return s->once ? s->queue.n < QUEUE_MAX : s->queue.n <= QUEUE_MAX / 2;
}

void
shipper_tick(struct shipper *s)
{
	int64_t now = clock_monotonic_ms();

	if (s->retry_ms <= now && (s->writer == NULL || s->broken.kind != 0))
		open_writer(s);
	if (s->retry_ms <= now && (s->ready == NULL || s->rescan))
		open_ready(s);
	shared_lock(s->shared);
	forget(s, now);
	if (s->once && s->queue.more)
		queue_pass(&s->queue);
	if (s->ready != NULL && (s->rescan || (s->queue.more && has_room(s))))
		scan(s);
	shared_ring(s->shared);
	shared_unlock(s->shared);
}

/* ---- shipping ---- */

/* A view of the lanes for one file. With the lock. */
static int
board(struct shipper *s, struct fanout **out, struct err *err)
{
	struct fanout *f = NULL;
	int rc = fanout_new(&f, s->n_lanes, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->n_lanes; i++) {
		struct lane *l = &s->lanes[i];
		struct fanout_target *t = &f->targets[i];

		t->name = l->c->name;
		t->repo = lane_borrow(l);
		t->failed = t->repo == NULL;
		if (t->failed)
			t->err = l->err;
	}
	*out = f;
	return 0;
}

/* What became of it, lane by lane, and the end of the view. With the lock. */
static void
land(struct shipper *s, struct fanout *f, bool durable, uint64_t bytes)
{
	for (size_t i = 0; i < s->n_lanes; i++) {
		struct lane *l = &s->lanes[i];
		struct fanout_target *t = &f->targets[i];

		if (t->done)
			lane_stored(l);
		else if (durable)
			lane_missed(l, bytes);
		if (t->failed && t->repo != NULL)
			lane_failed(l, &t->err);
		if (t->repo != NULL)
			lane_give_back(l);
		t->repo = NULL; /* the lane's */
	}
	fanout_free(f);
}

/* Could the policy be met by the lanes that are up? With the lock. */
static bool
may_suffice(const struct shipper *s)
{
	const struct config *cfg = s->op.config;
	FREE_AUTO bool *up = calloc(cfg->n_repositories + 1, sizeof(bool));
	size_t at = 0;

	for (size_t i = 0; up != NULL && i < cfg->n_repositories; i++)
		if (cfg->repositories[i].state != CONFIG_REPOSITORY_LOST) {
			up[i] = lane_is_up(&s->lanes[at++]);
		}
	return up != NULL && acknowledge_satisfied(cfg, up);
}

/*
 * Somebody waits for an answer, and it could not be a good one with what is up: the direct way would try the others now, so
 * each that is down is tried once more. With the lock, which is free meanwhile.
 */
static void
hurry_lanes(struct shipper *s)
{
	for (size_t i = 0; i < s->n_lanes && !s->shared->ending; i++) {
		struct lane *l = &s->lanes[i];
		unsigned tries = l->tries;

		if (lane_is_up(l))
			continue;
		lane_hurry(l);
		while (l->started && l->tries == tries && !may_suffice(s) && !s->shared->ending)
			shared_wait(s->shared, INT64_MAX);
		if (may_suffice(s))
			return;
	}
}

static int
identity(const char *path, struct file_identity *out, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, errno == ENOENT ? ERR_RETRY : ERR_IO, errno, "stat '%s'", path);
	file_identity_of(out, &st);
	return 0;
}

/* Without the lock. The file must be the same before and behind it. */
static int
ship_file(const struct shipper *s, const char *name, struct fanout *f, struct object_slots *slots, struct file_identity *file,
    struct err *err)
{
	const struct archive_means means = {.writer = s->writer, .fanout = f, .slots = slots};
	FREE_AUTO char *path = path_of(s, name);
	struct file_identity after;
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = stop_check(&s->op, NULL, err);
	if (rc == 0)
		rc = identity(path, file, err);
	if (rc == 0)
		rc = op_same_cluster(&s->op, f, err);
	if (rc == 0)
		rc = archive_to(&s->op, &means, path, name, NULL, err);
	if (rc == 0)
		rc = identity(path, &after, err);
	if (rc == 0 && !file_identity_same(file, &after))
		rc = err_set(err, ERR_RETRY, 0, "'%s' was changed while it was shipped", path);
	return rc;
}

/* With the lock. */
static void
settle(struct shipper *s, struct queue_entry *e, int rc, const struct err *err)
{
	int64_t now = clock_monotonic_ms();

	e->settled_ms = now;
	free(STEAL(e->err));
	if (rc == 0) {
		e->attempts++;
		e->state = QUEUE_DURABLE;
		s->shipped++;
		s->bytes += e->file.size;
		s->last_us = clock_now_us();
		memcpy(s->last, e->text, sizeof(s->last));
		return;
	}
	if (e->attempts++ == 0 && err->kind != ERR_REFUSED)
		log_err(s->op.log, LOG_WARN, err);
	e->state = QUEUE_FAILED;
	e->retry_ms = now + shared_pause_ms(e->attempts);
	e->err = malloc(sizeof(*e->err));
	if (e->err != NULL)
		*e->err = *err;
}

/* Not before every repository was tried, so that none misses the first files; one that hangs is waited for a moment only. */
static bool
is_under_way(const struct shipper *s)
{
	if (s->writer == NULL)
		return false;
	for (size_t i = 0; i < s->n_lanes; i++)
		if (s->lanes[i].tries == 0)
			return clock_monotonic_ms() - s->lanes_ms > LANES_MS;
	return true;
}

bool
shipper_work(struct shipper *s, struct object_slots *slots)
{
	struct queue_entry *e = is_under_way(s) ? queue_next(&s->queue, clock_monotonic_ms(), may_suffice(s)) : NULL;
	struct fanout *f = NULL;
	char name[WAL_NAME_MAX];
	struct err err = {0};
	int rc;

	if (e == NULL)
		return false;
	e->state = QUEUE_SHIPPING;
	memcpy(name, e->text, sizeof(name));
	if (e->asked && !may_suffice(s))
		hurry_lanes(s);
	rc = board(s, &f, &err);
	if (rc == 0) {
		shared_unlock(s->shared);
		rc = ship_file(s, name, f, slots, &e->file, &err);
		shared_lock(s->shared);
		land(s, f, rc == 0, e->file.size);
	}
	settle(s, e, rc, &err);
	e->lacking = rc < 0 && !may_suffice(s);
	if (!e->listed && !e->asked)
		queue_remove(&s->queue, e);
	shared_ring(s->shared);
	return true;
}

bool
shipper_is_done(const struct shipper *s, int *rc, struct err *err)
{
	if (s->writer == NULL && s->broken.kind != 0) {
		*err = s->broken;
		*rc = err->kind;
		return true;
	}
	if (s->writer == NULL || s->ready == NULL || s->rescan)
		return false;
	for (size_t i = 0; i < s->queue.n; i++) {
		const struct queue_entry *e = s->queue.list[i];

		if (e->state == QUEUE_WAITING || e->state == QUEUE_SHIPPING)
			return false;
		if (s->queue.more && queue_may_pass(e)) /* it makes room for what comes behind it */
			return false;
		if (e->state != QUEUE_FAILED || e->err == NULL)
			continue;
		*err = *e->err;
		*rc = err->kind;
	}
	return true;
}

int64_t
shipper_wakes_ms(const struct shipper *s)
{
	return s->writer != NULL ? queue_wakes_ms(&s->queue) : INT64_MAX;
}

/* ---- answers ---- */

/* Is the client's file the one that the server has in its pg_wal? */
static bool
is_own_file(const struct shipper *s, const struct agent_request *r)
{
	FREE_AUTO char *path = path_of(s, r->name);
	struct file_identity own;

	return path != NULL && identity(path, &own, NULL) == 0 && file_identity_same(&own, &r->file);
}

/* Start anew for a client whose file is not the one that was shipped, or that asks after a failure. */
static void
again(struct queue_entry *e)
{
	e->state = QUEUE_WAITING;
	e->retry_ms = 0;
}

enum ask
shipper_ask(struct shipper *s, const struct agent_request *r, struct ask_state *state, struct err *err)
{
	struct queue_entry *e;

	if (s->writer == NULL || s->broken.kind != 0)
		return ASK_ELSEWHERE;
	e = queue_find(&s->queue, r->name);
	if (e == NULL && state->known) /* no longer listed: the server has gone on */
		return ASK_ELSEWHERE;
	if (e == NULL && (!is_own_file(s, r) || queue_add(&s->queue, r->name, &e, NULL) < 0))
		return ASK_ELSEWHERE;
	if (!state->known) {
		*state = (struct ask_state){.known = true, .attempts = e->attempts};
		if (e->state == QUEUE_FAILED)
			again(e);
		if (e->state == QUEUE_DURABLE && !file_identity_same(&e->file, &r->file)) {
			if (!is_own_file(s, r))
				return ASK_ELSEWHERE;
			again(e);
		}
		e->asked = true;
		shared_ring(s->shared);
	}
	if (e->state == QUEUE_DURABLE) {
		e->asked = false;
		return file_identity_same(&e->file, &r->file) ? ASK_DURABLE : ASK_ELSEWHERE;
	}
	if (e->state != QUEUE_FAILED || e->attempts == state->attempts)
		return ASK_WAIT;
	e->asked = false;
	if (e->err != NULL)
		*err = *e->err;
	else
		err_set(err, ERR_NOMEM, 0, "out of memory for an error");
	return ASK_FAILED;
}

static json_t *
lane_report(const struct lane *l)
{
	char since[32];
	bool up = lane_is_up(l);
	json_t *o;

	clock_format_utc(since, sizeof(since), l->since_us);
	o = json_pack("{ss ss ss sI sI sI sI sI}", "name", l->c->name, "state", up ? "up" : "down", "since", since, "stored",
	    (json_int_t)l->stored, "missed", (json_int_t)l->missed, "lag_segments", (json_int_t)l->lag.segments, "lag_bytes",
	    (json_int_t)l->lag.bytes, "lag_seconds",
	    (json_int_t)(l->lag.oldest_us != 0 ? (clock_now_us() - l->lag.oldest_us) / 1000000 : 0));
	if (o != NULL && !up && json_object_set_new(o, "error", json_text(l->err.msg)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

json_t *
shipper_report(const struct shipper *s)
{
	json_t *lanes = json_array();
	size_t states[4] = {0};
	char last[32] = "";
	bool ok = lanes != NULL;

	for (size_t i = 0; ok && i < s->n_lanes; i++)
		ok = json_array_append_new(lanes, lane_report(&s->lanes[i])) == 0;
	if (!ok) {
		json_decref(lanes);
		return NULL;
	}
	for (size_t i = 0; i < s->queue.n; i++)
		states[s->queue.list[i]->state]++;
	if (s->last_us != 0)
		clock_format_utc(last, sizeof(last), s->last_us);
	return json_pack("{ss sI sI sI sI sI sI sb ss ss so}", "cluster", s->op.cluster->name, "shipped",
	    (json_int_t)s->shipped, "bytes", (json_int_t)s->bytes, "waiting", (json_int_t)states[QUEUE_WAITING], "shipping",
	    (json_int_t)states[QUEUE_SHIPPING], "durable", (json_int_t)states[QUEUE_DURABLE], "failed",
	    (json_int_t)states[QUEUE_FAILED], "more", s->queue.more, "last_file", s->last, "last_time", last, "repositories",
	    lanes);
}

/* ---- life ---- */

int
shipper_new(struct shipper **out, struct shared *shared, const struct op *op, struct err *err)
{
	const struct config *cfg = op->config;
	struct shipper *s = calloc(1, sizeof(*s));
	int rc;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for cluster '%s'", op->cluster->name);
	s->shared = shared;
	s->op = *op;
	s->lanes = calloc(cfg->n_repositories, sizeof(*s->lanes));
	rc = s->lanes != NULL ? queue_init(&s->queue, err) : err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
	for (size_t i = 0; rc == 0 && i < cfg->n_repositories; i++)
		if (cfg->repositories[i].state != CONFIG_REPOSITORY_LOST)
			s->lanes[s->n_lanes++].c = &cfg->repositories[i];
	if (rc < 0) {
		shipper_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void
shipper_free(struct shipper *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n_lanes; i++)
		lane_join(&s->lanes[i]);
	free(s->lanes);
	ready_close(s->ready);
	queue_clear(&s->queue);
	writer_free(s->writer);
	free(s);
}
