#include "cli/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/output.h"
#include "ops/survey.h"

void
report_text(json_t *o, const char *member, const char *text)
{
	json_object_set_new(o, member, json_text(text));
}

void
report_number(json_t *o, const char *member, uint64_t n)
{
	json_object_set_new(o, member, json_integer((json_int_t)n));
}

void
report_sysid(json_t *o, const char *member, uint64_t sysid)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, sysid);
	json_object_set_new(o, member, json_string(text));
}

void
report_lsn(json_t *o, const char *member, lsn_t lsn)
{
	char text[LSN_TEXT];

	lsn_format(text, lsn);
	json_object_set_new(o, member, json_string(text));
}

void
report_time(json_t *o, const char *member, int64_t us)
{
	char text[32];

	clock_format_utc(text, sizeof(text), us);
	json_object_set_new(o, member, json_string(text));
}

void
report_decision(json_t *o, const struct decision *d)
{
	report_time(o, "time", d->time_us);
	report_text(o, "by", d->by);
	report_text(o, "reason", d->reason);
}

json_t *
report_err(const struct err *err)
{
	json_t *o = json_object();

	report_text(o, "kind", err_kind_name(err->kind));
	report_text(o, "message", err->msg);
	if (err->hint[0] != '\0')
		report_text(o, "hint", err->hint);
	return o;
}

void
report_survey(json_t *o, const struct survey *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_silent; i++) {
		json_t *one = json_object();

		report_text(one, "repository", s->silent[i].repository);
		json_object_set_new(one, "error", report_err(&s->silent[i].err));
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "silent", list);
}
