#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report_tail.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/watch.h"

static json_t *
backups_json(const struct info_repository *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->backups.n; i++) {
		const struct backup_entry *e = &r->backups.list[i];
		const struct manifest_head *h = &e->head;
		json_t *o = json_object();

		report_text(o, "label", e->label);
		json_object_set_new(o, "damaged", json_boolean(e->damaged));
		if (e->damaged) {
			json_object_set_new(o, "error", report_err(&e->err));
			json_array_append_new(list, o);
			continue;
		}
		report_text(o, "type", h->incremental ? "incremental" : "full");
		report_sysid(o, "system_identifier", h->sysid);
		report_number(o, "major", h->major);
		report_number(o, "timeline", h->start_timeline);
		report_lsn(o, "start_lsn", h->start_lsn);
		report_lsn(o, "stop_lsn", h->stop_lsn);
		report_time(o, "start_time", h->start_time_us);
		report_time(o, "stop_time", h->stop_time_us);
		report_number(o, "size", h->size);
		report_number(o, "stored", e->stored);
		report_number(o, "files", h->files);
		report_number(o, "bad_pages", h->bad_pages);
		json_object_set_new(o, "data_checksums", json_boolean(h->data_checksums));
		json_object_set_new(o, "from_standby", json_boolean(h->from_standby));
		report_number(o, "server_version", (uint64_t)h->server_version);
		json_object_set_new(o, "wal_complete", json_boolean(r->usable != NULL && r->usable[i]));
		json_object_set_new(o, "proven", json_false()); /* no drill has restored it */
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
windows_json(const struct windows *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->n; i++) {
		json_t *o = json_object();

		report_sysid(o, "system_identifier", w->list[i].sysid);
		report_number(o, "timeline", w->list[i].timeline);
		report_lsn(o, "from_lsn", w->list[i].from_lsn);
		report_time(o, "from_time", w->list[i].from_time_us);
		report_lsn(o, "to_lsn", w->list[i].to_lsn);
		report_time(o, "to_time", w->list[i].to_time_us);
		report_text(o, "backup", w->list[i].backup);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
gaps_json(const struct windows *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->n_gaps; i++) {
		json_t *o = json_object();

		report_sysid(o, "system_identifier", w->gaps[i].sysid);
		report_number(o, "timeline", w->gaps[i].timeline);
		report_text(o, "first", w->gaps[i].first);
		report_text(o, "last", w->gaps[i].last);
		report_number(o, "missing", w->gaps[i].missing);
		report_text(o, "what", w->gaps[i].what);
		json_object_set_new(o, "recorded", json_boolean(w->gaps[i].recorded));
		if (w->gaps[i].recorded)
			report_decision(o, &w->gaps[i].decision);
		json_array_append_new(list, o);
	}
	return list;
}

static size_t
n_open(const struct info_repository *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->conflicts.n; i++)
		n += !r->conflicts.list[i].resolved;
	return n;
}

static json_t *
conflicts_json(const struct info_repository *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->conflicts.n; i++) {
		const struct conflict *c = &r->conflicts.list[i];
		json_t *o;

		if (c->resolved)
			continue;
		o = json_object();
		report_text(o, "object", c->object);
		json_set_hex(o, "content_id", c->content_id, CONTENT_ID);
		report_number(o, "size", c->stored);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
lineage_json(const struct repository *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_lineage; i++) {
		json_t *one = json_object();

		report_sysid(one, "system_identifier", r->lineage[i].sysid);
		report_number(one, "major", r->lineage[i].major);
		report_number(one, "segment_size", r->lineage[i].segment_size);
		json_array_append_new(list, one);
	}
	return list;
}

static void
keys_json(json_t *o, const struct repository *r)
{
	json_t *signers = json_array(), *recipients = json_array();
	char text[KEY_TEXT];

	for (size_t i = 0; i < r->n_signers; i++) {
		json_t *one = json_object();

		key_format(text, KEY_TYPE_SIGNER, r->signers[i]);
		report_text(one, "key", text);
		report_text(one, "name", r->signer_names[i]);
		json_array_append_new(signers, one);
	}
	for (size_t i = 0; i < r->recipients.n; i++) {
		json_t *one = json_object();

		key_format(text, KEY_TYPE_RECIPIENT, r->recipients.list[i].key);
		report_text(one, "key", text);
		report_text(one, "name", r->recipients.list[i].name);
		json_array_append_new(recipients, one);
	}
	report_text(o, "encryption", r->encrypted ? "on" : "none");
	report_text(o, "first_signer", r->pinned ? "pinned" : "trusted on first use");
	json_object_set_new(o, "signers", signers);
	json_object_set_new(o, "recipients", recipients);
}

static json_t *
repository_json(const struct info_repository *r)
{
	json_t *o = json_object();

	report_text(o, "name", r->config->name);
	report_text(o, "url", r->config->url);
	report_text(o, "state", info_state_name(r->state));
	if (r->state == INFO_UNREACHABLE)
		json_object_set_new(o, "error", report_err(&r->err));
	if (r->repo != NULL)
		report_text(o, "id", r->repo->id);
	if (r->repo != NULL && r->repo->has_cluster) {
		json_object_set_new(o, "lineage", lineage_json(r->repo));
		keys_json(o, r->repo);
	}
	if (r->has_caps) {
		json_object_set_new(o, "create_only", json_boolean(r->caps.create_only));
		json_object_set_new(o, "writer_can_delete", json_boolean(r->caps.writer_can_delete));
	}
	if (r->has_space) {
		report_number(o, "free", r->free_bytes);
		report_number(o, "total", r->total_bytes);
	}
	json_object_set_new(o, "backups", backups_json(r));
	json_object_set_new(o, "windows", windows_json(&r->windows));
	json_object_set_new(o, "gaps", gaps_json(&r->windows));
	json_object_set_new(o, "conflicts", conflicts_json(r));
	report_number(o, "conflicts_resolved", r->conflicts.n - n_open(r));
	report_number(o, "segments", r->segments);
	report_number(o, "unverified_segments", r->windows.unverified);
	report_text(o, "newest_segment", r->newest);
	if (r->tail.lost)
		json_object_set_new(o, "tail_lost", report_high_water(&r->tail.held));
	return o;
}

static json_t *
archiving_json(const struct info *info)
{
	json_t *o = json_object();

	if (info->stop_unknown.kind != 0) {
		json_object_set_new(o, "stopped", json_null());
		json_object_set_new(o, "error", report_err(&info->stop_unknown));
		return o;
	}
	json_object_set_new(o, "stopped", json_boolean(info->stopped));
	if (info->stopped)
		report_decision(o, &info->stop);
	return o;
}

static json_t *
report(const struct op *op, const struct info *info)
{
	json_t *o = json_object(), *list = json_array();

	report_text(o, "cluster", op->cluster->name);
	json_object_set_new(o, "archiving", archiving_json(info));
	if (info->tails_unread.kind != 0)
		report_text(o, "high_water_unread", info->tails_unread.msg);
	if (info->tails.newest.sysid != 0) {
		json_object_set_new(o, "high_water", report_high_water(&info->tails.newest));
		json_object_set_new(o, "high_water_reached", json_boolean(info->tails.reached));
	}
	for (size_t i = 0; i < info->n; i++)
		json_array_append_new(list, repository_json(&info->repositories[i]));
	json_object_set_new(o, "repositories", list);
	return o;
}

static int
print_backups(struct buf *b, const struct info_repository *r, struct err *err)
{
	static const struct table_column columns[] = {{"  backup", TABLE_LEFT}, {"type", TABLE_LEFT}, {"tli", TABLE_RIGHT},
	    {"start", TABLE_LEFT}, {"stop", TABLE_LEFT}, {"finished", TABLE_LEFT}, {"size", TABLE_RIGHT},
	    {"stored", TABLE_RIGHT}, {"remarks", TABLE_LEFT}};
	TABLE_AUTO struct table *t = NULL;
	int rc = table_new(&t, columns, ARRAY_LEN(columns), err);

	if (r->backups.n == 0)
		return buf_printf(b, err, "  no backup\n");
	for (size_t i = 0; rc == 0 && i < r->backups.n; i++) {
		const struct backup_entry *e = &r->backups.list[i];
		const struct manifest_head *h = &e->head;
		char from[LSN_TEXT], to[LSN_TEXT], when[32], size[16], stored[16], remarks[128];

		lsn_format(from, h->start_lsn);
		lsn_format(to, h->stop_lsn);
		clock_format_utc(when, sizeof(when), h->stop_time_us / 1000000 * 1000000);
		str_from_size(size, sizeof(size), h->size);
		str_from_size(stored, sizeof(stored), e->stored);
		(void)snprintf(remarks, sizeof(remarks), "unproven%s%s", r->usable[i] ? "" : ", WAL INCOMPLETE",
		    h->data_checksums ? "" : ", no data checksums");
		if (h->bad_pages > 0) {
			size_t n = strlen(remarks);

			(void)snprintf(remarks + n, sizeof(remarks) - n, ", %" PRIu64 " BAD PAGES", h->bad_pages);
		}
		rc = table_cell(t, err, "  %s", e->label);
		if (rc == 0)
			rc = table_cell(t, err, "%s", e->damaged ? "?" : h->incremental ? "incremental" : "full");
		if (rc == 0)
			rc = table_cell(t, err, "%" PRIu32, h->start_timeline);
		if (rc == 0)
			rc = table_cell(t, err, "%s", from);
		if (rc == 0)
			rc = table_cell(t, err, "%s", to);
		if (rc == 0)
			rc = table_cell(t, err, "%s", e->damaged ? "" : when);
		if (rc == 0)
			rc = table_cell(t, err, "%s", size);
		if (rc == 0)
			rc = table_cell(t, err, "%s", stored);
		if (rc == 0)
			rc = table_cell(t, err, "%s", e->damaged ? "DAMAGED: pgcairn verify" : remarks);
	}
	return rc < 0 ? rc : table_print(t, b, err);
}

/* " with PostgreSQL 15", where there is a choice. */
static const char *
major_of(const struct repository *r, uint64_t sysid, char out[32])
{
	const struct lineage_entry *e = repository_lineage(r, sysid);

	out[0] = '\0';
	if (r->n_lineage > 1 && e != NULL)
		(void)snprintf(out, 32, " with PostgreSQL %u", e->major);
	return out;
}

static int
print_wal(struct buf *b, const struct info_repository *r, struct err *err)
{
	const struct windows *w = &r->windows;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < w->n; i++) {
		char from[LSN_TEXT], to[LSN_TEXT], from_time[32], to_time[32], major[32];

		lsn_format(from, w->list[i].from_lsn);
		lsn_format(to, w->list[i].to_lsn);
		clock_format_utc(from_time, sizeof(from_time), w->list[i].from_time_us);
		clock_format_utc(to_time, sizeof(to_time), w->list[i].to_time_us);
		rc = buf_printf(b, err, "  restorable%s on timeline %" PRIu32 ": %s to %s (%s to %s)\n",
		    major_of(r->repo, w->list[i].sysid, major), w->list[i].timeline, from_time, to_time, from, to);
	}
	if (rc == 0 && w->n == 0)
		rc = buf_printf(b, err, "  NOTHING can be restored from this repository alone\n");
	for (size_t i = 0; rc == 0 && i < w->n_gaps; i++)
		rc = buf_printf(b, err, "  GAP on timeline %" PRIu32 " at %s: %s\n", w->gaps[i].timeline, w->gaps[i].first,
		    w->gaps[i].what);
	for (size_t i = 0; rc == 0 && i < r->conflicts.n; i++) {
		const struct conflict *c = &r->conflicts.list[i];
		char id[2 * CONTENT_ID + 1];

		if (c->resolved)
			continue;
		str_to_hex(id, c->content_id, CONTENT_ID);
		rc = buf_printf(b, err, "  CONFLICT: other content came for %s; it is kept as %s, %" PRIu64 " bytes\n",
		    c->object, id, c->stored);
	}
	if (rc == 0 && r->conflicts.n > n_open(r))
		rc = buf_printf(b, err, "  %zu conflicts were resolved: pgcairn conflict list\n", r->conflicts.n - n_open(r));
	if (rc == 0)
		rc = buf_printf(b, err, "  %" PRIu64 " segments of WAL%s%s\n", r->segments,
		    r->newest[0] != '\0' ? ", newest " : "", r->newest);
	if (rc == 0 && r->windows.unverified > 0)
		rc = buf_printf(b, err,
		    "  %" PRIu64 " of them behind a backup are UNVERIFIED, the last is %s: their PostgreSQL was not known\n",
		    r->windows.unverified, r->windows.last_unverified);
	return rc;
}

static int
print_keys(struct buf *b, const struct info_repository *r, struct err *err)
{
	const struct repository *repo = r->repo;
	char size[16], total[16];
	int rc = buf_printf(
	    b, err, "  encryption %s\n", repo->encrypted ? "on" : "NONE: whoever reads this repository reads the data");

	if (rc == 0)
		rc = buf_printf(b, err, "  first signer: %s\n",
		    repo->pinned ? "pinned" : "trusted on first use; a signers-file on this host would pin it");
	for (size_t i = 0; rc == 0 && i < repo->n_signers; i++)
		rc = buf_printf(b, err, "%s%s%s", i == 0 ? "  signers: " : ", ", repo->signer_names[i],
		    i + 1 == repo->n_signers ? "\n" : "");
	for (size_t i = 0; rc == 0 && i < repo->recipients.n; i++)
		rc = buf_printf(b, err, "%s%s%s", i == 0 ? "  recipients: " : ", ", repo->recipients.list[i].name,
		    i + 1 == repo->recipients.n ? "\n" : "");
	if (rc == 0 && r->has_caps && r->caps.writer_can_delete)
		rc = buf_printf(b, err, "  this host can delete what is here: protects against loss, not theft of the host\n");
	if (rc == 0 && r->has_space) {
		str_from_size(size, sizeof(size), r->free_bytes);
		str_from_size(total, sizeof(total), r->total_bytes);
		rc = buf_printf(b, err, "  free %s of %s\n", size, total);
	}
	return rc;
}

static int
print_repository(struct buf *b, const struct info_repository *r, struct err *err)
{
	int rc = buf_printf(b, err, "\nrepository %s: %s, %s\n", r->config->name, info_state_name(r->state), r->config->url);

	if (rc == 0 && r->repo != NULL)
		rc = buf_printf(b, err, "  id %s\n", r->repo->id);
	if (rc == 0 && r->state == INFO_UNREACHABLE)
		rc = buf_printf(b, err, "  %s\n", r->err.msg);
	if (rc == 0 && r->state == INFO_UNREACHABLE && r->err.hint[0] != '\0')
		rc = buf_printf(b, err, "  hint: %s\n", r->err.hint);
	if (rc == 0 && r->state == INFO_EMPTY)
		rc = buf_printf(b, err, "  it does not know this cluster: pgcairn init\n");
	if (rc < 0 || r->state != INFO_OK)
		return rc;
	rc = print_keys(b, r, err);
	if (rc == 0)
		rc = print_backups(b, r, err);
	return rc < 0 ? rc : print_wal(b, r, err);
}

static int
print_text(const struct op *op, const struct info *info, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	char text[DECISION_TEXT];
	int rc = buf_printf(&b, err, "cluster %s\n", op->cluster->name);

	if (rc == 0 && info->stopped) {
		decision_describe(&info->stop, text);
		rc = buf_printf(&b, err, "archiving from this host is STOPPED %s\n", text);
	}
	if (rc == 0 && info->stop_unknown.kind != 0)
		rc = buf_printf(
		    &b, err, "whether archiving from this host is stopped is NOT KNOWN: %s\n", info->stop_unknown.msg);
	if (rc == 0)
		rc = report_tails(&b, info, err);
	for (size_t i = 0; rc == 0 && i < info->n; i++)
		rc = print_repository(&b, &info->repositories[i], err);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
watch(const struct cli_invocation *inv, const struct op *op)
{
	struct err err = {0};
	int rc = watch_run(inv, &err);

	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	INFO_AUTO struct info info = {0};
	struct err err = {0};
	int rc;

	if (cli_flag(inv, "watch"))
		return watch(inv, op);
	rc = info_collect(op, &info, &err);

	if (rc == 0 && cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(op, &info);

		rc = output_json(j, &err);
	} else if (rc == 0) {
		rc = print_text(op, &info, &err);
	}
	if (rc < 0) {
		log_err(op->log, LOG_ERROR, &err);
		return exit_code_of(rc);
	}
	for (size_t i = 0; i < info.n; i++)
		if (info.repositories[i].state == INFO_UNREACHABLE)
			log_err(op->log, info.opened > 0 ? LOG_WARN : LOG_ERROR, &info.repositories[i].err);
	return info.opened > 0 ? EXIT_DONE : EXIT_FAILED;
}

static const struct cli_option options[] = {
    {.name = "watch", .type = CLI_FLAG, .doc = "show how WAL flows and each repository's lag, again and again"},
    {.name = "interval", .type = CLI_DURATION, .doc = "with --watch: the pause between two looks (2s)"},
    {.name = "count", .type = CLI_INT, .lo = 1, .doc = "with --watch: end after so many looks"},
    {.name = NULL},
};

const struct cli_verb verb_info = {
    .name = "info",
    .summary = "what is there: backups, restorable windows, gaps, conflicts",
    .details = "Looks at every repository alone and needs no key. A repository that does not open does not hide the others. "
	       "Exit codes: 0 "
	       "at least one was read; 1 none was; 2 configuration.",
    .options = options,
    .run = run,
};
