#include <inttypes.h>

#include "base/fs.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/adopt.h"

static const struct cli_option options[] = {
    {.name = "pgdata",
	.type = CLI_STRING,
	.value_name = "DIR",
	.doc = "the restored directory; its server has recovered and is stopped"},
    {.name = "without-repository",
	.type = CLI_STRING,
	.repeatable = true,
	.value_name = "NAME",
	.doc = "do not ask this one whether the timeline is free: it is gone for good"},
    {.name = "dry-run", .type = CLI_FLAG, .doc = "check everything, change nothing"},
    {.name = NULL},
};

static int
parse(const struct cli_invocation *inv, struct adopt_options *o, char **pgdata, const char **without, struct err *err)
{
	int rc;

	if (cli_value(inv, "pgdata") == NULL) {
		err_set(err, ERR_CONFIG, 0, "adopt needs --pgdata DIR");
		return err_hint(err, "the directory that pgcairn restore made");
	}
	rc = cli_list(inv, "without-repository", without, &o->repositories.n_without, err);
	if (rc < 0)
		return rc;
	o->repositories.without = without;
	o->dry_run = cli_flag(inv, "dry-run");
	return fs_real_path(cli_value(inv, "pgdata"), pgdata, err);
}

static json_t *
report(const struct adopt_options *o, const struct adopt_result *r)
{
	json_t *j = json_object();

	report_text(j, "pgdata", o->pgdata);
	json_object_set_new(j, "dry_run", json_boolean(o->dry_run));
	json_object_set_new(j, "already_adopted", json_boolean(r->already));
	if (r->already)
		return j;
	report_number(j, "timeline", r->timeline);
	report_lsn(j, "forked_at", r->fork);
	report_number(j, "segments_to_archive", r->segments);
	json_object_set_new(j, "timeline_complete", json_boolean(r->complete));
	return j;
}

static int
print_text(const struct op *op, const struct adopt_options *o, const struct adopt_result *r, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	const char *pgdata = op->cluster->pgdata;
	char fork[LSN_TEXT];
	int rc;

	if (r->already) {
		rc = buf_printf(&b, err, "'%s' is adopted already\n", o->pgdata);
		return rc < 0 ? rc : output_text(&b, err);
	}
	lsn_format(fork, r->fork);
	rc = buf_printf(&b, err,
	    "%s: timeline %" PRIu32
	    ", forked at %s\nit archives again when it is started: the history file and %zu segment%s first\n",
	    o->dry_run ? "it can be adopted; nothing was written" : "adopted", r->timeline, fork, r->segments,
	    r->segments == 1 ? "" : "s");
	if (rc == 0 && !r->complete)
		rc = buf_printf(
		    &b, err, "WAL that it wrote as a copy is gone: its timeline can be restored from the next backup on\n");
	if (rc == 0 && (pgdata == NULL || strcmp(pgdata, o->pgdata) != 0))
		rc = buf_printf(&b, err, "set pgdata = %s in the configuration, and conninfo to match\n", o->pgdata);
	if (rc == 0)
		rc = buf_printf(&b, err, "then take a base backup: pgcairn backup\n");
	return rc < 0 ? rc : output_text(&b, err);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	FREE_AUTO char *pgdata = NULL;
	const char *without[CLI_LIST_MAX];
	struct adopt_options o = {0};
	struct adopt_result r;
	struct err err = {0};
	int rc = parse(inv, &o, &pgdata, without, &err);

	o.pgdata = pgdata;
	if (rc == 0)
		rc = adopt_run(op, &o, &r, &err);
	if (rc == 0 && cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(&o, &r);

		rc = output_json(j, &err);
	} else if (rc == 0) {
		rc = print_text(op, &o, &r, &err);
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc);
}

const struct cli_verb verb_adopt = {
    .name = "adopt",
    .summary = "make a restored copy the cluster: it archives from now on",
    .details = "Takes back what restore wrote to keep a copy from archiving and from a publisher's changes. The copy has ended "
	       "recovery and "
	       "is stopped; refused when its timeline is in a repository already, or when the original still runs: two servers "
	       "that archive "
	       "for one cluster destroy each other's recovery. Exit codes: 0 done, also when it was adopted before; 1 failed; "
	       "2 usage; 4 "
	       "refused.",
    .options = options,
    .run = run,
};
