/* What restore and find say of a plan: the backup, the WAL, the record at which PostgreSQL stops, and what that leaves out. */
#ifndef PGCAIRN_CLI_REPORT_PLAN_H
#define PGCAIRN_CLI_REPORT_PLAN_H

#include "cli/report.h"
#include "ops/plan.h"

/*
 * segments, first_segment, last_segment, stop_lsn, stop_end_lsn, stop_before, stop_timeline, stop_time;
 * where it is so commits_behind_segment, name_again_lsn, name_before_lsn; also: the other timelines on which the target lies.
 */
void report_plan(json_t *o, const struct plan *p);

/* The same as lines of text. target: what was asked for. */
int report_plan_text(struct buf *out, const struct plan *p, const struct target *target, struct err *err);

#endif
