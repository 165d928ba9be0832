#include "pg/wal_run.h"

#include <string.h>

#include "pg/crc32c.h"

void
wal_run_init(struct wal_run *r)
{
	memset(r, 0, sizeof(*r));
	wal_join_init(&r->join);
}

bool
wal_tail_may_be_target(const struct wal_tail *t)
{
	/* the kind of record stands in its header; where that is not whole, look closer */
	return t->start != 0 && (t->kept < WAL_RECORD_HEADER || wal_record_may_be_target(t->bytes[17], t->bytes[16]));
}

bool
wal_head_runs_on(const struct wal_head *h)
{
	return h->expected > h->len && !h->abandoned;
}

/* The record that began before the row lies in this segment too. */
static void
add_head(struct wal_head *all, const struct wal_head *h)
{
	all->crc0 = crc32c_combine(all->crc0, h->crc0, h->len);
	all->len += h->len;
	all->end = h->end;
	all->abandoned = h->abandoned;
	all->overwritten = h->overwritten;
	all->zeros_follow = h->zeros_follow;
}

/* The row's first record, and what it calls its predecessor, where that can be compared at all. */
static void
add_first(struct wal_run *r, const struct wal_summary *s)
{
	if (r->has_first || s->first_record == 0)
		return;
	r->has_first = true;
	if (s->n_records == 0 && s->tail.have < 16)
		return;
	r->all.first_record = s->first_record;
	r->all.first_prev = s->first_prev;
}

static void
add_times(struct wal_summary *all, const struct wal_summary *s)
{
	all->xid_unknown |= s->xid_unknown;
	if (s->commit_count == 0)
		return;
	if (all->commit_count == 0) {
		all->first_time_us = s->first_time_us;
		all->min_time_us = s->min_time_us;
		all->max_time_us = s->max_time_us;
		all->min_xid = s->min_xid;
		all->max_xid = s->max_xid;
	}
	all->last_time_us = s->last_time_us;
	if (s->min_time_us < all->min_time_us)
		all->min_time_us = s->min_time_us;
	if (s->max_time_us > all->max_time_us)
		all->max_time_us = s->max_time_us;
	if (s->min_xid < all->min_xid)
		all->min_xid = s->min_xid;
	if (s->max_xid > all->max_xid)
		all->max_xid = s->max_xid;
	all->commit_count += s->commit_count;
}

static void
add_last(struct wal_run *r, const struct wal_join *before, bool was_in_head)
{
	if (r->join.last_record != 0) {
		r->last = WAL_RUN_LAST_KNOWN;
		r->last_seen = r->join.last_record;
	} else if (!was_in_head && before->open_left > 0 && r->join.open_left == 0) {
		r->last = WAL_RUN_LAST_UNKNOWN;
		r->last_seen = 0;
	}
}

/* What the row says of itself besides its ends. */
static void
add_facts(struct wal_run *r, const struct wal_summary *s)
{
	struct wal_summary *all = &r->all;

	add_first(r, s);
	add_times(all, s);
	all->n_records += s->n_records;
	if (s->last_record != 0)
		all->last_record = s->last_record;
	if (s->end != 0)
		all->end = s->end;
	all->contains_switch = s->contains_switch;
	all->last_page_timeline = s->last_page_timeline;
	all->point_count += s->point_count;
	all->wal_level_minimal |= s->wal_level_minimal;
	all->has_limits |= s->has_limits;
	server_limits_raise(&all->limits, &s->limits);
	r->end_spills = wal_tail_may_be_target(&s->tail) || (r->end_spills && wal_head_runs_on(&s->head));
}

static void
begin(struct wal_run *r, const struct wal_summary *s)
{
	struct wal_summary *all = &r->all;

	all->verified = s->verified;
	all->magic = s->magic;
	all->major = s->major;
	all->timeline = s->timeline;
	all->first_page_timeline = s->first_page_timeline;
	all->sysid = s->sysid;
	all->segment_size = s->segment_size;
	all->page_size = s->page_size;
	all->start = s->start;
	all->head = s->head;
	all->head.kept = 0;
}

bool
wal_run_add(struct wal_run *r, const struct wal_summary *s)
{
	const struct wal_join before = r->join;
	struct wal_join j = before;
	bool was_in_head = r->n == 0 || r->in_head, in_head = was_in_head && wal_head_runs_on(&s->head);

	if (r->n > 0 && (s->verified != r->all.verified || s->timeline != r->all.timeline || s->magic != r->all.magic))
		return false;
	if (wal_join_next(&j, s, NULL) < 0)
		return false;
	/* a record that began in the row goes on, and without its header there is no tail that could be told of it */
	if (j.open_left > 0 && !j.open_known && !in_head)
		return false;
	if (r->n == 0)
		begin(r, s);
	else if (was_in_head)
		add_head(&r->all.head, &s->head);
	r->join = j;
	r->in_head = in_head;
	add_last(r, &before, was_in_head);
	add_facts(r, s);
	memset(&r->all.tail, 0, sizeof(r->all.tail));
	if (j.open_left > 0 && j.open_known)
		r->all.tail = j.open;
	r->n++;
	return true;
}

int
wal_run_join(struct wal_join *j, const struct wal_run *r, struct err *err)
{
	struct wal_join n = *j;
	int rc = wal_join_next(&n, &r->all, err);

	if (rc < 0)
		return rc;
	if (r->all.verified) {
		n.has_spilled = false;
		n.next_start = r->all.start + r->n * r->all.segment_size;
		if (r->last != WAL_RUN_LAST_BEFORE)
			n.last_record = r->last_seen;
	}
	*j = n;
	return 0;
}
