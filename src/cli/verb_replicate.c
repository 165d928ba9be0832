/* replicate: one repository gets what it lacks from the others. */
#include <inttypes.h>

#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/replicate.h"

static const struct cli_option options[] = {
    {.name = "to", .type = CLI_STRING, .value_name = "REPOSITORY", .doc = "the one that gets what it lacks; must be given"},
    {.name = "from",
	.type = CLI_STRING,
	.repeatable = true,
	.value_name = "REPOSITORY",
	.doc = "a repository to copy from; again for another one (default: all others)"},
    {.name = "dry-run", .type = CLI_FLAG, .doc = "say what lacks, copy nothing"},
    {.name = NULL},
};

static json_t *
troubles_json(const struct replicate_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n; i++) {
		json_t *o = json_object();

		report_text(o, "repository", r->list[i].repository);
		if (r->list[i].object[0] != '\0')
			report_text(o, "object", r->list[i].object);
		json_object_set_new(o, "error", report_err(&r->list[i].err));
		json_array_append_new(list, o);
	}
	return list;
}

static int
print_json(const struct op *op, const struct replicate_options *o, const struct replicate_result *r, struct err *err)
{
	JSON_AUTO json_t *j = json_object();

	report_text(j, "cluster", op->cluster->name);
	report_text(j, "to", o->to);
	json_object_set_new(j, "dry_run", json_boolean(o->dry_run));
	report_number(j, "copied", r->wal.copied);
	report_number(j, "bytes", r->wal.bytes);
	report_number(j, "lacking", r->wal.lacking);
	report_number(j, "lacking_bytes", r->wal.lacking_bytes);
	if (r->wal.oldest_us != 0)
		report_time(j, "lacking_since", r->wal.oldest_us);
	json_object_set_new(j, "heard_all", json_boolean(r->wal.heard_all));
	report_number(j, "found", r->wal.troubles);
	json_object_set_new(j, "troubles", troubles_json(r));
	return output_json(j, err);
}

static int
print_text(const struct replicate_options *o, const struct replicate_result *r, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	char copied[16], lacking[16];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++)
		rc = buf_printf(&b, err, "%s: %s%s%s\n  remedy: %s\n", r->list[i].repository, r->list[i].object,
		    r->list[i].object[0] != '\0' ? ": " : "", r->list[i].err.msg, err_remedy(&r->list[i].err));
	str_from_size(copied, sizeof(copied), r->wal.bytes);
	str_from_size(lacking, sizeof(lacking), r->wal.lacking_bytes);
	if (rc == 0 && !o->dry_run)
		rc = buf_printf(&b, err, "%s: %" PRIu64 " objects copied, %s\n", o->to, r->wal.copied, copied);
	if (rc == 0 && (r->wal.lacking > 0 || o->dry_run))
		rc = buf_printf(&b, err, "%s: %s%" PRIu64 " objects of WAL lack, %s\n", o->to,
		    r->wal.heard_all ? "" : "at least ", r->wal.lacking, lacking);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const struct progress_options shown = {
	    .fd = STDERR_FILENO, .label = "replicate", .log = op->log, .disabled = cli_flag(inv, "quiet")};
	const char *from[CLI_LIST_MAX];
	struct replicate_options o = {.to = cli_value(inv, "to"), .from = from, .dry_run = cli_flag(inv, "dry-run")};
	struct replicate_result r = {0};
	struct err err = {0};
	int rc = cli_list(inv, "from", from, &o.n_from, &err);

	if (rc == 0 && o.to == NULL) {
		rc = err_set(&err, ERR_CONFIG, 0, "replicate needs to know where to: --to REPOSITORY");
		(void)err_hint(&err, "pgcairn info names the repositories");
	}
	if (rc == 0) {
		PROGRESS_AUTO struct progress *progress = progress_new(&shown);

		o.progress = (struct op_progress){progress_show, progress};
		rc = replicate_run(op, &o, &r, &err);
	}
	if (rc == 0)
		rc = cli_flag(inv, "json") ? print_json(op, &o, &r, &err) : print_text(&o, &r, &err);
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	rc = rc < 0                                   ? exit_code_of(rc)
	     : r.wal.troubles > 0 || !r.wal.heard_all ? EXIT_FOUND
	     : !o.dry_run && r.wal.lacking > 0        ? EXIT_FOUND
						      : EXIT_DONE;
	replicate_result_free(&r);
	return rc;
}

const struct cli_verb verb_replicate = {
    .name = "replicate",
    .summary = "copy what one repository lacks from the others",
    .details = "WAL with its keys, history files, gaps and conflicts, as they are stored and verified on the way, without any "
	       "key of this host; base backups are not copied yet. Safe to repeat and to interrupt. Nothing is overwritten: "
	       "other content under a taken name is reported. Exit codes: 0 done; 1 the repository could not be written to, or "
	       "no other could be asked; 2 configuration; 3 something could not be copied.",
    .options = options,
    .run = run,
};
