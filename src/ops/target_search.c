/*
 * The record that ends recovery. What is complete in a segment is told by its summary, and of a row by its index; what lies
 * over an edge, and restore points, by the sealed parts of the segments that the row names; only where the record is, or where
 * those do not say, are bytes of WAL read.
 */
#include "ops/target.h"
#include "pg/wal_page.h"

/* The search through records: records before start are there and are not replayed. */
struct search {
	const struct target *target;
	const struct wal_chain *chain;
	lsn_t start;
	struct target_found *out;
	/* one behind the last segment whose edges and restore points search_segment told, and whose records */
	size_t peeked, scanned;
};

static bool
is_commit(const struct wal_record_info *r)
{
	return r->kind == WAL_RECORD_COMMIT || r->kind == WAL_RECORD_COMMIT_PREPARED;
}

static bool
is_transaction_end(const struct wal_record_info *r)
{
	return is_commit(r) || r->kind == WAL_RECORD_ABORT || r->kind == WAL_RECORD_ABORT_PREPARED;
}

/* Is the moment beyond the target? Of the last moment the inclusive target keeps the commit, the exclusive one does not. */
static bool
is_beyond(const struct target *t, int64_t time_us)
{
	return t->exclusive ? time_us >= t->time_us : time_us > t->time_us;
}

static bool
matches(const struct target *t, const struct wal_record_info *r)
{
	switch (t->kind) {
	case TARGET_TIME: /* commit times go backwards: the first record beyond ends it, not the first in order of time */
		return is_transaction_end(r) && r->has_time && is_beyond(t, r->time_us);
	case TARGET_XID:
		return is_transaction_end(r) && r->xid == t->xid;
	case TARGET_NAME:
		return r->kind == WAL_RECORD_RESTORE_POINT && strcmp(r->name, t->name) == 0;
	default:
		return false;
	}
}

/* Behind the stop: what recovery leaves out although it was meant, or might have been. */
static void
look_behind(struct search *s, const struct wal_record_info *r)
{
	struct target_found *f = s->out;

	if (s->target->kind == TARGET_TIME && !f->commits_behind && is_commit(r) && r->has_time &&
	    !is_beyond(s->target, r->time_us)) {
		f->commits_behind = true;
		f->behind_link = wal_chain_place(s->chain, r->lsn);
	}
	if (s->target->kind == TARGET_NAME && f->again == 0 && r->lsn > f->record.lsn && matches(s->target, r))
		f->again = r->lsn;
}

static int
look(const struct wal_record_info *r, void *arg, struct err *err)
{
	struct search *s = arg;
	struct target_found *f = s->out;

	(void)err;
	if (r->lsn < s->start)
		return 0;
	if (f->done) {
		look_behind(s, r);
		return 0;
	}
	if (is_transaction_end(r) && r->has_time && r->time_us > f->newest_us)
		f->newest_us = r->time_us;
	if (!matches(s->target, r)) {
		f->commits_first |= is_commit(r);
		return 0;
	}
	f->record = *r;
	f->link = wal_chain_place(s->chain, r->lsn);
	f->done = true;
	return 0;
}

/* Do the bytes of this link have to be read for what is complete in them, by what its summary says? Names need none. */
static bool
needs_frames(const struct search *s, const struct wal_link *l)
{
	const struct target *t = s->target;

	if (!l->verified)
		return true;
	switch (t->kind) {
	case TARGET_TIME:
		/* the first segment's summary also counts what lies before start: there the records have to say */
		return l->commits > 0 &&
		       (is_beyond(t, l->max_time_us) ||
			   s->start > wal_segment_start(l->segno, s->chain->set->segment_size) + WAL_PAGE_LONG);
	case TARGET_XID:
		return l->may_hold_any_xid || (l->commits > 0 && t->xid >= l->min_xid && t->xid <= l->max_xid);
	default:
		return false;
	}
}

/* Nothing complete of interest is in this link, or these links of a row. */
static void
pass_over(struct target_found *f, const struct wal_link *l)
{
	f->commits_first |= l->commits > 0;
	if (l->commits > 0 && l->max_time_us > f->newest_us)
		f->newest_us = l->max_time_us;
}

/*
 * The segments that tell the records over the edges of segment i: a record that runs on is told when the segment that ends it
 * is read too, so they begin where the record that ends in segment i may have begun, and cover the one behind a segment that
 * spills.
 */
struct range {
	size_t from, to;
};

static int
range_of(const struct wal_chain *c, size_t i, struct range *out, struct err *err)
{
	bool spills = false;
	int rc = 0;

	*out = (struct range){i, i};
	while (rc == 0 && out->from > 0 && (rc = wal_chain_spills(c, out->from - 1, &spills, err)) == 0 && spills)
		out->from--;
	while (rc == 0 && out->to + 1 < c->n && (rc = wal_chain_spills(c, out->to, &spills, err)) == 0 && spills)
		out->to++;
	return rc;
}

/* Edges and restore points by what stands sealed beside the frames. *settled: that was all, and the target is not among them.
 */
static int
peek(struct search *s, const struct range *r, struct keyring *ring, bool *settled, struct err *err)
{
	struct target_found seen = *s->out;
	struct search p = {.target = s->target, .chain = s->chain, .start = s->start, .out = &seen};
	int rc = wal_chain_peek(s->chain, r->from, r->to, ring, look, &p, settled, err);

	*settled = rc == 0 && *settled && seen.done == s->out->done;
	if (*settled)
		*s->out = seen;
	return rc;
}

/* Segment i with its edges. Where many in a row spill, one look tells them all. */
static int
search_segment(struct search *s, size_t i, const struct wal_link *l, struct keyring *ring, struct err *err)
{
	bool frames = needs_frames(s, l), settled = false;
	struct range r;
	int rc;

	if (i < s->scanned || (!frames && i < s->peeked))
		return 0;
	rc = range_of(s->chain, i, &r, err);
	if (rc == 0 && !frames)
		rc = peek(s, &r, ring, &settled, err);
	if (rc < 0)
		return rc;
	s->peeked = r.to + 1;
	if (settled)
		return 0;
	s->scanned = r.to + 1;
	return wal_chain_scan(s->chain, r.from, r.to, ring, look, s, err);
}

static int
search_segments(struct search *s, size_t from, size_t end, struct keyring *ring, struct err *err)
{
	for (size_t i = from; i < end && !s->out->done; i++) {
		bool named = s->target->kind == TARGET_NAME;
		const struct wal_link *l;
		int rc = wal_chain_segment(s->chain, i, &l, err);

		if (rc == 0 && (needs_frames(s, l) || l->spills || (named && l->points > 0)))
			rc = search_segment(s, i, l, ring, err);
		if (rc < 0)
			return rc;
		if (!s->out->done && !needs_frames(s, l))
			pass_over(s->out, l);
	}
	return 0;
}

/* Are these segments of the row, which its index names, without the target? */
static int
settle(struct search *s, const struct wal_link *row, const struct wal_index_places *places, struct keyring *ring, bool *settled,
    struct err *err)
{
	size_t told = 0; /* one behind the last segment of the range before */

	for (size_t k = 0; k < places->n && *settled; k++) {
		size_t i = (size_t)(row->segno - s->chain->first) + places->list[k];
		struct range r;
		int rc;

		if (i < told)
			continue;
		rc = range_of(s->chain, i, &r, err);
		if (rc == 0)
			rc = peek(s, &r, ring, settled, err);
		if (rc < 0)
			return rc;
		told = r.to + 1;
	}
	return 0;
}

/* A whole row without looking at every segment of it; else *passed is false and nothing is known. */
static int
pass_row(struct search *s, const struct wal_link *row, struct keyring *ring, bool *passed, struct err *err)
{
	const struct target_found before = *s->out;
	int rc;

	*passed = !needs_frames(s, row) && !row->head_is_long;
	if (!*passed)
		return 0;
	rc = settle(s, row, &row->spills_at, ring, passed, err);
	if (rc == 0 && *passed && s->target->kind == TARGET_NAME)
		rc = settle(s, row, &row->points_at, ring, passed, err);
	if (*passed)
		pass_over(s->out, row);
	else
		*s->out = before;
	return rc;
}

/* Behind the record that was found: what tells of commits that are left out, or of the same name again. */
static bool
is_behind(const struct search *s, const struct wal_link *l)
{
	if (s->target->kind == TARGET_TIME)
		return l->commits > 0 && !is_beyond(s->target, l->min_time_us);
	return s->target->kind == TARGET_NAME && l->points > 0;
}

/* Segment i of this row holds such a thing. */
static int
look_at_behind(struct search *s, size_t i, const struct wal_link *l, struct keyring *ring, struct err *err)
{
	if (s->target->kind == TARGET_NAME)
		return search_segment(s, i, l, ring, err);
	s->out->commits_behind = true;
	s->out->behind_link = i;
	return 0;
}

/* The next segment at or behind i that may; the row's end when there is none. A row names those with restore points. */
static int
next_behind(const struct search *s, const struct wal_link *row, size_t i, size_t end, size_t *out, struct err *err)
{
	if (row->n > 1 && s->target->kind == TARGET_NAME) {
		size_t first = (size_t)(row->segno - s->chain->first), k = 0;

		while (k < row->points_at.n && first + row->points_at.list[k] < i)
			k++;
		*out = k < row->points_at.n ? first + row->points_at.list[k] : end;
		return 0;
	}
	for (*out = i; *out < end; ++*out) {
		const struct wal_link *l;
		int rc = wal_chain_segment(s->chain, *out, &l, err);

		if (rc < 0 || is_behind(s, l))
			return rc;
	}
	return 0;
}

static size_t
end_of(const struct wal_chain *c, const struct wal_link *l)
{
	return (size_t)(l->segno + l->n - c->first);
}

/* In the segments behind what was read. */
static int
search_behind(struct search *s, struct keyring *ring, struct err *err)
{
	const struct wal_chain *c = s->chain;
	struct target_found *f = s->out;
	int rc = 0;

	for (size_t i = s->scanned; rc == 0 && i < c->n && !f->commits_behind && f->again == 0;) {
		const struct wal_link *l = wal_chain_link(c, i);
		size_t end = end_of(c, l), at = end;

		if (is_behind(s, l))
			rc = next_behind(s, l, i, end, &at, err);
		if (rc == 0 && at < end)
			rc = look_at_behind(s, at, l, ring, err);
		i = at < end ? at + 1 : end;
	}
	return rc;
}

static int
search_records(struct search *s, struct keyring *ring, struct err *err)
{
	const struct wal_chain *c = s->chain;

	for (size_t i = 0, end; i < c->n && !s->out->done; i = end) {
		const struct wal_link *l = wal_chain_link(c, i);
		bool passed = false;
		int rc = 0;

		end = end_of(c, l);
		if (l->n > 1)
			rc = pass_row(s, l, ring, &passed, err);
		if (rc == 0 && !passed)
			rc = search_segments(s, i, end, ring, err);
		if (rc < 0)
			return rc;
	}
	return s->out->done ? search_behind(s, ring, err) : 0;
}

int
target_search(const struct target *t, const struct wal_chain *c, lsn_t start, struct keyring *ring, struct target_found *out,
    struct err *err)
{
	struct search s = {.target = t, .chain = c, .start = start, .out = out};
	int rc;

	*out = (struct target_found){.newest_us = INT64_MIN};
	if (t->kind != TARGET_LSN)
		return search_records(&s, ring, err);
	rc = wal_chain_record_from(c, t->lsn > start ? t->lsn : start, ring, &out->record, err);
	if (rc == ERR_NOT_FOUND)
		return 0;
	out->done = rc == 0;
	out->link = rc == 0 ? wal_chain_place(c, out->record.lsn) : 0;
	return rc;
}
