/* What a ship thread does for a cluster: one file at a time, and a high-water record each minute. */
#include <errno.h>
#include <unistd.h>

#include "agent/shipper.h"
#include "base/clock.h"
#include "base/str.h"
#include "ops/archive.h"
#include "ops/stop.h"
#include "repo/high_water.h"
#include "repo/wal_index.h"

#define MARK_MS 60000
#define LANES_MS 2000
#define HOLDERS_MAX 64 /* bits; a record names half as many */

/* One file under way. */
struct shipment {
	char text[WAL_NAME_MAX];
	struct wal_name name;
	uint64_t sysid, holders; /* see struct queue_entry */
	bool history;            /* of its timeline goes first: some repository is not known to have it */
	struct fanout *fanout;
};

/* A view of the lanes for one file. With the lock. */
static int
board(struct shipper *s, struct shipment *m, struct err *err)
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
		else if (m->name.kind != WAL_NAME_HISTORY && m->name.timeline > 1 && l->timeline != m->name.timeline)
			m->history = true;
	}
	m->fanout = f;
	return 0;
}

/* The end of the view. With the lock. */
static void
unboard(struct shipper *s, struct shipment *m)
{
	for (size_t i = 0; i < s->n_lanes; i++) {
		struct fanout_target *t = &m->fanout->targets[i];

		if (t->repo == NULL)
			continue;
		if (t->failed)
			lane_failed(&s->lanes[i], &t->err);
		lane_give_back(&s->lanes[i]);
		t->repo = NULL; /* the lane's */
	}
	fanout_free(STEAL(m->fanout));
}

/* Is this the last segment of a row that one index is over, or the end of a timeline's rows? */
static bool
closes_row(const struct wal_name *name, uint64_t size)
{
	if (name->kind != WAL_NAME_SEGMENT)
		return name->kind == WAL_NAME_HISTORY;
	return wal_name_segno(name, (uint32_t)size) % WAL_INDEX_SEGMENTS == WAL_INDEX_SEGMENTS - 1;
}

/* What became of a file, lane by lane. With the lock. */
static void
land(struct shipper *s, struct shipment *m, bool durable, uint64_t bytes)
{
	for (size_t i = 0; i < s->n_lanes; i++) {
		struct lane *l = &s->lanes[i];

		if (m->fanout->targets[i].done) {
			if (lane_is_up(l))
				l->timeline = m->name.timeline;
			if (i < HOLDERS_MAX)
				m->holders |= UINT64_C(1) << i;
			lane_stored(l);
			l->rows |= closes_row(&m->name, bytes);
		} else if (durable) {
			lane_missed(l, bytes);
		}
	}
	unboard(s, m);
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

/*
 * Nothing of a timeline goes where its history is not: a repository that was away may have missed it. The server keeps its
 * history files, so it is brought from there first, once after each opening of a repository; where the server has none, there
 * is none to be had.
 */
static int
ship_history(const struct shipper *s, const struct wal_name *segment, const struct archive_means *means, struct err *err)
{
	const struct wal_name name = {.kind = WAL_NAME_HISTORY, .timeline = segment->timeline};
	char text[WAL_NAME_MAX];
	FREE_AUTO char *path = NULL;
	int rc;

	wal_name_format(text, &name);
	path = shipper_path(s, text);
	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (access(path, R_OK) < 0)
		return 0;
	rc = archive_to(&s->op, means, path, text, NULL, err);
	for (size_t i = 0; i < means->fanout->n; i++) {
		struct fanout_target *t = &means->fanout->targets[i];

		if (t->done)
			rc = rc == ERR_CONFLICT ? rc : 0; /* whether that is enough is asked for the segment */
		t->done = t->existed = false;
	}
	return rc;
}

/* Without the lock. The file must be the same before and behind it. */
static int
ship_file(const struct shipper *s, struct shipment *m, struct object_slots *slots, struct file_identity *file, struct err *err)
{
	const struct archive_means means = {.writer = s->writer, .fanout = m->fanout, .slots = slots};
	FREE_AUTO char *path = shipper_path(s, m->text);
	struct archive_result done = {0};
	struct file_identity after;
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = stop_check(&s->op, NULL, err);
	if (rc == 0)
		rc = shipper_identity(path, file, err);
	if (rc == 0)
		rc = op_same_cluster(&s->op, m->fanout, err);
	if (rc == 0 && m->history)
		rc = ship_history(s, &m->name, &means, err);
	if (rc == 0)
		rc = archive_to(&s->op, &means, path, m->text, &done, err);
	if (rc == 0)
		rc = shipper_identity(path, &after, err);
	if (rc == 0 && !file_identity_same(file, &after))
		rc = err_set(err, ERR_RETRY, 0, "'%s' was changed while it was shipped", path);
	m->sysid = done.sysid;
	return rc;
}

/* With the lock. */
static void
settle(struct shipper *s, struct queue_entry *e, const struct shipment *m, int rc, const struct err *err)
{
	int64_t now = clock_monotonic_ms();

	e->settled_ms = now;
	free(STEAL(e->err));
	if (rc == 0) {
		e->attempts++;
		e->state = QUEUE_DURABLE;
		e->sysid = m->sysid;
		e->holders = m->holders;
		if (!s->rescan && !s->once) /* else older ones may be there that are not known */
			mark_look(&s->mark, &s->queue);
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

/* ---- how far it has come ---- */

/* Without the lock. */
static int
write_record(const struct shipper *s, const struct mark *mark, struct fanout *f, struct err *err)
{
	struct high_water h;
	FREE_AUTO bool *holds = calloc(f->n + 1, sizeof(bool));
	int rc = holds != NULL ? stop_check(&s->op, NULL, err) : err_set(err, ERR_NOMEM, 0, "out of memory for repositories");

	if (rc == 0)
		rc = op_same_cluster(&s->op, f, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < f->n && i < HOLDERS_MAX; i++)
		holds[i] = (mark->holders >> i & 1) != 0;
	high_water_make(&h, mark->sysid, mark->timeline, mark->end, f, holds);
	return high_water_write(s->writer, f, &h, err);
}

/* With the lock, which is free meanwhile: a moment of a ship thread each minute. */
static void
mark_high_water(struct shipper *s)
{
	const struct mark mark = s->mark;
	struct shipment m = {.name = {.kind = WAL_NAME_HISTORY}}; /* no history is asked for */
	struct err err = {0};
	int rc;

	s->mark.busy = true;
	s->mark.moved = false;
	rc = board(s, &m, &err);
	if (rc == 0) {
		shared_unlock(s->shared);
		rc = write_record(s, &mark, m.fanout, &err);
		shared_lock(s->shared);
		unboard(s, &m);
	}
	if (rc < 0) {
		s->mark.moved = true;
		err_wrap(&err, "no high-water record of cluster '%s'", s->op.cluster->name);
		log_err(s->op.log, LOG_WARN, &err);
	}
	s->mark.busy = false;
	s->mark.due_ms = clock_monotonic_ms() + MARK_MS;
}

bool
shipper_work(struct shipper *s, struct object_slots *slots)
{
	struct queue_entry *e;
	struct shipment m = {0};
	struct err err = {0};
	int rc;

	if (mark_is_due(&s->mark, clock_monotonic_ms())) {
		mark_high_water(s);
		return true;
	}
	e = is_under_way(s) ? queue_next(&s->queue, clock_monotonic_ms(), may_suffice(s)) : NULL;
	if (e == NULL)
		return false;
	e->state = QUEUE_SHIPPING;
	memcpy(m.text, e->text, sizeof(m.text));
	m.name = e->name;
	if (e->asked && !may_suffice(s))
		hurry_lanes(s);
	rc = board(s, &m, &err);
	if (rc == 0) {
		shared_unlock(s->shared);
		rc = ship_file(s, &m, slots, &e->file, &err);
		shared_lock(s->shared);
		land(s, &m, rc == 0, e->file.size);
	}
	settle(s, e, &m, rc, &err);
	e->lacking = rc < 0 && !may_suffice(s);
	if (!e->listed && !e->asked)
		queue_remove(&s->queue, e);
	shared_ring(s->shared);
	return true;
}
