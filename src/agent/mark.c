#include "agent/mark.h"

static bool
is_ahead(const struct mark *m, uint64_t sysid, timeline_t timeline, lsn_t end)
{
	if (m->sysid != sysid) /* the server was upgraded, and its timelines begin anew */
		return true;
	return timeline != m->timeline ? timeline > m->timeline : end > m->end;
}

static void
take(struct mark *m, const struct queue_entry *e)
{
	uint32_t size = (uint32_t)e->file.size;
	lsn_t end = wal_segment_start(wal_name_segno(&e->name, size) + 1, size);

	if (e->sysid == 0 || !is_ahead(m, e->sysid, e->name.timeline, end))
		return;
	m->sysid = e->sysid;
	m->timeline = e->name.timeline;
	m->end = end;
	m->holders = e->holders;
	m->moved = true;
}

static bool
lies_before(const struct wal_name *a, const struct wal_name *b)
{
	return a->log != b->log ? a->log < b->log : a->seg < b->seg;
}

/*
 * Where a timeline forked is in its history, which is not read here: at the latest in its first segment that is known. What
 * stands before that on an older timeline lies on its path, as far as can be seen; what stands behind it does not.
 */
void
mark_look(struct mark *m, const struct queue *q)
{
	const struct queue_entry *newest = NULL;
	const struct wal_name *hole = NULL; /* the lowest that is not durable, of all timelines so far */
	timeline_t timeline = 0;
	bool stuck = false; /* the timeline, or its path, has an older one that is not durable */

	for (size_t i = 0; i < q->n; i++) {
		const struct queue_entry *e = q->list[i];

		if (e->name.kind != WAL_NAME_SEGMENT)
			continue;
		if (e->name.timeline != timeline) {
			timeline = e->name.timeline;
			stuck = hole != NULL && lies_before(hole, &e->name);
		}
		if (e->state != QUEUE_DURABLE) {
			stuck = true;
			if (hole == NULL || lies_before(&e->name, hole))
				hole = &e->name;
		} else if (!stuck && e->holders != 0) {
			newest = e;
		}
	}
	if (newest != NULL)
		take(m, newest);
}

bool
mark_is_due(const struct mark *m, int64_t now_ms)
{
	return m->moved && !m->busy && m->due_ms <= now_ms;
}

int64_t
mark_wakes_ms(const struct mark *m)
{
	return m->moved && !m->busy ? m->due_ms : INT64_MAX;
}
