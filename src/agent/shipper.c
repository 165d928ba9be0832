#include "agent/shipper.h"

#include <errno.h>

#include "base/clock.h"
#include "base/str.h"

#define RETRY_MS 5000
#define FORGET_MS 60000 /* an answer that nobody came for */

char *
shipper_path(const struct shipper *s, const char *name)
{
	return str_printf("%s/pg_wal/%s", s->op.cluster->pgdata, name);
}

int
shipper_identity(const char *path, struct file_identity *out, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, errno == ENOENT ? ERR_RETRY : ERR_IO, errno, "stat '%s'", path);
	file_identity_of(out, &st);
	return 0;
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
		l->rows |= !l->started;
		l->behind |= !l->started && s->n_lanes > 1; /* what a former agent missed is not known */
		if (!l->started && lane_start(l, err) < 0)
			return err->kind;
	}
	for (size_t i = 0; i < s->n_lanes && !s->once; i++) {
		struct keeper *k = &s->keepers[i];

		k->lane = &s->lanes[i];
		k->writer = s->writer;
		k->lanes = s->lanes;
		k->n_lanes = s->n_lanes;
		if (!k->started && keeper_start(k, err) < 0)
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
	int64_t file = queue_wakes_ms(&s->queue), mark = mark_wakes_ms(&s->mark);

	if (s->writer == NULL)
		return INT64_MAX;
	return file < mark ? file : mark;
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
	s->keepers = calloc(cfg->n_repositories, sizeof(*s->keepers));
	rc = s->lanes != NULL && s->keepers != NULL ? queue_init(&s->queue, err)
						    : err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
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
	for (size_t i = 0; i < s->n_lanes && s->keepers != NULL; i++)
		keeper_join(&s->keepers[i]); /* before the lanes, which they borrow from */
	for (size_t i = 0; i < s->n_lanes; i++)
		lane_join(&s->lanes[i]);
	free(s->keepers);
	free(s->lanes);
	ready_close(s->ready);
	queue_clear(&s->queue);
	writer_free(s->writer);
	free(s);
}
