/* index: what makes looking into years of WAL quick. */
#include <inttypes.h>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/wal_index.h"

static const struct cli_option options[] = {
    {.name = "dry-run", .type = CLI_FLAG, .doc = "say what would be written, by the names of segments alone"},
    {.name = NULL},
};

static json_t *
report(const struct wal_index_site *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->fanout->n; i++) {
		const struct fanout_target *t = &s->fanout->targets[i];
		const struct wal_index_result *r = &s->results[i];
		json_t *o = json_object();

		report_text(o, "repository", t->name);
		json_object_set_new(o, "complete", json_boolean(!t->failed));
		if (t->failed)
			report_text(o, "error", t->err.msg);
		report_number(o, "indexes", r->indexes);
		report_number(o, "segments", r->segments);
		report_number(o, "skipped", r->skipped);
		json_array_append_new(list, o);
	}
	return list;
}

static int
print_text(const struct cli_invocation *inv, const struct wal_index_site *s, struct err *err)
{
	const char *would = cli_flag(inv, "dry-run") ? "would be " : "";
	BUF_AUTO struct buf b = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->fanout->n; i++) {
		const struct wal_index_result *r = &s->results[i];

		if (s->fanout->targets[i].failed)
			continue;
		rc = buf_printf(&b, err, "%s: %" PRIu64 " index%s over %" PRIu64 " segments %swritten\n",
		    s->fanout->targets[i].name, r->indexes, r->indexes == 1 ? "" : "es", r->segments, would);
		if (rc == 0 && r->skipped > 0)
			rc = buf_printf(&b, err,
			    "%s: %" PRIu64 " segment%s could not be read and got none; pgcairn verify says why\n",
			    s->fanout->targets[i].name, r->skipped, r->skipped == 1 ? "" : "s");
	}
	return rc < 0 ? rc : output_text(&b, err);
}

static int
print(const struct cli_invocation *inv, const struct wal_index_site *s, struct err *err)
{
	const struct op *op = cli_context(inv);
	JSON_AUTO json_t *o = NULL;

	if (!cli_flag(inv, "json"))
		return print_text(inv, s, err);
	o = json_object();
	report_text(o, "cluster", op->cluster->name);
	json_object_set_new(o, "dry_run", json_boolean(cli_flag(inv, "dry-run")));
	json_object_set_new(o, "repositories", report(s));
	return output_json(o, err);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const struct wal_index_options o = {.dry_run = cli_flag(inv, "dry-run")};
	WAL_INDEX_SITE_AUTO struct wal_index_site s = {0};
	struct err err = {0};
	int rc = op_become_owner(op, &err), failed = 0;

	if (rc == 0)
		rc = wal_index_all(op, &o, &s, &err);
	for (size_t i = 0; rc == 0 && i < s.fanout->n; i++)
		if (s.fanout->targets[i].failed)
			failed = s.fanout->targets[i].err.kind;
	if (rc == 0)
		rc = print(inv, &s, &err);
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc == 0 ? failed : rc);
}

const struct cli_verb verb_index = {
    .name = "index",
    .summary = "say once for a thousand segments of WAL what is in them",
    .details =
	"Writes an index for every 1,024 segments that are archived, so that info, find and restore need not open each of "
	"them; a backup does the same at its end, for some. Nothing depends on it: without indexes everything is found, and "
	"slower. Needs no identity. Safe to repeat. Exit codes: 0 done; 1 a repository failed; 2 usage.",
    .options = options,
    .run = run,
};
