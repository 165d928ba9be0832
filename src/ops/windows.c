#include "ops/windows.h"

#include <inttypes.h>

void
windows_free(struct windows *w)
{
	free(w->list);
	free(w->gaps);
	*w = (struct windows){0};
}

/* Room for one more element. */
static int
room(void **list, size_t n, size_t size, struct err *err)
{
	void *more = realloc(*list, (n + 1) * size);

	if (more == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for windows and gaps");
	*list = more;
	return 0;
}

/* The same hole is met once on every path that leads through it. */
static bool
known_gap(const struct windows *w, const char *first)
{
	for (size_t i = 0; i < w->n_gaps; i++)
		if (strcmp(w->gaps[i].first, first) == 0)
			return true;
	return false;
}

static int
add_gap(struct windows *w, const struct wal_set *set, timeline_t timeline, uint64_t first, uint64_t missing, const char *what,
    struct err *err)
{
	const struct gap_record *record = missing == 1 ? wal_set_gap(set, timeline, first) : NULL;
	struct wal_gap g = {.sysid = set->sysid, .timeline = timeline, .missing = missing, .recorded = record != NULL};

	wal_segment_name(g.first, timeline, first, set->segment_size);
	wal_segment_name(g.last, timeline, missing > 0 ? first + missing - 1 : first, set->segment_size);
	if (known_gap(w, g.first))
		return 0;
	if (record != NULL) {
		char why[DECISION_TEXT];

		g.decision = record->decision;
		decision_describe(&g.decision, why);
		(void)snprintf(g.what, sizeof(g.what), "given up %s", why);
	} else if (what != NULL)
		(void)snprintf(g.what, sizeof(g.what), "%s", what);
	else
		(void)snprintf(g.what, sizeof(g.what), "%" PRIu64 " segment%s missing, %s%s%s", missing,
		    missing == 1 ? " is" : "s are", g.first, missing == 1 ? "" : " to ", missing == 1 ? "" : g.last);
	if (room((void **)&w->gaps, w->n_gaps, sizeof(*w->gaps), err) < 0)
		return ERR_NOMEM;
	w->gaps[w->n_gaps++] = g;
	return 0;
}

/* Segments that are not there; those that were given up are told one by one. */
static int
add_missing(struct windows *w, const struct wal_set *set, timeline_t timeline, uint64_t first, uint64_t n, struct err *err)
{
	uint64_t from = first;
	int rc = 0;

	for (uint64_t at = first; rc == 0 && set->gaps.n > 0 && at < first + n; at++) {
		if (wal_set_gap(set, timeline, at) == NULL)
			continue;
		if (at > from)
			rc = add_gap(w, set, timeline, from, at - from, NULL, err);
		if (rc == 0)
			rc = add_gap(w, set, timeline, at, 1, NULL, err);
		from = at + 1;
	}
	if (rc == 0 && from < first + n)
		rc = add_gap(w, set, timeline, from, first + n - from, NULL, err);
	return rc;
}

/* Those at the end of a timeline: nothing behind them shows that they are missing. */
static int
recorded_gaps(struct windows *w, const struct wal_set *set, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < set->gaps.n; i++) {
		const struct wal_name *name = &set->gaps.list[i].name;
		uint64_t segno = wal_name_segno(name, set->segment_size);

		if (wal_set_gap(set, name->timeline, segno) == &set->gaps.list[i])
			rc = add_gap(w, set, name->timeline, segno, 1, NULL, err);
	}
	return rc;
}

/*
 * Where a timeline begins, its first segment holds the fork. Is what leads up to it there? Where the older timeline has nothing
 * at all, it was expired or never archived here, and nothing is known to be missing.
 */
static int
fork_gaps(struct windows *w, const struct wal_set *set, const struct wal_set_timeline *t, struct err *err)
{
	const struct timeline_entry *parent = t->history.n > 0 ? &t->history.entries[t->history.n - 1] : NULL;
	const struct wal_set_timeline *p = parent != NULL ? wal_set_timeline(set, parent->tli) : NULL;
	uint64_t fork, last;

	if (p == NULL || p->spans.n == 0 || t->spans.n == 0)
		return 0;
	fork = parent->switch_lsn / set->segment_size;
	last = wal_span_last(&p->spans.list[p->spans.n - 1]);
	if (p->spans.list[0].first > fork)
		return 0;
	if (last + 1 < fork && add_missing(w, set, parent->tli, last + 1, fork - last - 1, err) < 0)
		return ERR_NOMEM;
	if (t->spans.list[0].first > fork)
		return add_missing(w, set, t->timeline, fork, t->spans.list[0].first - fork, err);
	return 0;
}

int
windows_gaps(struct windows *w, const struct wal_set *set, struct err *err)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct wal_set_timeline *t = &set->timelines[i];
		int rc = fork_gaps(w, set, t, err);

		for (size_t k = 1; rc == 0 && k < t->spans.n; k++) {
			uint64_t next = wal_span_last(&t->spans.list[k - 1]) + 1, first = t->spans.list[k].first;

			if (first > next)
				rc = add_missing(w, set, t->timeline, next, first - next, err);
		}
		if (rc < 0)
			return rc;
	}
	return recorded_gaps(w, set, err);
}

/* The latest commit from a segment on, where it is later than *newest. */
static int
find_newest(const struct wal_chain *c, uint64_t from, int64_t *newest, struct err *err)
{
	for (uint64_t segno = from > c->first ? from : c->first; segno < c->first + c->n;) {
		const struct wal_link *l = wal_chain_link(c, (size_t)(segno - c->first));
		int rc = 0;

		if (l->segno != segno) /* a row that begins before it */
			rc = wal_chain_segment(c, (size_t)(segno - c->first), &l, err);
		if (rc < 0)
			return rc;
		if (l->commits > 0 && l->max_time_us > *newest)
			*newest = l->max_time_us;
		segno += l->n;
	}
	return 0;
}

static int
add_window(struct windows *w, const struct wal_chain *c, const struct backup_entry *b, struct err *err)
{
	struct window one = {
	    .sysid = c->set->sysid,
	    .timeline = c->path->timeline,
	    .from_lsn = b->head.stop_lsn,
	    .to_lsn = wal_chain_end(c),
	};
	int rc;

	(void)snprintf(one.backup, sizeof(one.backup), "%s", b->label);
	one.from_time_us = one.to_time_us = b->head.stop_time_us;
	rc = find_newest(c, one.from_lsn / c->set->segment_size, &one.to_time_us, err);
	if (rc < 0)
		return rc;
	if (room((void **)&w->list, w->n, sizeof(*w->list), err) < 0)
		return ERR_NOMEM;
	w->list[w->n++] = one;
	return 0;
}

static bool
on_path(const struct timeline_history *path, const struct backup_entry *b)
{
	lsn_t end;

	return timeline_switch_end(path, b->head.stop_timeline, &end) && b->head.stop_lsn <= end;
}

/* A chain that does not simply end: damage is a gap, a store that fails is an error. */
static int
take_break(struct windows *w, const struct wal_chain *c, struct err *err)
{
	int kind = c->broken.kind;

	if (kind == ERR_IO || kind == ERR_RETRY || kind == ERR_NOMEM || kind == ERR_BUG) {
		*err = c->broken;
		return kind;
	}
	if (kind == 0 || c->gap != NULL) /* recorded_gaps has told it */
		return 0;
	/* on which timeline the segment lies stands in the message; its number is what the next link would have had */
	return add_gap(w, c->set, wal_chain_link(c, c->n - 1)->timeline, c->first + c->n, 0, c->broken.msg, err);
}

/* Each once: what lies on an older timeline is counted along its own path, what an earlier chain had lies before from. */
static void
count_unverified(struct windows *w, const struct wal_chain *c, uint64_t *from)
{
	for (size_t i = 0; i < c->n_links; i++) {
		const struct wal_link *l = &c->links[i];
		uint64_t end = l->segno + l->n, first = l->segno < *from ? *from : l->segno;

		if (l->verified || l->timeline != c->path->timeline || end <= first)
			continue;
		w->unverified += end - first;
		w->unverified_sysid = c->set->sysid;
		wal_chain_name(c, (size_t)(end - 1 - c->first), w->last_unverified);
		*from = end;
	}
}

/* Backups come in the order of their stops; one that lies inside of the last chain adds no window. */
static int
along_path(struct windows *w, struct repository *r, const struct wal_set *set, const struct timeline_history *path,
    const struct backup_set *backups, bool *usable, struct err *err)
{
	lsn_t from = 0, to = 0;
	uint64_t uncounted = 0; /* segment */

	for (size_t i = 0; i < backups->n; i++) {
		const struct backup_entry *b = &backups->list[i];
		WAL_CHAIN_AUTO struct wal_chain *c = NULL;
		struct err why = {0};
		int rc;

		if (b->damaged || b->head.sysid != set->sysid || !on_path(path, b))
			continue;
		if (to != 0 && b->head.start_lsn >= from && b->head.stop_lsn <= to) {
			usable[i] = true;
			continue;
		}
		rc = wal_chain_build(&c, &r, 1, set, path, &(struct wal_chain_options){.start = b->head.start_lsn}, &why);
		if (rc == ERR_IO || rc == ERR_RETRY || rc == ERR_NOMEM || rc == ERR_BUG) {
			*err = why;
			return rc;
		}
		if (rc < 0) {
			rc = add_gap(w, set, timeline_of_lsn(path, b->head.start_lsn), b->head.start_lsn / set->segment_size,
			    rc == ERR_NOT_FOUND, rc == ERR_NOT_FOUND ? NULL : why.msg, err);
			if (rc < 0)
				return rc;
			continue;
		}
		count_unverified(w, c, &uncounted);
		rc = take_break(w, c, err);
		if (rc == 0 && wal_chain_end(c) >= b->head.stop_lsn) {
			usable[i] = true;
			from = wal_segment_start(c->first, set->segment_size);
			to = wal_chain_end(c);
			if (wal_chain_link(c, c->n - 1)->timeline == path->timeline)
				rc = add_window(w, c, b, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
windows_find(struct windows *w, struct repository *r, const struct wal_set *set, const struct backup_set *backups, bool *usable,
    struct err *err)
{
	int rc = windows_gaps(w, set, err);

	for (size_t i = 0; rc == 0 && i < set->n; i++)
		rc = along_path(w, r, set, &set->timelines[i].history, backups, usable, err);
	return rc;
}
