#include <inttypes.h>

#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report_plan.h"
#include "cli/target_option.h"
#include "cli/verbs.h"
#include "ops/plan.h"

static const struct cli_option options[] = {
    {.name = "time", .type = CLI_STRING, .value_name = "TIME", .doc = "a moment, with its offset: 2026-01-31 14:59:00+00"},
    {.name = "lsn", .type = CLI_STRING, .value_name = "LSN", .doc = "a place in the WAL"},
    {.name = "xid", .type = CLI_STRING, .value_name = "XID", .doc = "the end of a transaction"},
    {.name = "name", .type = CLI_STRING, .value_name = "NAME", .doc = "a restore point (pg_create_restore_point)"},
    {.name = "timeline",
	.type = CLI_INT,
	.value_name = "N",
	.doc = "along the path to timeline N (default: the newest)",
	.lo = 1,
	.hi = UINT32_MAX},
    {.name = "without-repository",
	.type = CLI_STRING,
	.repeatable = true,
	.value_name = "NAME",
	.doc = "look without a repository that does not open"},
    {.name = NULL},
};

static int
parse(const struct cli_invocation *inv, struct plan_options *o, const char **without, struct err *err)
{
	size_t given;
	int rc = target_option_parse(inv, "", &o->target, &given, err);

	if (rc < 0)
		return rc;
	if (given != 1) {
		err_set(err, ERR_CONFIG, 0, "find needs exactly one of --time, --lsn, --xid, --name");
		return err_hint(err, "see pgcairn find --help");
	}
	rc = cli_list(inv, "without-repository", without, &o->repositories.n_without, err);
	o->repositories.without = without;
	o->timeline = (timeline_t)cli_int(inv, "timeline", 0);
	return rc;
}

static json_t *
names_json(const struct plan *p, uint32_t mask)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->n; i++)
		if ((mask & UINT32_C(1) << i) != 0)
			json_array_append_new(list, json_string(p->repositories[i]->name));
	return list;
}

static json_t *
report(const struct plan_options *o, const struct plan *p)
{
	json_t *j = json_object();
	char text[128];

	target_describe(&o->target, text, sizeof(text));
	report_text(j, "target", text);
	report_text(j, "label", p->backup->label);
	json_object_set_new(j, "repositories", names_json(p, p->backup_mask));
	report_number(j, "path", p->path.timeline);
	report_number(j, "timeline", p->stop.timeline);
	report_plan(j, p);
	json_object_set_new(j, "last_segment_in", names_json(p, wal_chain_mask(p->chain, p->stop.link)));
	return j;
}

static int
print_names(struct buf *b, const struct plan *p, uint32_t mask, struct err *err)
{
	const char *separator = "";
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->n; i++) {
		if ((mask & UINT32_C(1) << i) == 0)
			continue;
		rc = buf_printf(b, err, "%s%s", separator, p->repositories[i]->name);
		separator = ", ";
	}
	return rc < 0 ? rc : buf_printf(b, err, "\n");
}

static int
print_text(const struct plan_options *o, const struct plan *p, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	char what[128];
	int rc;

	target_describe(&o->target, what, sizeof(what));
	rc = buf_printf(&b, err, "target: %s\nbackup: %s, in ", what, p->backup->label);
	if (rc == 0)
		rc = print_names(&b, p, p->backup_mask, err);
	if (rc == 0)
		rc = report_plan_text(&b, p, &o->target, err);
	if (rc == 0)
		rc = buf_printf(&b, err, "its segment is of timeline %" PRIu32 " and in ", p->stop.timeline);
	if (rc == 0)
		rc = print_names(&b, p, wal_chain_mask(p->chain, p->stop.link), err);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const char *without[CLI_LIST_MAX];
	KEYRING_AUTO struct keyring *ring = NULL;
	PLAN_AUTO struct plan *p = NULL;
	struct plan_options o = {0};
	struct err err = {0};
	int rc = parse(inv, &o, without, &err);

	if (rc == 0)
		rc = op_open_keyring(op, &ring, &err);
	if (rc == 0)
		rc = plan_make(op, &o, ring, &p, &err);
	if (rc == 0 && cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(&o, p);

		rc = output_json(j, &err);
	} else if (rc == 0) {
		rc = print_text(&o, p, &err);
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc);
}

const struct cli_verb verb_find = {
    .name = "find",
    .summary = "where a moment lies, which backup and WAL reach it",
    .details = "Proves, as restore does, that recovery would stop there, over all active repositories together; the disk is "
	       "not touched. "
	       "A time, a transaction and a name are looked for in WAL records, which needs the identity. Exit codes: 0 it is "
	       "reached; 1 "
	       "failed; 2 usage; 4 it is not reachable.",
    .options = options,
    .run = run,
};
