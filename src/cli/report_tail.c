#include "cli/report_tail.h"

json_t *
report_high_water(const struct high_water *h)
{
	json_t *o = json_object(), *list = json_array();

	report_sysid(o, "system_identifier", h->sysid);
	report_number(o, "timeline", h->timeline);
	report_lsn(o, "lsn", h->lsn);
	report_time(o, "time", h->time_us);
	report_text(o, "host", h->host);
	for (size_t i = 0; i < h->n; i++)
		json_array_append_new(list, json_string(h->holders[i].name));
	json_object_set_new(o, "repositories", list);
	return o;
}

int
report_tails(struct buf *b, const struct info *info, struct err *err)
{
	char text[TAIL_TEXT];
	int rc = 0;

	if (!info->tails.reached && info->tails.newest.sysid != 0) {
		tail_describe(text, &info->tails.newest, info->tails.said, info->segment_size);
		rc = buf_printf(b, err, "NO REPOSITORY that answers has what was acknowledged: %s\n", text);
	}
	if (rc == 0 && info->tails_unread.kind != 0)
		rc = buf_printf(b, err, "whether the end of the WAL is there was not compared: %s\n", info->tails_unread.msg);
	for (size_t i = 0; rc == 0 && i < info->n; i++) {
		const struct info_repository *r = &info->repositories[i];

		if (!r->tail.lost)
			continue;
		tail_describe(text, &r->tail.held, r->tail.said, info->segment_size);
		rc = buf_printf(b, err, "repository %s has LOST THE END of its WAL: it held %s\n", r->config->name, text);
	}
	return rc;
}
