#include "agent/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

int
queue_init(struct queue *q, struct err *err)
{
	*q = (struct queue){.list = calloc(QUEUE_MAX, sizeof(*q->list))};
	return q->list != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for the queue");
}

static void
entry_free(struct queue_entry *e)
{
	free(e->err);
	free(e);
}

void
queue_clear(struct queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		entry_free(q->list[i]);
	free(q->list);
	*q = (struct queue){0};
}

static int
compare(const struct queue_entry *e, const struct wal_name *name, const char *text)
{
	bool mine = e->name.kind == WAL_NAME_HISTORY, theirs = name->kind == WAL_NAME_HISTORY;

	if (mine != theirs)
		return mine ? -1 : 1;
	return strcmp(e->text, text);
}

/* The first place whose entry does not come before the name. */
static size_t
place_of(const struct queue *q, const struct wal_name *name, const char *text)
{
	size_t lo = 0, hi = q->n;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;

		if (compare(q->list[middle], name, text) < 0)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo;
}

static bool
is_at(const struct queue *q, size_t at, const char *text)
{
	return at < q->n && strcmp(q->list[at]->text, text) == 0;
}

struct queue_entry *
queue_find(const struct queue *q, const char *text)
{
	struct wal_name name;
	size_t at;

	if (!wal_name_parse(text, &name))
		return NULL;
	at = place_of(q, &name, text);
	return is_at(q, at, text) ? q->list[at] : NULL;
}

/* Let the last one go that nobody works on or waits for, if it comes behind place at. */
static bool
make_room(struct queue *q, size_t at)
{
	for (size_t i = q->n; i > at; i--) {
		struct queue_entry *e = q->list[i - 1];

		if (e->state == QUEUE_SHIPPING || e->asked)
			continue;
		queue_remove(q, e);
		return true;
	}
	return false;
}

int
queue_add(struct queue *q, const char *text, struct queue_entry **out, struct err *err)
{
	struct queue_entry *e;
	struct wal_name name;
	size_t at;

	if (!wal_name_parse(text, &name))
		return err_set(err, ERR_CONFIG, 0, "'%.80s' is not the name of a WAL file", text);
	at = place_of(q, &name, text);
	if (is_at(q, at, text)) {
		*out = q->list[at];
		return 0;
	}
	if (name.kind != WAL_NAME_HISTORY && strcmp(text, q->passed) <= 0)
		return err_set(err, ERR_EXISTS, 0, "'%s' was shipped and passed", text);
	if (q->n == QUEUE_MAX) {
		q->more = true;
		if (!make_room(q, at))
			return err_set(err, ERR_RETRY, 0, "the queue is full");
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the queue");
	wal_name_format(e->text, &name);
	e->name = name;
	memmove(&q->list[at + 1], &q->list[at], (q->n - at) * sizeof(q->list[0]));
	q->list[at] = e;
	q->n++;
	*out = e;
	return 0;
}

void
queue_remove(struct queue *q, struct queue_entry *e)
{
	size_t at = place_of(q, &e->name, e->text);

	memmove(&q->list[at], &q->list[at + 1], (q->n - at - 1) * sizeof(q->list[0]));
	q->n--;
	entry_free(e);
}

bool
queue_may_pass(const struct queue_entry *e)
{
	return e->state == QUEUE_DURABLE && e->name.kind != WAL_NAME_HISTORY && !e->asked;
}

void
queue_pass(struct queue *q)
{
	size_t end = 0, kept = 0;

	while (end < q->n && (q->list[end]->state == QUEUE_DURABLE || q->list[end]->state == QUEUE_FAILED))
		end++;
	for (size_t i = 0; i < end; i++) {
		struct queue_entry *e = q->list[i];

		if (e->name.kind != WAL_NAME_HISTORY)
			memcpy(q->passed, e->text, sizeof(q->passed));
		if (queue_may_pass(e))
			entry_free(e);
		else
			q->list[kept++] = e;
	}
	memmove(&q->list[kept], &q->list[end], (q->n - end) * sizeof(q->list[0]));
	q->n -= end - kept;
}

/* Is the history of this entry's timeline still to come? Histories stand first. */
static bool
is_held(const struct queue *q, const struct queue_entry *e)
{
	for (size_t i = 0; i < q->n && q->list[i]->name.kind == WAL_NAME_HISTORY && q->list[i] != e; i++)
		if (q->list[i]->name.timeline == e->name.timeline && q->list[i]->state != QUEUE_DURABLE)
			return true;
	return false;
}

static bool
is_due(const struct queue *q, const struct queue_entry *e, int64_t now_ms, bool enough)
{
	if (e->state == QUEUE_FAILED)
		return e->retry_ms <= now_ms && (enough || !e->lacking) && !is_held(q, e);
	return e->state == QUEUE_WAITING && !is_held(q, e);
}

struct queue_entry *
queue_next(const struct queue *q, int64_t now_ms, bool enough)
{
	struct queue_entry *first = NULL;

	for (size_t i = 0; i < q->n; i++) {
		struct queue_entry *e = q->list[i];

		if (!is_due(q, e, now_ms, enough))
			continue;
		if (e->asked)
			return e;
		if (first == NULL)
			first = e;
	}
	return first;
}

int64_t
queue_wakes_ms(const struct queue *q)
{
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < q->n; i++)
		/* what lacks a repository or is held by its history is told when that changes */
		if (q->list[i]->state == QUEUE_FAILED && !q->list[i]->lacking && q->list[i]->retry_ms < at &&
		    !is_held(q, q->list[i]))
			at = q->list[i]->retry_ms;
	return at;
}
