#include <inttypes.h>

#include "cli/exit_code.h"
#include "cli/nagios.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/identity_copy.h"

static const struct cli_option options[] = {
    {.name = "timeout", .type = CLI_DURATION, .doc = "how long a closed segment may take to arrive (default: 60s)"},
    {.name = "no-switch", .type = CLI_FLAG, .doc = "do not close a segment; archiving is then judged by its age"},
    {.name = "identity-copy",
	.type = CLI_STRING,
	.value_name = "FILE",
	.doc = "prove that this copy of the identity opens the backups, and nothing else"},
    {.name = "nagios", .type = CLI_FLAG, .doc = "one line and exit codes as Nagios wants them"},
    {.name = NULL},
};

static json_t *
lags_json(const struct check_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_lags; i++) {
		json_t *one = json_object();

		report_text(one, "repository", r->lags[i].repository);
		report_number(one, "segments", r->lags[i].segments);
		report_number(one, "bytes", r->lags[i].bytes);
		if (r->lags[i].seconds >= 0)
			report_number(one, "seconds", (uint64_t)r->lags[i].seconds);
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *
pg_wal_json(const struct check_result *r)
{
	json_t *o = json_object();

	report_number(o, "free", r->pg_wal_free);
	report_number(o, "total", r->pg_wal_total);
	if (r->pg_wal_rate >= 0)
		json_object_set_new(o, "bytes_per_second", json_real(r->pg_wal_rate));
	if (r->pg_wal_full_s >= 0 && r->pg_wal_full_s < INT64_MAX)
		report_number(o, "full_in_seconds", (uint64_t)r->pg_wal_full_s);
	return o;
}

static json_t *
report(const struct op *op, const struct check_result *r)
{
	json_t *o = json_object(), *list = json_array();

	report_text(o, "cluster", op->cluster->name);
	report_text(o, "status", check_severity_name(r->worst));
	for (size_t i = 0; i < r->n; i++) {
		const struct check_finding *f = &r->list[i];
		json_t *one = json_object();

		report_text(one, "severity", check_severity_name(f->severity));
		report_text(one, "check", f->check);
		if (f->repository[0] != '\0')
			report_text(one, "repository", f->repository);
		report_text(one, "what", f->what);
		if (f->remedy[0] != '\0')
			report_text(one, "remedy", f->remedy);
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "findings", list);
	if (r->backup_age_s >= 0)
		report_number(o, "backup_age_seconds", (uint64_t)r->backup_age_s);
	if (r->ready >= 0) {
		report_number(o, "ready", (uint64_t)r->ready);
		report_number(o, "oldest_ready_seconds", (uint64_t)r->oldest_ready_s);
	}
	if (r->proved[0] != '\0') {
		report_text(o, "proved_segment", r->proved);
		json_object_set_new(o, "proved_seconds", json_real((double)r->proved_ms / 1000));
	}
	json_object_set_new(o, "lag", lags_json(r));
	if (r->pg_wal_total > 0)
		json_object_set_new(o, "pg_wal", pg_wal_json(r));
	return o;
}

static int
print_text(const struct check_result *r, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		const struct check_finding *f = &r->list[i];

		rc = buf_printf(&b, err, "%-8s  %s%s%s: %s%s%s\n", check_severity_name(f->severity), f->check,
		    f->repository[0] != '\0' ? " " : "", f->repository, f->what, f->remedy[0] != '\0' ? "; remedy: " : "",
		    f->remedy);
	}
	return rc < 0 ? rc : output_text(&b, err);
}

static int
run_copy(const struct cli_invocation *inv, const char *path, struct err *err)
{
	struct identity_copy_result r;
	int rc = identity_copy_prove(cli_context(inv), path, &r, err);

	if (rc < 0)
		return rc;
	if (cli_flag(inv, "json")) {
		JSON_AUTO json_t *o = json_object();

		report_text(o, "recipient", r.recipient);
		report_number(o, "repositories", r.repositories);
		report_number(o, "backups_opened", r.backups);
		return output_json(o, err);
	}
	BUF_AUTO struct buf b = {0};

	rc = buf_printf(&b, err,
	    "proved: this copy is the private half of %s\n"
	    "it opens the newest backup in %zu of %zu repositories%s\n",
	    r.recipient, r.backups, r.repositories, r.backups < r.repositories ? "; the others have none yet" : "");
	return rc < 0 ? rc : output_text(&b, err);
}

static int
fail(const struct op *op, bool nagios, const struct err *err)
{
	if (nagios)
		return (int)nagios_unknown(err);
	log_err(op->log, LOG_ERROR, err);
	return exit_code_of(err->kind);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const struct check_options o = {
	    .timeout_ms = cli_duration_ms(inv, "timeout", 0),
	    .no_switch = cli_flag(inv, "no-switch"),
	};
	const char *copy = cli_value(inv, "identity-copy");
	bool nagios = cli_flag(inv, "nagios");
	struct check_result r = {0};
	struct err err = {0};
	int rc = copy != NULL ? run_copy(inv, copy, &err) : check_run(op, &o, &r, &err), code;

	if (rc < 0)
		return fail(op, nagios, &err);
	if (copy != NULL)
		return EXIT_DONE;
	code = r.worst > CHECK_NOTE ? EXIT_FOUND : EXIT_DONE;
	if (nagios) {
		code = (int)nagios_report(op, &r);
	} else if (cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(op, &r);

		rc = output_json(j, &err);
	} else {
		rc = print_text(&r, &err);
	}
	check_result_free(&r);
	return rc < 0 ? fail(op, nagios, &err) : code;
}

const struct cli_verb verb_check = {
    .name = "check",
    .summary = "is it well: one line a finding, with its remedy",
    .details =
	"Looks at repositories, keys, backups, space and the server, closes a WAL segment and waits until it has arrived. "
	"docs/operations.md explains every finding. Exit codes: 0 all is fine, notes do not count; 1 it could not do its work; "
	"2 configuration; 3 a warning or worse. With --nagios 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. With --identity-copy "
	"it only proves that FILE opens the backups, and remembers that it did.",
    .options = options,
    .run = run,
};
