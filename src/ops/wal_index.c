#include "ops/wal_index.h"

#include "repo/wal_object.h"
#include "repo/wal_set.h"

struct indexing {
	struct repository *repo;
	const struct writer *writer;
	const struct wal_index_options *options;
	struct wal_index_result *result;
	const struct wal_set *set;
	struct wal_summary *summary; /* of the segment that is looked at */
	struct wal_index_draft draft;
};

static uint64_t
newest_of(const struct wal_set_timeline *t)
{
	return t->spans.n > 0 ? wal_span_last(&t->spans.list[t->spans.n - 1]) : 0;
}

/* How far WAL has gone on this timeline, and on those that came out of it. */
static uint64_t
tip_of(const struct wal_set *set, const struct wal_set_timeline *t)
{
	uint64_t tip = newest_of(t);

	for (size_t i = 0; i < set->n; i++) {
		const struct wal_set_timeline *later = &set->timelines[i];
		lsn_t end;

		if (later->known && later != t && timeline_switch_end(&later->history, t->timeline, &end) &&
		    newest_of(later) > tip)
			tip = newest_of(later);
	}
	return tip;
}

static bool
is_done(const struct indexing *x)
{
	return x->options->max != 0 && x->result->indexes >= x->options->max;
}

/* What was collected becomes an index. */
static int
put_draft(struct indexing *x, struct err *err)
{
	struct wal_index_draft *d = &x->draft;
	int rc;

	if (d->name.n == 0)
		return 0;
	rc = wal_index_put(d, x->repo, x->set->sysid, x->writer->backup_codec, &x->writer->signing, err);
	if (rc == 0) {
		x->result->indexes++;
		x->result->segments += d->name.n;
	}
	return rc == ERR_EXISTS ? 0 : rc; /* another host was faster */
}

static int
read_segment(struct indexing *x, timeline_t timeline, uint64_t segno, struct stored **out, struct err *err)
{
	char text[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
	struct wal_name name;
	int rc;

	wal_segment_name(text, timeline, segno, x->set->segment_size);
	if (!wal_name_parse(text, &name) || layout_wal(relative, x->set->sysid, &name, err) < 0)
		return err_set(err, ERR_BUG, 0, "'%s' is no segment name", text);
	rc = stored_open(out, x->repo, relative, OBJECT_WAL, err);
	return rc < 0 ? rc : wal_object_decode(x->summary, (*out)->clear, NULL, err);
}

/* One segment that cannot be read keeps nobody from the others, a store that fails does. */
static int
may_skip(struct indexing *x, int rc, struct err *err)
{
	if (rc == ERR_RETRY || rc == ERR_NOMEM || rc == ERR_BUG)
		return rc;
	rc = repository_confirm(x->repo, err);
	if (rc == 0)
		x->result->skipped++;
	return rc;
}

static int
take_segment(struct indexing *x, timeline_t timeline, uint64_t segno, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	bool added = false;
	int rc = read_segment(x, timeline, segno, &s, err);

	if (rc < 0) {
		rc = may_skip(x, rc, err);
		if (rc == 0)
			rc = put_draft(x, err);
		wal_index_draft_begin(&x->draft, timeline, segno + 1);
		return rc;
	}
	rc = wal_index_draft_add(&x->draft, s, x->summary, &added, err);
	if (rc < 0 || added)
		return rc;
	rc = put_draft(x, err);
	wal_index_draft_begin(&x->draft, timeline, segno);
	if (rc == 0)
		rc = wal_index_draft_add(&x->draft, s, x->summary, &added, err);
	if (rc < 0 || added)
		return rc;
	x->result->skipped++; /* its summary makes no sense by itself */
	wal_index_draft_begin(&x->draft, timeline, segno + 1);
	return 0;
}

/* Segments first..last have no index yet. */
static int
index_row(struct indexing *x, timeline_t timeline, uint64_t first, uint64_t last, struct err *err)
{
	int rc = 0;

	if (is_done(x)) {
		x->result->left++;
		return 0;
	}
	if (x->options->dry_run) {
		x->result->indexes++;
		x->result->segments += last - first + 1;
		return 0;
	}
	wal_index_draft_begin(&x->draft, timeline, first);
	for (uint64_t segno = first; rc == 0 && segno <= last; segno++) {
		if (x->options->stop != NULL && x->options->stop(x->options->arg)) {
			x->result->left++;
			return 0; /* what was collected is for the next call */
		}
		rc = take_segment(x, timeline, segno, err);
	}
	return rc < 0 ? rc : put_draft(x, err);
}

/* Segments first..last are there and of one row; some may have an index. */
static int
index_rest(struct indexing *x, const struct wal_set_timeline *t, uint64_t first, uint64_t last, struct err *err)
{
	uint64_t from = first;
	int rc = 0;

	while (rc == 0 && from <= last) {
		const struct wal_index_entry *e = wal_indexes_over(&t->indexes, 0, from);
		uint64_t to = from;

		if (e != NULL) {
			from = e->first + e->n;
			continue;
		}
		while (to < last && wal_indexes_over(&t->indexes, 0, to + 1) == NULL)
			to++;
		rc = index_row(x, t->timeline, from, to, err);
		from = to + 1;
	}
	return rc;
}

static int
index_timeline(struct indexing *x, const struct wal_set_timeline *t, struct err *err)
{
	uint64_t tip = tip_of(x->set, t);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < t->spans.n; i++) {
		const struct wal_span *span = &t->spans.list[i];

		for (uint64_t first = span->first, last; rc == 0 && first <= wal_span_last(span); first = last + 1) {
			uint64_t begin = first - first % WAL_INDEX_SEGMENTS, end = begin + WAL_INDEX_SEGMENTS - 1;
			bool is_whole = first == begin && wal_span_last(span) >= end;

			last = end < wal_span_last(span) ? end : wal_span_last(span);
			if (is_whole || tip >= end + WAL_INDEX_SEGMENTS)
				rc = index_rest(x, t, first, last, err);
		}
	}
	return rc;
}

int
wal_index_write(struct repository *r, const struct writer *w, const struct wal_index_options *o,
    struct wal_index_result *result, struct err *err)
{
	FREE_AUTO struct wal_summary *summary = malloc(sizeof(*summary));
	struct indexing x = {.repo = r, .writer = w, .options = o, .result = result, .summary = summary};
	int rc = 0;

	*result = (struct wal_index_result){0};
	if (summary == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an index");
	for (size_t i = 0; rc == 0 && i < r->n_lineage; i++) {
		WAL_SET_AUTO struct wal_set *set = NULL;

		rc = wal_set_load(&set, &r, 1, r->lineage[i].sysid, err);
		x.set = set;
		for (size_t k = 0; rc == 0 && k < set->n; k++)
			rc = index_timeline(&x, &set->timelines[k], err);
	}
	wal_index_draft_free(&x.draft);
	return rc < 0 ? err_wrap(err, "index the WAL of repository '%s'", r->name) : 0;
}

int
wal_index_all(const struct op *op, const struct wal_index_options *o, struct wal_index_site *out, struct err *err)
{
	WAL_INDEX_SITE_AUTO struct wal_index_site s = {0};
	WRITER_AUTO struct writer *w = NULL;
	int rc = op_open_writer(op, &w, err);

	if (rc == 0)
		rc = op_open_fanout(op, w, &s.fanout, err);
	if (rc < 0)
		return rc;
	s.results = calloc(s.fanout->n + 1, sizeof(*s.results));
	if (s.results == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a report");
	for (size_t i = 0; i < s.fanout->n; i++) {
		struct fanout_target *t = &s.fanout->targets[i];
		struct err why;

		if (t->failed || wal_index_write(t->repo, w, o, &s.results[i], &why) == 0)
			continue;
		log_err(op->log, LOG_WARN, &why);
		fanout_fail(s.fanout, i, &why);
	}
	*out = s;
	s = (struct wal_index_site){0};
	return 0;
}

void
wal_index_site_free(struct wal_index_site *s)
{
	fanout_free(s->fanout);
	free(s->results);
	*s = (struct wal_index_site){0};
}
