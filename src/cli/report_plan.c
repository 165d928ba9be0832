#include "cli/report_plan.h"
#include "cli/report_tail.h"

#include <inttypes.h>

#include "base/clock.h"

static json_t *
others_json(const struct plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->n_others; i++) {
		const struct plan_other *other = &p->others[i];
		json_t *o = json_object();

		report_number(o, "timeline", other->timeline);
		report_text(o, "segment", other->segment);
		report_lsn(o, "stop_lsn", other->found.record.lsn);
		if (other->found.record.has_time)
			report_time(o, "stop_time", other->found.record.time_us);
		json_array_append_new(list, o);
	}
	return list;
}

void
report_plan(json_t *o, const struct plan *p)
{
	const struct target_stop *s = &p->stop;
	char name[WAL_NAME_MAX];

	report_sysid(o, "system_identifier", p->backup->head.sysid);
	report_number(o, "major", p->backup->head.major);
	report_number(o, "segments", plan_segments(p));
	wal_chain_name(p->chain, 0, name);
	report_text(o, "first_segment", name);
	wal_chain_name(p->chain, s->link, name);
	report_text(o, "last_segment", name);
	report_lsn(o, "stop_lsn", s->lsn);
	if (s->end != 0)
		report_lsn(o, "stop_end_lsn", s->end);
	json_object_set_new(o, "stop_before", json_boolean(s->before));
	report_number(o, "stop_timeline", s->timeline);
	if (s->has_time)
		report_time(o, "stop_time", s->time_us);
	if (s->commits_behind) {
		wal_chain_name(p->chain, s->behind_link, name);
		report_text(o, "commits_behind_segment", name);
	}
	if (s->again != 0)
		report_lsn(o, "name_again_lsn", s->again);
	if (p->name_before != 0)
		report_lsn(o, "name_before_lsn", p->name_before);
	json_object_set_new(o, "also", others_json(p));
	if (p->lost.sysid != 0)
		json_object_set_new(o, "tail_lost", report_high_water(&p->lost));
	if (p->partial[0] != '\0')
		report_text(o, "partial_behind", p->partial);
	if (p->overrun != 0)
		report_lsn(o, "past_fork_lsn", p->overrun);
}

/* What an operator may not expect of this target. */
static int
put_surprises(struct buf *out, const struct plan *p, struct err *err)
{
	const struct target_stop *s = &p->stop;
	char text[WAL_NAME_MAX], lsn[LSN_TEXT];
	int rc = 0;

	if (s->commits_behind) {
		wal_chain_name(p->chain, s->behind_link, text);
		rc = buf_printf(out, err,
		    "note: times of commits are not in order there: commits at or before that time stand behind this place "
		    "too, in "
		    "segment %s, and are not recovered; --target-lsn reaches them\n",
		    text);
	}
	if (rc == 0 && s->again != 0) {
		lsn_format(lsn, s->again);
		rc = buf_printf(out, err,
		    "note: this name was given again at %s: PostgreSQL stops at the first; --target-lsn, or a later backup, "
		    "reaches "
		    "the other\n",
		    lsn);
	}
	if (rc == 0 && p->name_before != 0) {
		lsn_format(lsn, p->name_before);
		rc = buf_printf(out, err,
		    "note: this name was given before the backup too, at %s: an older backup (--backup) stops there\n", lsn);
	}
	for (size_t i = 0; rc == 0 && i < p->n_others; i++) {
		const struct plan_other *o = &p->others[i];

		lsn_format(lsn, o->found.record.lsn);
		rc = buf_printf(out, err,
		    "note: it also lies on timeline %" PRIu32
		    ", at %s in segment %s; this plan follows the newest path, to timeline "
		    "%" PRIu32 ": restore it with --target-timeline %" PRIu32 "\n",
		    o->timeline, lsn, o->segment, p->path.timeline, o->timeline);
	}
	return rc;
}

int
report_plan_text(struct buf *out, const struct plan *p, const struct target *target, struct err *err)
{
	const struct target_stop *s = &p->stop;
	char first[WAL_NAME_MAX], last[WAL_NAME_MAX], lsn[LSN_TEXT], when[48] = "";
	const char *how = s->before ? "before the record at" : "behind the record at";
	int rc;

	wal_chain_name(p->chain, 0, first);
	wal_chain_name(p->chain, s->link, last);
	lsn_format(lsn, s->lsn);
	if (target->kind == TARGET_LATEST || target->kind == TARGET_IMMEDIATE)
		how = "at";
	if (s->has_time) {
		(void)snprintf(when, sizeof(when), " of ");
		clock_format_utc(when + 4, sizeof(when) - 4, s->time_us);
	}
	rc = buf_printf(out, err,
	    "WAL: %zu segments, %s to %s, on the path to timeline %" PRIu32 "\n"
	    "PostgreSQL %u stops %s %s%s, in segment %s\n",
	    plan_segments(p), first, last, p->path.timeline, p->backup->head.major, how, lsn, when, last);
	return rc < 0 ? rc : put_surprises(out, p, err);
}
