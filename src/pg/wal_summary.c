#include "pg/wal_summary.h"

#include <string.h>

static void
add_end_of_transaction(struct wal_summary *s, const struct wal_record_info *r)
{
	if (r->has_time) {
		if (s->commit_count == 0)
			s->first_time_us = s->min_time_us = s->max_time_us = r->time_us;
		s->last_time_us = r->time_us;
		if (r->time_us < s->min_time_us)
			s->min_time_us = r->time_us;
		if (r->time_us > s->max_time_us)
			s->max_time_us = r->time_us;
		s->commit_count++;
	}
	if (r->xid == 0) {
		s->xid_unknown |= r->kind == WAL_RECORD_COMMIT_PREPARED || r->kind == WAL_RECORD_ABORT_PREPARED;
		return;
	}
	if (s->min_xid == 0 || r->xid < s->min_xid)
		s->min_xid = r->xid;
	if (r->xid > s->max_xid)
		s->max_xid = r->xid;
}

static void
add_point(struct wal_summary *s, const struct wal_record_info *r)
{
	if (s->point_count < WAL_POINTS_KEPT) {
		struct wal_point *p = &s->points[s->point_count];

		p->lsn = r->lsn;
		p->time_us = r->time_us;
		memcpy(p->name, r->name, sizeof(p->name));
	}
	s->point_count++;
}

void
wal_summary_add(struct wal_summary *s, const struct wal_record_info *r)
{
	switch (r->kind) {
	case WAL_RECORD_COMMIT:
	case WAL_RECORD_ABORT:
	case WAL_RECORD_COMMIT_PREPARED:
	case WAL_RECORD_ABORT_PREPARED:
		add_end_of_transaction(s, r);
		break;
	case WAL_RECORD_RESTORE_POINT:
		add_point(s, r);
		break;
	case WAL_RECORD_SWITCH:
		s->contains_switch = true;
		break;
	case WAL_RECORD_LEVEL:
		s->wal_level_minimal |= r->wal_level == 0;
		s->has_limits |= r->has_limits;
		server_limits_raise(&s->limits, &r->limits);
		break;
	case WAL_RECORD_OVERWRITE:
	case WAL_RECORD_OTHER:
		break;
	}
}
