/* The facts of a chain's links: from an index where one can be believed, else from the segments. */
#include "repo/wal_chain_internal.h"
#include "repo/wal_object.h"

void
wal_link_free(struct wal_link *l)
{
	free(l->keys);
	free(l->spills_at.list);
	free(l->points_at.list);
}

/* spills: the link before it does. */
static void
describe(struct wal_link *l, const struct wal_summary *s, bool spills)
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
	l->runs_on = wal_head_runs_on(&s->head);
	l->spills = wal_tail_may_be_target(&s->tail) || (spills && l->runs_on);
}

/* A link of one segment. */
static int
make_single(struct wal_link *l, timeline_t timeline, uint64_t segno, const struct wal_summary *s, const uint8_t *key_id,
    bool spills, struct err *err)
{
	static const uint8_t none[OBJECT_KEY_ID];

	*l = (struct wal_link){.segno = segno, .n = 1, .timeline = timeline};
	describe(l, s, spills);
	if (memcmp(key_id, none, sizeof(none)) == 0)
		return 0;
	l->keys = malloc(sizeof(*l->keys));
	if (l->keys == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a chain of WAL");
	memcpy(l->keys[0], key_id, OBJECT_KEY_ID);
	l->n_keys = 1;
	return 0;
}

/* Takes over what the link owns. */
static int
push(struct wal_chain *c, struct wal_link *l, struct err *err)
{
	if ((c->n_links & (c->n_links - 1)) == 0 && c->n_links != 1) {
		struct wal_link *grown = realloc(c->links, (c->n_links == 0 ? 2 : c->n_links * 2) * sizeof(*grown));

		if (grown == NULL) {
			wal_link_free(l);
			return err_set(err, ERR_NOMEM, 0, "out of memory for a chain of WAL");
		}
		c->links = grown;
	}
	c->links[c->n_links++] = *l;
	c->n += l->n;
	return 0;
}

static bool
end_spills(const struct wal_chain *c)
{
	return c->n_links > 0 && c->links[c->n_links - 1].spills;
}

/* By its own clear part, of the first repository where that is whole. */
static int
read_single(const struct wal_chain *c, timeline_t timeline, uint64_t segno, struct wal_join *join, bool spills,
    struct wal_link *out, struct err *err)
{
	FREE_AUTO struct wal_summary *s = malloc(sizeof(*s));
	STORED_AUTO struct stored *object = NULL;
	size_t at = 0;
	int rc;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a segment");
	rc = wal_chain_open(c, timeline, segno, &at, &object, err);
	if (rc == 0)
		rc = wal_object_decode(s, object->clear, NULL, err);
	if (rc == 0 && join != NULL)
		rc = wal_join_next(join, s, err);
	return rc < 0 ? rc : make_single(out, timeline, segno, s, object->index->header.key_id, spills, err);
}

static int
add_single(struct wal_chain *c, struct wal_join *join, timeline_t timeline, struct err *err)
{
	struct wal_link l;
	struct err why = {0};

	if (read_single(c, timeline, c->first + c->n, join, end_spills(c), &l, &why) == 0)
		return push(c, &l, err);
	c->broken = why; /* that is the end of the chain, and no error */
	return 0;
}

/* What stands against an index that cannot be used is that its segments can be read: nobody has to be told. */
static int
pass_over(struct wal_index_entry *e, int rc)
{
	if (rc == ERR_NOMEM)
		return rc;
	e->passed_over = true;
	return 0;
}

static int
open_index(const struct wal_chain *c, timeline_t timeline, const struct wal_index_entry *e, struct wal_index *x,
    struct stored **object, struct err *err)
{
	const struct wal_index_name name = {timeline, e->first, e->n};

	return wal_index_open(x, object, c->repositories[e->repository], c->set->sysid, &name, c->set->segment_size, err);
}

/* A row as one link. */
static int
add_row(struct wal_chain *c, struct wal_join *join, timeline_t timeline, struct wal_index_entry *e, struct err *err)
{
	FREE_AUTO struct wal_index *x = calloc(1, sizeof(*x));
	STORED_AUTO struct stored *object = NULL;
	struct wal_link l = {.segno = e->first, .n = e->n, .timeline = timeline};
	struct err why = {0};
	int rc;

	if (x == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an index");
	rc = open_index(c, timeline, e, x, &object, &why);
	if (rc == 0)
		rc = wal_run_join(join, &x->run, &why); /* where it does not, its segments say why */
	if (rc < 0) {
		wal_index_free(x);
		if (pass_over(e, rc) == 0)
			return 0;
		*err = why;
		return rc;
	}
	describe(&l, &x->run.all, end_spills(c));
	/* a segment holds more than half of its size of a record */
	l.head_is_long = x->run.all.head.len >= x->run.all.segment_size / 2;
	l.spills_at = x->spills;
	l.points_at = x->points;
	l.keys = x->keys;
	l.n_keys = x->n_keys;
	return push(c, &l, err);
}

/* Segments out of the rows of an index: one link each. */
struct taking {
	struct wal_chain *chain; /* NULL: into list */
	struct wal_join *join;
	timeline_t timeline;
	uint64_t first, last; /* wanted */
	struct wal_link *list;
	bool spills;
	bool stopped; /* a row does not join: what does its segment say? */
	struct err *err;
};

static int
take_row(const struct wal_index_row *row, void *arg, struct err *err)
{
	struct taking *t = arg;
	struct wal_link l;
	int rc;

	if (t->stopped || row->segno < t->first || row->segno > t->last)
		return 0;
	if (t->join != NULL && wal_join_next(t->join, row->summary, NULL) < 0) {
		t->stopped = true;
		return 0;
	}
	rc = make_single(&l, t->timeline, row->segno, row->summary, row->key_id, t->spills, err);
	if (rc < 0)
		return rc;
	t->spills = l.spills;
	if (t->chain != NULL)
		return push(t->chain, &l, err);
	t->list[row->segno - t->first] = l;
	return 0;
}

static int
read_rows(const struct wal_chain *c, const struct wal_index_entry *e, struct taking *t, struct err *err)
{
	const struct wal_index_name name = {t->timeline, e->first, e->n};
	WAL_INDEX_AUTO struct wal_index x = {0};
	STORED_AUTO struct stored *object = NULL;
	int rc = open_index(c, t->timeline, e, &x, &object, err);

	return rc < 0 ? rc : wal_index_rows(object, &name, take_row, t, err);
}

/* Where a chain begins inside of a row, or leaves it before its end. */
static int
add_part(
    struct wal_chain *c, struct wal_join *join, timeline_t timeline, struct wal_index_entry *e, uint64_t last, struct err *err)
{
	struct taking t = {
	    .chain = c, .join = join, .timeline = timeline, .first = c->first + c->n, .last = last, .spills = end_spills(c)};
	struct err why = {0};
	int rc = read_rows(c, e, &t, &why);

	/* the rows that came were taken, and they joined; from here on the segments are asked */
	if (rc < 0 || t.stopped)
		e->passed_over = true;
	if (rc != ERR_NOMEM)
		return 0;
	*err = why;
	return rc;
}

/* Whose copy is read first, and how far it is the same repository's. */
static uint32_t
first_repository(const struct wal_chain *c, timeline_t timeline, uint64_t segno, uint64_t *last)
{
	const struct wal_spans *s = &wal_set_timeline(c->set, timeline)->spans;
	size_t i = wal_spans_from(s, segno);
	uint32_t place = (uint32_t)__builtin_ctz(s->list[i].mask);
	uint64_t end = wal_span_last(&s->list[i]);

	for (i++; i < s->n && s->list[i].first == end + 1 && (uint32_t)__builtin_ctz(s->list[i].mask) == place; i++)
		end = wal_span_last(&s->list[i]);
	if (end < *last)
		*last = end;
	return place;
}

int
wal_chain_add(struct wal_chain *c, struct wal_join *join, timeline_t timeline, uint64_t last, struct err *err)
{
	const struct wal_indexes *indexes = &wal_set_timeline(c->set, timeline)->indexes;
	uint64_t segno = c->first + c->n;
	uint32_t place = first_repository(c, timeline, segno, &last);
	struct wal_index_entry *e = NULL;
	size_t before = c->n;
	int rc = 0;

	if (!c->without_indexes)
		e = wal_indexes_from(indexes, place, segno, last);
	if (e != NULL)
		rc = add_row(c, join, timeline, e, err);
	if (rc < 0 || c->n > before)
		return rc;
	e = c->without_indexes ? NULL : wal_indexes_over(indexes, place, segno);
	if (e != NULL)
		rc = add_part(c, join, timeline, e, last, err);
	return rc < 0 || c->n > before ? rc : add_single(c, join, timeline, err);
}

int
wal_link_segments(const struct wal_chain *c, size_t link, struct wal_link *out, struct err *err)
{
	const struct wal_link *row = &c->links[link];
	const struct wal_indexes *indexes = &wal_set_timeline(c->set, row->timeline)->indexes;
	uint64_t last = row->segno + row->n - 1;
	uint32_t place = first_repository(c, row->timeline, row->segno, &last);
	struct wal_index_entry *e = wal_indexes_from(indexes, place, row->segno, last);
	bool spills = link > 0 && c->links[link - 1].spills;
	struct taking t = {.timeline = row->timeline, .first = row->segno, .last = last, .list = out, .spills = spills};
	int rc = e != NULL && e->n == row->n ? read_rows(c, e, &t, err) : ERR_NOT_FOUND;

	if (rc == 0 || rc == ERR_NOMEM)
		return rc;
	for (uint64_t i = 0; i < row->n; i++) {
		wal_link_free(&out[i]);
		rc = read_single(c, row->timeline, row->segno + i, NULL, spills, &out[i], err);
		if (rc < 0) {
			out[i] = (struct wal_link){0};
			return rc;
		}
		spills = out[i].spills;
	}
	return 0;
}
