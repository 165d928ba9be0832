/* Reading the records of a chain. */
#include "pg/wal_join.h"
#include "pg/wal_walker.h"
#include "repo/wal_chain_internal.h"
#include "repo/wal_object.h"

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
	int rc = wal_chain_open(c, wal_chain_link(c, i)->timeline, c->first + i, at, &object, err);

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
	while (rc < 0 && s->rc == 0 && at < c->n_repositories && wal_chain_mask(c, i) >> at != 0);
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

/* What a segment says with its sealed part, of the first copy whose index is whole. */
static int
read_said(const struct wal_chain *c, size_t i, struct keyring *ring, struct wal_summary *out, struct err *err)
{
	STORED_AUTO struct stored *object = NULL;
	JSON_AUTO json_t *sealed = NULL;
	size_t at = 0;
	int rc = wal_chain_open(c, wal_chain_link(c, i)->timeline, c->first + i, &at, &object, err);

	if (rc == 0)
		rc = stored_unlock(object, ring, err);
	if (rc == 0)
		rc = stored_sealed(object, &sealed, err);
	return rc < 0 ? rc : wal_object_decode(out, object->clear, sealed, err);
}

/* The record that ended in this segment, if it began in those that were looked at; false: one did, and it is not known. */
static bool
edge_is_known(const struct wal_join *before, const struct wal_join *j, const struct wal_summary *s)
{
	const struct wal_tail *o = &before->open;
	uint32_t kept = o->kept + (o->kept == o->have ? s->head.kept : 0);

	if (j->has_spilled)
		return kept >= (o->total < WAL_KEEP ? o->total : WAL_KEEP);
	return before->open_left == 0 || j->open_left > 0 || s->head.abandoned;
}

static int
tell_points(const struct wal_summary *s, int (*each)(const struct wal_record_info *r, void *arg, struct err *err), void *arg,
    struct err *err)
{
	int rc = 0;

	for (uint64_t i = 0; i < s->point_count && rc == 0; i++) {
		struct wal_record_info r = {.lsn = s->points[i].lsn,
		    .kind = WAL_RECORD_RESTORE_POINT,
		    .has_time = true,
		    .time_us = s->points[i].time_us};

		memcpy(r.name, s->points[i].name, sizeof(r.name));
		rc = each(&r, arg, err);
	}
	return rc;
}

int
wal_chain_peek(const struct wal_chain *c, size_t from, size_t to, struct keyring *ring,
    int (*each)(const struct wal_record_info *r, void *arg, struct err *err), void *arg, bool *whole, struct err *err)
{
	FREE_AUTO struct wal_summary *s = malloc(sizeof(*s));
	struct wal_join join, before;
	struct err why = {0};
	int rc = 0;

	*whole = s != NULL;
	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a segment");
	wal_join_init(&join);
	for (size_t i = from; i <= to && i < c->n && *whole && rc == 0; i++) {
		before = join;
		*whole = read_said(c, i, ring, s, &why) == 0 && s->verified && s->point_count <= WAL_POINTS_KEPT &&
			 wal_join_next(&join, s, &why) == 0 && edge_is_known(&before, &join, s);
		if (*whole && join.has_spilled)
			rc = each(&join.spilled, arg, err);
		if (*whole && rc == 0)
			rc = tell_points(s, each, arg, err);
	}
	if (why.kind == ERR_NOMEM) {
		*err = why;
		return ERR_NOMEM;
	}
	return rc;
}

int
wal_chain_record_from(const struct wal_chain *c, lsn_t lsn, struct keyring *ring, struct wal_record_info *out, struct err *err)
{
	FREE_AUTO struct wal_summary *summary = malloc(sizeof(*summary));
	struct scan s = {.err = err, .first_from = lsn};
	uint64_t segno = lsn / c->set->segment_size;
	size_t i = segno > c->first ? (size_t)(segno - c->first) : 0;
	struct wal_join join;
	bool found = false;
	int rc = 0;

	if (summary == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a scan");
	wal_join_init(&join);
	for (; rc == 0 && !found && i < c->n; i++) {
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
