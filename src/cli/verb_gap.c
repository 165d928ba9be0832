#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "ops/gap.h"

static const struct cli_option options[] = {
    {.name = "reason", .type = CLI_STRING, .value_name = "TEXT", .doc = "record: why; it is shown wherever the gap is met"},
    {.name = "dry-run", .type = CLI_FLAG, .doc = "record: say what would be recorded, store nothing"},
    {.name = NULL},
};

static json_t *
gap_json(const struct gap_record *g)
{
	json_t *o = json_object();
	char text[2 * CONTENT_ID + WAL_NAME_MAX];

	wal_name_format(text, &g->name);
	report_text(o, "file", text);
	report_sysid(o, "system_identifier", g->sysid);
	report_number(o, "timeline", g->name.timeline);
	json_set_hex(o, "content_id", g->content_id, CONTENT_ID);
	json_object_set_new(o, "damaged", json_boolean(g->damaged));
	report_text(o, "reason", g->decision.reason);
	if (g->damaged)
		return o;
	report_lsn(o, "start_lsn", g->start);
	report_lsn(o, "end_lsn", g->end);
	report_number(o, "size", g->size);
	report_text(o, "refused", g->refused);
	report_decision(o, &g->decision);
	return o;
}

static int
print_list(const struct cli_invocation *inv, const struct gap_rows *rows, struct err *err)
{
	static const struct table_column columns[] = {
	    {"file", TABLE_LEFT}, {"repository", TABLE_LEFT}, {"state", TABLE_LEFT}, {"decided", TABLE_LEFT}};
	TABLE_AUTO struct table *t = NULL;
	BUF_AUTO struct buf b = {0};
	JSON_AUTO json_t *o = json_object();
	json_t *list = json_array();
	int rc = table_new(&t, columns, ARRAY_LEN(columns), err);

	json_object_set_new(o, "gaps", list);
	report_survey(o, &rows->survey);
	for (size_t i = 0; rc == 0 && i < rows->n; i++) {
		const struct gap_row *row = &rows->list[i];
		json_t *one = gap_json(&row->record);
		char file[WAL_NAME_MAX], why[DECISION_TEXT];

		report_text(one, "repository", row->repository);
		json_object_set_new(one, "healed", json_boolean(row->healed));
		json_array_append_new(list, one);
		wal_name_format(file, &row->record.name);
		decision_describe(&row->record.decision, why);
		rc = table_cell(t, err, "%s", file);
		if (rc == 0)
			rc = table_cell(t, err, "%s", row->repository);
		if (rc == 0)
			rc = table_cell(t, err, "%s", row->healed ? "closed" : "open");
		if (rc == 0)
			rc = table_cell(t, err, "%s", why);
	}
	if (rc == 0 && cli_flag(inv, "json"))
		return output_json(o, err);
	if (rc == 0)
		rc = rows->n == 0 ? buf_printf(&b, err, "nothing was given up%s\n",
					rows->survey.n_silent > 0 ? " in the repositories that answer" : "")
				  : table_print(t, &b, err);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
print_record(const struct cli_invocation *inv, const struct gap_result *r, struct err *err)
{
	const struct gap_record *g = &r->record;
	bool dry_run = cli_flag(inv, "dry-run");
	BUF_AUTO struct buf b = {0};
	char file[WAL_NAME_MAX], from[LSN_TEXT], to[LSN_TEXT], why[DECISION_TEXT];
	int rc;

	if (cli_flag(inv, "json")) {
		JSON_AUTO json_t *o = gap_json(g);

		json_object_set_new(o, "dry_run", json_boolean(dry_run));
		report_number(o, "stored", r->stored);
		report_number(o, "existed", r->existed);
		return output_json(o, err);
	}
	wal_name_format(file, &g->name);
	lsn_format(from, g->start);
	lsn_format(to, g->end);
	decision_describe(&g->decision, why);
	rc = buf_printf(&b, err, "%s: refused because %s\n%s %s\n", file, g->refused,
	    dry_run                            ? "would be given up"
	    : r->stored == 0 && r->existed > 0 ? "was given up already"
					       : "given up",
	    why);
	if (rc == 0 && g->name.kind == WAL_NAME_SEGMENT)
		rc = buf_printf(&b, err,
		    "no moment from %s on can be restored until the next base backup: take one now, pgcairn backup\n"
		    "a good copy of the segment (to %s) that is archived under its name closes the gap\n",
		    from, to);
	return rc < 0 ? rc : output_text(&b, err);
}

/* EXIT_FOUND when not every repository answered. */
static int
run_list(struct cli_invocation *inv, struct err *err)
{
	struct gap_rows rows;
	int rc = gap_list(cli_context(inv), &rows, err);

	if (rc == 0)
		rc = print_list(inv, &rows, err);
	if (rc == 0 && rows.survey.n_silent > 0) {
		survey_tell(&rows.survey, cli_context(inv));
		rc = EXIT_FOUND;
	}
	gap_rows_free(&rows);
	return rc;
}

static int
run_record(struct cli_invocation *inv, struct err *err)
{
	const struct gap_options o = {
	    .segment = cli_argument(inv, 1), .reason = cli_value(inv, "reason"), .dry_run = cli_flag(inv, "dry-run")};
	struct gap_result r;
	int rc;

	if (o.segment == NULL || o.reason == NULL) {
		err_set(err, ERR_CONFIG, 0, "gap record needs %s", o.segment == NULL ? "a segment" : "a reason");
		return err_hint(err, "pgcairn gap record SEGMENT --reason TEXT");
	}
	rc = gap_record(cli_context(inv), &o, &r, err);
	return rc < 0 ? rc : print_record(inv, &r, err);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const char *what = cli_argument(inv, 0);
	struct err err = {0};
	int rc;

	if (strcmp(what, "list") == 0 && cli_n_arguments(inv) == 1) {
		rc = run_list(inv, &err);
	} else if (strcmp(what, "record") == 0) {
		rc = run_record(inv, &err);
	} else {
		rc = err_set(&err, ERR_CONFIG, 0, "gap %s: not known", what);
		err_hint(&err, "pgcairn gap list, or pgcairn gap record SEGMENT --reason TEXT");
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return rc > 0 ? rc : exit_code_of(rc);
}

const struct cli_verb verb_gap = {
    .name = "gap",
    .summary = "give up a file of WAL that cannot be archived, and lose nothing",
    .details =
	"record keeps the bytes of a segment that archiving refuses in quarantine, with who gave it up and why, and lets "
	"archiving go on; no moment behind it can be restored until the next base backup. SEGMENT is a path or a name in "
	"pg_wal. A good copy that is archived later closes the gap. list shows what was given up. Exit codes: 0 done; "
	"1 failed; 2 usage; 3 list: a repository is silent; 4 refused: the file is fine, or not this server's.",
    .options = options,
    .arguments = "list | record SEGMENT",
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
