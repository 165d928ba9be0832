#include "repo/wal_chain.h"

#include "pg/wal_join.h"
#include "pg/wal_walker.h"
#include "repo/wal_object.h"

void
wal_chain_free(struct wal_chain *c)
{
	if (c == NULL)
		return;
	free(c->links);
	free(c);
}

/* Where a timeline of the path begins. */
static lsn_t
begin_of(const struct timeline_history *path, timeline_t timeline)
{
	timeline_t before = 0;
	lsn_t end = 0;

	for (size_t i = 0; i < path->n && path->entries[i].tli < timeline; i++)
		before = path->entries[i].tli;
	if (before == 0 || !timeline_switch_end(path, before, &end))
		return 0;
	return end;
}

/* The timeline whose file recovery would take for this segment; 0 when there is none. */
static timeline_t
choose(const struct wal_set *set, const struct timeline_history *path, uint64_t segno)
{
	lsn_t start = wal_segment_start(segno, set->segment_size);

	for (size_t i = path->n + 1; i-- > 0;) {
		timeline_t t = i == path->n ? path->timeline : path->entries[i].tli;
		lsn_t begin = begin_of(path, t);

		if (begin >= start + set->segment_size)
			continue;
		if (wal_set_mask(set, t, segno) != 0)
			return t;
		if (begin <= start) /* all of the segment is this timeline's: an older one's has no business here */
			return 0;
	}
	return 0;
}

static void
describe(struct wal_link *l, const struct wal_summary *s)
{
	l->last_record = s->last_record;
	l->end = s->end;
	l->commits = s->commit_count;
	l->points = s->point_count;
	l->min_time_us = s->min_time_us;
	l->max_time_us = s->max_time_us;
	l->min_xid = s->min_xid;
	l->max_xid = s->max_xid;
	l->may_hold_any_xid = s->xid_unknown;
	l->verified = s->verified;
	l->wal_level_minimal = s->wal_level_minimal;
	l->limits = s->limits;
	/* the kind of record stands in its header; where that is not whole, or is a transaction's or the log's own, look closer
	 */
	l->spills = s->tail.start != 0 && (s->tail.kept < WAL_RECORD_HEADER || s->tail.bytes[17] == WAL_RMGR_XACT ||
					      s->tail.bytes[17] == WAL_RMGR_XLOG);
}

/* Open the segment in the first repository, from *at on, whose index of it is whole; *at is the one behind it then. */
static int
open_link(const struct wal_chain *c, const struct wal_link *l, size_t *at, struct stored **out, struct err *err)
{
	char relative[OBJECT_NAME_MAX], text[WAL_NAME_MAX];
	struct wal_name name;
	int rc = ERR_NOT_FOUND;

	wal_segment_name(text, l->timeline, l->segno, c->set->segment_size);
	if (!wal_name_parse(text, &name) || layout_wal(relative, c->set->sysid, &name, err) < 0)
		return err_set(err, ERR_BUG, 0, "'%s' is no segment name", text);
	for (; rc < 0 && *at < c->n_repositories; ++*at)
		if ((l->mask & UINT32_C(1) << *at) != 0)
			rc = stored_open(out, c->repositories[*at], relative, OBJECT_WAL, err);
	return rc < 0 ? err_wrap(err, "segment %s", text) : 0;
}

/* Does anybody from here on have it? */
static bool
another_has(const struct wal_chain *c, const struct wal_link *l, size_t at)
{
	return at < c->n_repositories && l->mask >> at != 0;
}

static int
add_link(struct wal_chain *c, struct wal_join *join, struct wal_link *l, struct wal_summary *s, struct err *err)
{
	STORED_AUTO struct stored *object = NULL;
	size_t at = 0;
	int rc = open_link(c, l, &at, &object, err);

	if (rc == 0)
		rc = wal_object_decode(s, object->clear, NULL, err);
	if (rc == 0)
		rc = wal_join_next(join, s, err);
	if (rc < 0)
		return rc;
	memcpy(l->key_id, object->index->header.key_id, OBJECT_KEY_ID);
	describe(l, s);
	return 0;
}

static int
grow(struct wal_chain *c, struct err *err)
{
	struct wal_link *grown;

	if ((c->n & (c->n - 1)) != 0 || c->n == 1)
		return 0;
	grown = realloc(c->links, (c->n == 0 ? 2 : c->n * 2) * sizeof(*grown));
	if (grown == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a chain of WAL");
	c->links = grown;
	return 0;
}

/* A segment of the path that somebody gave up, by whichever timeline would have had it. */
static void
tell_gap(struct wal_chain *c, uint64_t segno)
{
	lsn_t start = wal_segment_start(segno, c->set->segment_size);

	for (size_t i = 0; i <= c->path->n && c->gap == NULL; i++) {
		timeline_t t = i == c->path->n ? c->path->timeline : c->path->entries[i].tli;
		lsn_t end;

		if (begin_of(c->path, t) < start + c->set->segment_size && timeline_switch_end(c->path, t, &end) && end > start)
			c->gap = wal_set_gap(c->set, t, segno);
	}
	if (c->gap != NULL) {
		char text[WAL_NAME_MAX], why[DECISION_TEXT];

		wal_name_format(text, &c->gap->name);
		decision_describe(&c->gap->decision, why);
		(void)err_set(&c->broken, ERR_NOT_FOUND, 0, "segment %s is a recorded gap %s", text, why);
	}
}

/* The first segment behind missing, up to last, that the path takes from this timeline; false: there is none. */
static bool
first_behind(const struct wal_chain *c, const struct wal_set_timeline *t, uint64_t missing, uint64_t last, uint64_t *segno)
{
	uint32_t size = c->set->segment_size;
	uint64_t begin = begin_of(c->path, t->timeline) / size, from = begin > missing ? begin : missing + 1;
	lsn_t end;

	/* the timeline's own part of the path: there only the segment with a fork can be another's */
	if (!timeline_switch_end(c->path, t->timeline, &end))
		return false;
	if (end / size < last)
		last = end / size;
	for (size_t k = wal_spans_from(&t->spans, from); k < t->spans.n; k = wal_spans_from(&t->spans, from)) {
		if (t->spans.list[k].first > from)
			from = t->spans.list[k].first;
		if (from > last)
			return false;
		*segno = from;
		if (choose(c->set, c->path, from) == t->timeline)
			return true;
		from++;
	}
	return false;
}

/* A hole, when there is more of the path behind the segment that is missing: the end of the WAL looks otherwise. */
static void
tell_hole(struct wal_chain *c, uint64_t missing, uint64_t last)
{
	char text[WAL_NAME_MAX], behind[WAL_NAME_MAX];
	uint32_t size = c->set->segment_size;

	for (size_t i = 0; i < c->set->n; i++) {
		const struct wal_set_timeline *t = &c->set->timelines[i];
		uint64_t segno;

		if (!first_behind(c, t, missing, last, &segno))
			continue;
		wal_segment_name(text, timeline_of_lsn(c->path, wal_segment_start(missing, size)), missing, size);
		wal_segment_name(behind, t->timeline, segno, size);
		(void)err_set(
		    &c->broken, ERR_NOT_FOUND, 0, "segment %s is in no repository, and %s behind it is", text, behind);
		return;
	}
}

int
wal_chain_build(struct wal_chain **out, struct repository *const *repositories, size_t n, const struct wal_set *set,
    const struct timeline_history *path, lsn_t start, lsn_t upto, struct err *err)
{
	WAL_CHAIN_AUTO struct wal_chain *c = calloc(1, sizeof(*c));
	FREE_AUTO struct wal_summary *s = malloc(sizeof(*s));
	uint64_t segno, last = UINT64_MAX;
	struct wal_join join;

	if (c == NULL || s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a chain of WAL");
	c->repositories = repositories;
	c->n_repositories = n;
	c->set = set;
	c->path = path;
	wal_join_init(&join);
	if (upto != 0)
		last = upto / set->segment_size;
	for (segno = start / set->segment_size; segno <= last; segno++) {
		struct wal_link l = {.segno = segno, .timeline = choose(set, path, segno)};

		if (l.timeline == 0) {
			tell_gap(c, segno);
			if (c->gap == NULL)
				tell_hole(c, segno, last);
			break;
		}
		l.mask = wal_set_mask(set, l.timeline, segno);
		if (add_link(c, &join, &l, s, &c->broken) < 0)
			break;
		if (grow(c, err) < 0)
			return err->kind;
		c->links[c->n++] = l;
	}
	if (c->n == 0) {
		char text[WAL_NAME_MAX];

		wal_segment_name(text, timeline_of_lsn(path, start), segno, set->segment_size);
		if (c->broken.kind != 0) {
			*err = c->broken;
			return err->kind;
		}
		return err_set(err, ERR_NOT_FOUND, 0, "segment %s is not in any repository", text);
	}
	*out = STEAL(c);
	return 0;
}

lsn_t
wal_chain_last_record(const struct wal_chain *c)
{
	for (size_t i = c->n; i-- > 0;)
		if (c->links[i].last_record != 0)
			return c->links[i].last_record;
	return 0;
}

lsn_t
wal_chain_end(const struct wal_chain *c)
{
	for (size_t i = c->n; i-- > 0;)
		if (c->links[i].end != 0)
			return c->links[i].end;
	return 0;
}

void
wal_chain_name(const struct wal_chain *c, size_t i, char out[WAL_NAME_MAX])
{
	wal_segment_name(out, c->links[i].timeline, c->links[i].segno, c->set->segment_size);
}

/* A scan: records of one segment as the walker finds them, and those that lie in several as the join puts them together. */
struct scan {
	int (*each)(const struct wal_record_info *r, void *arg, struct err *err);
	void *arg;
	struct err *err;
	int rc; /* of each() */
	struct wal_walker *walker;
	lsn_t first_from;             /* not 0: wanted is the first record from here on, of whatever kind */
	struct wal_record_info *held; /* the records of a segment wait until the one that spilled into it was told */
	size_t n_held, cap;
};

static void
hold_record(const struct wal_record_info *r, void *arg)
{
	struct scan *s = arg;

	if (s->rc != 0 || (s->first_from == 0 ? r->kind == WAL_RECORD_OTHER : r->lsn < s->first_from || s->n_held > 0))
		return;
	if (s->n_held == s->cap) {
		size_t cap = s->cap == 0 ? 1024 : s->cap * 2;
		struct wal_record_info *grown = realloc(s->held, cap * sizeof(*grown));

		if (grown == NULL) {
			s->rc = err_set(s->err, ERR_NOMEM, 0, "out of memory for the records of a segment");
			return;
		}
		s->held = grown;
		s->cap = cap;
	}
	s->held[s->n_held++] = *r;
}

static int
feed_walker(const void *data, size_t len, void *arg, struct err *err)
{
	return wal_walker_feed(((struct scan *)arg)->walker, data, len, err);
}

/* One copy of the segment: that of the first repository from *at on. */
static int
walk_copy(const struct wal_chain *c, size_t i, struct keyring *ring, struct scan *s, struct wal_summary *summary, size_t *at,
    struct err *err)
{
	WAL_WALKER_AUTO struct wal_walker *walker = NULL;
	STORED_AUTO struct stored *object = NULL;
	struct wal_walk_options o = {.mode = WAL_COMPLETE, .on_record = hold_record, .arg = s, .sysid = c->set->sysid};
	char text[WAL_NAME_MAX];
	int rc = open_link(c, &c->links[i], at, &object, err);

	wal_chain_name(c, i, text);
	if (rc == 0 && !wal_name_parse(text, &o.name))
		rc = err_set(err, ERR_BUG, 0, "'%s' is no segment name", text);
	if (rc == 0)
		rc = stored_unlock(object, ring, err);
	if (rc == 0)
		rc = wal_walker_new(&walker, &o, err);
	s->walker = walker;
	s->n_held = 0;
	if (rc == 0)
		rc = stored_read(object, NULL, feed_walker, s, err);
	return rc < 0 ? rc : wal_walker_finish(walker, summary, err);
}

/* Frames are only read here: a copy whose index is whole and whose frames are not is passed over where there is another. */
static int
walk_link(
    const struct wal_chain *c, size_t i, struct keyring *ring, struct scan *s, struct wal_summary *summary, struct err *err)
{
	size_t at = 0;
	int rc;

	do
		rc = walk_copy(c, i, ring, s, summary, &at, err);
	while (rc < 0 && s->rc == 0 && another_has(c, &c->links[i], at));
	return rc;
}

int
wal_chain_scan(const struct wal_chain *c, size_t from, size_t to, struct keyring *ring,
    int (*each)(const struct wal_record_info *r, void *arg, struct err *err), void *arg, struct err *err)
{
	FREE_AUTO struct wal_summary *summary = malloc(sizeof(*summary));
	struct scan s = {.each = each, .arg = arg, .err = err};
	struct wal_join join;
	int rc = 0;

	if (summary == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a scan");
	wal_join_init(&join);
	for (size_t i = from; rc == 0 && i <= to && i < c->n; i++) {
		rc = walk_link(c, i, ring, &s, summary, err);
		if (rc == 0)
			rc = wal_join_next(&join, summary, err);
		if (rc == 0)
			rc = s.rc;
		if (rc == 0 && join.has_spilled)
			rc = each(&join.spilled, arg, err);
		for (size_t k = 0; rc == 0 && k < s.n_held; k++)
			rc = each(&s.held[k], arg, err);
	}
	free(s.held);
	return rc;
}

int
wal_chain_record_from(const struct wal_chain *c, lsn_t lsn, struct keyring *ring, struct wal_record_info *out, struct err *err)
{
	FREE_AUTO struct wal_summary *summary = malloc(sizeof(*summary));
	struct scan s = {.err = err, .first_from = lsn};
	uint64_t segno = lsn / c->set->segment_size;
	struct wal_join join;
	bool found = false;
	int rc = 0;

	if (summary == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a scan");
	wal_join_init(&join);
	for (size_t i = 0; rc == 0 && !found && i < c->n; i++) {
		if (c->links[i].segno < segno)
			continue;
		rc = walk_link(c, i, ring, &s, summary, err);
		if (rc == 0)
			rc = wal_join_next(&join, summary, err);
		if (rc == 0)
			rc = s.rc;
		found = rc == 0 && ((join.has_spilled && join.spilled.lsn >= lsn) || s.n_held > 0);
	}
	if (found)
		*out = join.has_spilled && join.spilled.lsn >= lsn ? join.spilled : s.held[0];
	free(s.held);
	return rc < 0 || found ? rc : err_set(err, ERR_NOT_FOUND, 0, "no record begins there");
}
