/* stop and start: two verbs about one decision. */
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/stop.h"

static const struct cli_option stop_options[] = {
    {.name = "reason", .type = CLI_STRING, .value_name = "TEXT", .doc = "why; it is shown wherever archiving is missed"},
    {.name = NULL},
};

static int
print(const struct cli_invocation *inv, bool stopped, bool changed, const struct decision *d, struct err *err)
{
	const struct op *op = cli_context(inv);
	BUF_AUTO struct buf b = {0};
	char text[DECISION_TEXT];
	int rc;

	if (cli_flag(inv, "json")) {
		JSON_AUTO json_t *o = json_object();

		report_text(o, "cluster", op->cluster->name);
		json_object_set_new(o, "stopped", json_boolean(stopped));
		json_object_set_new(o, "changed", json_boolean(changed));
		if (stopped)
			report_decision(o, d);
		return output_json(o, err);
	}
	if (!stopped) {
		rc = buf_printf(&b, err, "archiving of cluster %s %s on this host\n", op->cluster->name,
		    changed ? "goes on" : "was not stopped");
		return rc < 0 ? rc : output_text(&b, err);
	}
	decision_describe(d, text);
	rc = buf_printf(&b, err,
	    "archiving of cluster %s %s on this host %s\n"
	    "the server keeps its WAL in pg_wal until: pgcairn start\n",
	    op->cluster->name, changed ? "is stopped" : "was stopped already", text);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
finish(const struct cli_invocation *inv, int rc, const struct err *err)
{
	const struct op *op = cli_context(inv);

	if (rc < 0)
		log_err(op->log, LOG_ERROR, err);
	return exit_code_of(rc);
}

static int
run_stop(struct cli_invocation *inv)
{
	const char *reason = cli_value(inv, "reason");
	struct decision d = {0};
	struct err err = {0};
	bool changed;
	int rc = 0;

	if (reason == NULL) {
		rc = err_set(&err, ERR_CONFIG, 0, "stop needs a reason");
		err_hint(&err, "pgcairn stop --reason 'the store is moved'");
	}
	if (rc == 0)
		rc = stop_archiving(cli_context(inv), reason, &d, &changed, &err);
	if (rc == 0)
		rc = print(inv, true, changed, &d, &err);
	return finish(inv, rc, &err);
}

static int
run_start(struct cli_invocation *inv)
{
	struct err err = {0};
	bool changed;
	int rc = start_archiving(cli_context(inv), &changed, &err);

	if (rc == 0)
		rc = print(inv, false, changed, NULL, &err);
	return finish(inv, rc, &err);
}

const struct cli_verb verb_stop = {
    .name = "stop",
    .summary = "archiving from this host waits, for a reason",
    .details =
	"From now on pgcairn-wal-archive answers 75, and PostgreSQL keeps its WAL and asks again: nothing is lost, and pg_wal "
	"grows. It outlives a reboot. backup refuses meanwhile, info and check show it. Safe to repeat: the first reason "
	"stays.",
    .options = stop_options,
    .run = run_stop,
};

const struct cli_verb verb_start = {
    .name = "start",
    .summary = "archiving from this host goes on",
    .details = "Takes back what stop decided. Safe to repeat.",
    .run = run_start,
};
