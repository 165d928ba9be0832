/* Whose segment a recovery takes, and what the path lacks. */
#include "repo/wal_chain_internal.h"

lsn_t
wal_path_begin(const struct timeline_history *path, timeline_t timeline)
{
	timeline_t before = 0;
	lsn_t end = 0;

	for (size_t i = 0; i < path->n && path->entries[i].tli < timeline; i++)
		before = path->entries[i].tli;
	if (before == 0 || !timeline_switch_end(path, before, &end))
		return 0;
	return end;
}

timeline_t
wal_path_choose(const struct wal_set *set, const struct timeline_history *path, uint64_t segno)
{
	lsn_t start = wal_segment_start(segno, set->segment_size);

	for (size_t i = path->n + 1; i-- > 0;) {
		timeline_t t = i == path->n ? path->timeline : path->entries[i].tli;
		lsn_t begin = wal_path_begin(path, t);

		if (begin >= start + set->segment_size)
			continue;
		if (wal_set_mask(set, t, segno) != 0)
			return t;
		if (begin <= start) /* all of the segment is this timeline's: an older one's has no business here */
			return 0;
	}
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

		if (wal_path_begin(c->path, t) < start + c->set->segment_size && timeline_switch_end(c->path, t, &end) &&
		    end > start)
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
	uint64_t begin = wal_path_begin(c->path, t->timeline) / size, from = begin > missing ? begin : missing + 1;
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
		if (wal_path_choose(c->set, c->path, from) == t->timeline)
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

void
wal_chain_tell_end(struct wal_chain *c, uint64_t missing, uint64_t last)
{
	tell_gap(c, missing);
	if (c->gap == NULL)
		tell_hole(c, missing, last);
}
