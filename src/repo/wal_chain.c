#include "repo/wal_chain_internal.h"

/* The segments of one row. */
struct wal_chain_detail {
	size_t link;
	struct wal_link *list; /* NULL: none */
	size_t n;
};

static void
detail_reset(struct wal_chain_detail *d)
{
	for (size_t i = 0; i < d->n; i++)
		wal_link_free(&d->list[i]);
	free(d->list);
	*d = (struct wal_chain_detail){0};
}

void
wal_chain_free(struct wal_chain *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n_links; i++)
		wal_link_free(&c->links[i]);
	free(c->links);
	if (c->detail != NULL)
		detail_reset(c->detail);
	free(c->detail);
	free(c);
}

int
wal_chain_open(const struct wal_chain *c, timeline_t timeline, uint64_t segno, size_t *at, struct stored **out, struct err *err)
{
	uint32_t mask = wal_set_mask(c->set, timeline, segno);
	char relative[OBJECT_NAME_MAX], text[WAL_NAME_MAX];
	struct wal_name name;
	int rc = ERR_NOT_FOUND;

	wal_segment_name(text, timeline, segno, c->set->segment_size);
	if (!wal_name_parse(text, &name) || layout_wal(relative, c->set->sysid, &name, err) < 0)
		return err_set(err, ERR_BUG, 0, "'%s' is no segment name", text);
	for (; rc < 0 && *at < c->n_repositories; ++*at)
		if ((mask & UINT32_C(1) << *at) != 0)
			rc = stored_open(out, c->repositories[*at], relative, OBJECT_WAL, err);
	return rc < 0 ? err_wrap(err, "segment %s", text) : 0;
}

/* How far this timeline may be followed from segno on: a later one takes over in the segment with the fork. */
static uint64_t
reach(const struct wal_chain *c, timeline_t timeline, uint64_t segno, uint64_t last)
{
	lsn_t end;

	if (timeline == c->path->timeline || !timeline_switch_end(c->path, timeline, &end))
		return last;
	end /= c->set->segment_size; /* the segment with the fork is chosen by itself */
	if (end <= segno)
		return segno;
	return end - 1 < last ? end - 1 : last;
}

static int
follow(struct wal_chain *c, const struct wal_chain_options *o, struct err *err)
{
	uint64_t last = o->upto != 0 ? o->upto / c->set->segment_size : UINT64_MAX, segno;
	struct wal_join join;

	wal_join_init(&join);
	while ((segno = c->first + c->n) <= last) {
		timeline_t timeline = wal_path_choose(c->set, c->path, segno);

		if (timeline == 0) {
			wal_chain_tell_end(c, segno, last);
			break;
		}
		if (wal_chain_add(c, &join, timeline, reach(c, timeline, segno, last), err) < 0)
			return err->kind;
		if (c->broken.kind != 0)
			break;
	}
	return 0;
}

int
wal_chain_build(struct wal_chain **out, struct repository *const *repositories, size_t n, const struct wal_set *set,
    const struct timeline_history *path, const struct wal_chain_options *o, struct err *err)
{
	WAL_CHAIN_AUTO struct wal_chain *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL || (c->detail = calloc(1, sizeof(*c->detail))) == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a chain of WAL");
	c->repositories = repositories;
	c->n_repositories = n;
	c->set = set;
	c->path = path;
	c->first = o->start / set->segment_size;
	c->without_indexes = o->without_indexes;
	rc = follow(c, o, err);
	if (rc < 0)
		return rc;
	if (c->n == 0) {
		char text[WAL_NAME_MAX];

		wal_segment_name(text, timeline_of_lsn(path, o->start), c->first, set->segment_size);
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
	for (size_t i = c->n_links; i-- > 0;)
		if (c->links[i].last_record != 0)
			return c->links[i].last_record;
	return 0;
}

lsn_t
wal_chain_end(const struct wal_chain *c)
{
	for (size_t i = c->n_links; i-- > 0;)
		if (c->links[i].end != 0)
			return c->links[i].end;
	return 0;
}

const struct wal_link *
wal_chain_link(const struct wal_chain *c, size_t i)
{
	size_t lo = 0, hi = c->n_links - 1;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->links[mid].segno + c->links[mid].n <= c->first + i)
			lo = mid + 1;
		else
			hi = mid;
	}
	return &c->links[lo];
}

int
wal_chain_segment(const struct wal_chain *c, size_t i, const struct wal_link **out, struct err *err)
{
	const struct wal_link *row = wal_chain_link(c, i);
	struct wal_chain_detail *d = c->detail;
	size_t at = (size_t)(row - c->links);

	if (row->n == 1) {
		*out = row;
		return 0;
	}
	if (d->list == NULL || d->link != at) {
		int rc;

		detail_reset(d);
		d->list = calloc(row->n, sizeof(*d->list));
		if (d->list == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for the segments of a row");
		d->n = row->n;
		d->link = at;
		rc = wal_link_segments(c, at, d->list, err);
		if (rc < 0) {
			detail_reset(d);
			return rc;
		}
	}
	*out = &d->list[c->first + i - row->segno];
	return 0;
}

int
wal_chain_spills(const struct wal_chain *c, size_t i, bool *spills, struct err *err)
{
	const struct wal_link *l = wal_chain_link(c, i);
	uint64_t place = c->first + i - l->segno;
	int rc = 0;

	*spills = place + 1 == l->n && l->spills;
	if (place + 1 == l->n)
		return 0;
	for (size_t k = 0; k < l->spills_at.n && !*spills; k++)
		*spills = l->spills_at.list[k] == place;
	if (!*spills && l->head_is_long) {
		rc = wal_chain_segment(c, i, &l, err);
		*spills = rc == 0 && l->spills;
	}
	return rc;
}

void
wal_chain_name(const struct wal_chain *c, size_t i, char out[WAL_NAME_MAX])
{
	wal_segment_name(out, wal_chain_link(c, i)->timeline, c->first + i, c->set->segment_size);
}

uint32_t
wal_chain_mask(const struct wal_chain *c, size_t i)
{
	return wal_set_mask(c->set, wal_chain_link(c, i)->timeline, c->first + i);
}
