/* What a client hears about its file, and what everybody hears about the cluster. */
#include "agent/shipper.h"

#include "base/clock.h"
#include "base/str.h"

/* Is the client's file the one that the server has in its pg_wal? */
static bool
is_own_file(const struct shipper *s, const struct agent_request *r)
{
	FREE_AUTO char *path = shipper_path(s, r->name);
	struct file_identity own;

	return path != NULL && shipper_identity(path, &own, NULL) == 0 && file_identity_same(&own, &r->file);
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
	const struct lane_lag lag = lane_lag(l);
	char since[32];
	bool up = lane_is_up(l);
	json_t *o;

	clock_format_utc(since, sizeof(since), l->since_us);
	o = json_pack("{ss ss ss sI sI sb sI sI sI}", "name", l->c->name, "state", up ? "up" : "down", "since", since, "stored",
	    (json_int_t)l->stored, "missed", (json_int_t)l->missed, "behind", l->behind, "lag_segments",
	    (json_int_t)lag.segments, "lag_bytes", (json_int_t)lag.bytes, "lag_seconds",
	    (json_int_t)(lag.oldest_us != 0 ? (clock_now_us() - lag.oldest_us) / 1000000 : 0));
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
