#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "ops/conflict.h"

static const char *const sides[] = {"first", "other", NULL};

static const struct cli_option options[] = {
    {.name = "keep", .type = CLI_WORD, .words = sides, .doc = "resolve: which content is the right one"},
    {.name = "reason", .type = CLI_STRING, .value_name = "TEXT", .doc = "resolve: why"},
    {.name = "release", .type = CLI_FLAG, .doc = "resolve: the server that brought the other content may archive on"},
    {.name = "content",
	.type = CLI_STRING,
	.value_name = "ID",
	.doc = "which of several others, by its content id; show --output: or 'first'"},
    {.name = "output", .type = CLI_STRING, .value_name = "FILE", .doc = "show: the bytes into a new file; needs the identity"},
    {.name = "dry-run", .type = CLI_FLAG, .doc = "resolve: say what would be decided, store nothing"},
    {.name = NULL},
};

static json_t *
side_json(const struct conflict_side *s)
{
	json_t *o = json_object();

	if (!s->known) {
		json_object_set_new(o, "error", report_err(&s->why));
		return o;
	}
	json_set_hex(o, "content_id", s->content_id, CONTENT_ID);
	report_number(o, "size", s->size);
	report_text(o, "signer", s->signer);
	if (!s->is_segment)
		return o;
	report_lsn(o, "start_lsn", s->start);
	report_lsn(o, "last_record_lsn", s->last_record);
	report_lsn(o, "end_lsn", s->end);
	report_number(o, "records", s->records);
	report_number(o, "commits", s->commits);
	if (s->commits > 0) {
		report_time(o, "first_time", s->first_time_us);
		report_time(o, "last_time", s->last_time_us);
	}
	return o;
}

static json_t *
view_json(const struct conflict_view *v, bool with_sides)
{
	json_t *o = json_object();

	report_text(o, "repository", v->repository);
	report_text(o, "object", v->conflict.object);
	json_set_hex(o, "content_id", v->conflict.content_id, CONTENT_ID);
	report_number(o, "stored", v->conflict.stored);
	json_object_set_new(o, "resolved", json_boolean(v->conflict.resolved));
	json_object_set_new(o, "released", json_boolean(v->conflict.released));
	if (v->conflict.resolved)
		report_decision(o, &v->conflict.record.decision);
	if (!with_sides)
		return o;
	json_object_set_new(o, "first", side_json(&v->first));
	json_object_set_new(o, "other", side_json(&v->other));
	if (v->compared && !v->same)
		report_number(o, "parts_at_byte", v->parts_at);
	if (v->compared && !v->same && v->other.is_segment)
		report_lsn(o, "parts_at_lsn", v->other.start + v->parts_at);
	return o;
}

static int
print_json(const struct conflict_views *v, bool with_sides, struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	json_t *list = json_array();

	for (size_t i = 0; i < v->n; i++)
		json_array_append_new(list, view_json(&v->list[i], with_sides));
	json_object_set_new(o, "conflicts", list);
	report_survey(o, &v->survey);
	return output_json(o, err);
}

static int
print_list(const struct conflict_views *v, struct err *err)
{
	static const struct table_column columns[] = {
	    {"object", TABLE_LEFT}, {"other content", TABLE_LEFT}, {"repository", TABLE_LEFT}, {"state", TABLE_LEFT}};
	TABLE_AUTO struct table *t = NULL;
	BUF_AUTO struct buf b = {0};
	int rc = table_new(&t, columns, ARRAY_LEN(columns), err);

	for (size_t i = 0; rc == 0 && i < v->n; i++) {
		const struct conflict *c = &v->list[i].conflict;
		char id[2 * CONTENT_ID + 1], why[DECISION_TEXT] = "OPEN";

		str_to_hex(id, c->content_id, CONTENT_ID);
		if (c->resolved)
			decision_describe(&c->record.decision, why);
		rc = table_cell(t, err, "%s", c->object);
		if (rc == 0)
			rc = table_cell(t, err, "%s", id);
		if (rc == 0)
			rc = table_cell(t, err, "%s", v->list[i].repository);
		if (rc == 0)
			rc = table_cell(t, err, "%s%s", c->released ? "released, " : c->resolved ? "first kept " : "", why);
	}
	if (rc == 0)
		rc = v->n == 0 ? buf_printf(&b, err, "no conflict%s\n",
				     v->survey.n_silent > 0 ? " in the repositories that answer" : "")
			       : table_print(t, &b, err);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
print_side(struct buf *b, const char *which, const struct conflict_side *s, struct err *err)
{
	char id[2 * CONTENT_ID + 1], last[LSN_TEXT], end[LSN_TEXT], when[32];
	int rc;

	if (!s->known)
		return buf_printf(b, err, "  %s: %s\n", which, s->why.msg);
	str_to_hex(id, s->content_id, CONTENT_ID);
	rc = buf_printf(b, err, "  %s: content %s, %" PRIu64 " bytes, signed by %s\n", which, id, s->size, s->signer);
	if (rc < 0 || !s->is_segment)
		return rc;
	lsn_format(last, s->last_record);
	lsn_format(end, s->end);
	clock_format_utc(when, sizeof(when), s->last_time_us);
	return buf_printf(b, err, "    %" PRIu64 " records, the last at %s, to %s; %" PRIu64 " transactions end%s%s\n",
	    s->records, last, end, s->commits, s->commits > 0 ? ", the last at " : "", s->commits > 0 ? when : "");
}

static int
print_show(const struct conflict_views *v, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < v->n; i++) {
		const struct conflict_view *one = &v->list[i];
		char lsn[LSN_TEXT], why[DECISION_TEXT];

		rc = buf_printf(&b, err, "%s in repository %s\n", one->conflict.object, one->repository);
		if (rc == 0)
			rc = print_side(&b, "first, in service", &one->first, err);
		if (rc == 0)
			rc = print_side(&b, "other", &one->other, err);
		lsn_format(lsn, one->other.start + one->parts_at);
		if (rc == 0 && !one->compared)
			rc = buf_printf(&b, err, "  where they part is seen with the identity only\n");
		else if (rc == 0 && !one->same)
			rc = buf_printf(&b, err, "  they part at byte %" PRIu64 "%s%s\n", one->parts_at,
			    one->other.is_segment ? ", " : "", one->other.is_segment ? lsn : "");
		if (rc == 0 && one->conflict.resolved) {
			decision_describe(&one->conflict.record.decision, why);
			rc = buf_printf(&b, err, "  the first is kept%s %s\n",
			    one->conflict.released ? " and the other released" : "", why);
		}
	}
	return rc < 0 ? rc : output_text(&b, err);
}

/* EXIT_FOUND when not every repository answered: what is only there was not looked at, nor decided there. */
static int
finish(const struct cli_invocation *inv, struct conflict_views *v, int rc)
{
	if (rc == 0 && v->survey.n_silent > 0) {
		survey_tell(&v->survey, cli_context(inv));
		rc = EXIT_FOUND;
	}
	conflict_views_free(v);
	return rc;
}

static int
run_list(const struct cli_invocation *inv, struct err *err)
{
	struct conflict_views v;
	int rc = conflict_list(cli_context(inv), NULL, &v, err);

	if (rc == 0)
		rc = cli_flag(inv, "json") ? print_json(&v, false, err) : print_list(&v, err);
	return finish(inv, &v, rc);
}

static int
run_show(const struct cli_invocation *inv, const char *object, struct err *err)
{
	const char *output = cli_value(inv, "output");
	struct conflict_views v;
	int rc;

	if (output != NULL)
		return conflict_export(cli_context(inv), object, cli_value(inv, "content"), output, err);
	rc = conflict_show(cli_context(inv), object, &v, err);
	if (rc == 0)
		rc = cli_flag(inv, "json") ? print_json(&v, true, err) : print_show(&v, err);
	return finish(inv, &v, rc);
}

static int
run_resolve(const struct cli_invocation *inv, const char *object, struct err *err)
{
	const char *keep = cli_value(inv, "keep");
	const struct conflict_choice c = {
	    .object = object,
	    .content = cli_value(inv, "content"),
	    .reason = cli_value(inv, "reason"),
	    .keep_other = keep != NULL && strcmp(keep, "other") == 0,
	    .release = cli_flag(inv, "release"),
	    .dry_run = cli_flag(inv, "dry-run"),
	};
	struct conflict_views v;
	int rc;

	if (keep == NULL || c.reason == NULL) {
		err_set(err, ERR_CONFIG, 0, "conflict resolve needs %s", keep == NULL ? "--keep" : "a reason");
		return err_hint(err, "pgcairn conflict resolve OBJECT --keep first --reason TEXT");
	}
	rc = conflict_resolve(cli_context(inv), &c, &v, err);
	if (rc == 0)
		rc = cli_flag(inv, "json") ? print_json(&v, true, err) : print_show(&v, err);
	return finish(inv, &v, rc);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const char *what = cli_argument(inv, 0), *object = cli_argument(inv, 1);
	struct err err = {0};
	int rc;

	if (strcmp(what, "list") == 0 && object == NULL) {
		rc = run_list(inv, &err);
	} else if (strcmp(what, "show") == 0 && object != NULL) {
		rc = run_show(inv, object, &err);
	} else if (strcmp(what, "resolve") == 0 && object != NULL) {
		rc = run_resolve(inv, object, &err);
	} else {
		rc = err_set(&err, ERR_CONFIG, 0, "conflict %s%s", what,
		    object == NULL ? ": an object is missing, or it is not known" : ": not known");
		err_hint(&err, "pgcairn conflict list | show OBJECT | resolve OBJECT --keep first --reason TEXT");
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return rc > 0 ? rc : exit_code_of(rc);
}

const struct cli_verb verb_conflict = {
    .name = "conflict",
    .summary = "other content that came under a taken name: look, and decide",
    .details =
	"The first copy of a name stays in service, another content is kept beside it, and the server that brought it cannot "
	"archive on. show compares the two; with the identity on this host it says where they part. resolve --keep first "
	"writes the decision down: info and check fall silent; the losing server still has to be made anew, unless --release "
	"lets it go on. --keep other is refused, since nothing is ever overwritten, and says what to do instead. OBJECT is a "
	"name as list prints it, or the file's alone. Exit codes: 0 done; 1 failed; 2 usage; 3 a repository is silent, the "
	"others were asked; 4 refused.",
    .options = options,
    .arguments = "list | show OBJECT | resolve OBJECT",
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
