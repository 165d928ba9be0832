#include <inttypes.h>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/check.h"

enum nagios { NAGIOS_OK = 0, NAGIOS_WARNING = 1, NAGIOS_CRITICAL = 2, NAGIOS_UNKNOWN = 3 };

static const struct cli_option options[] = {
    {.name = "timeout", .type = CLI_DURATION, .doc = "how long a closed segment may take to arrive (default: 60s)"},
    {.name = "no-switch", .type = CLI_FLAG, .doc = "do not close a segment; archiving is then judged by its age"},
    {.name = "nagios", .type = CLI_FLAG, .doc = "one line and exit codes as Nagios wants them"},
    {.name = NULL},
};

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

/* Up to the bar is read by people, behind it by programs: no bar and no line end may come from a message. */
static int
print_nagios(const struct op *op, const struct check_result *r, struct err *err)
{
	static const char *const words[] = {"OK", "OK", "WARNING", "CRITICAL"};
	BUF_AUTO struct buf b = {0};
	size_t told = 0;
	int rc = buf_printf(&b, err, "%s - pgcairn %s:", words[r->worst], op->cluster->name);

	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		const struct check_finding *f = &r->list[i];

		if (f->severity > CHECK_NOTE && f->severity == r->worst)
			rc = buf_printf(&b, err, "%s %s%s%s: %s", told++ > 0 ? ";" : "", f->check,
			    f->repository[0] != '\0' ? " " : "", f->repository, f->what);
	}
	if (rc == 0 && told == 0)
		rc = buf_printf(&b, err, " %zu checks are fine", r->count[CHECK_OK]);
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] == '|' || b.data[i] == '\n')
			b.data[i] = ' ';
	if (rc == 0)
		rc = buf_printf(&b, err, " |");
	if (rc == 0 && r->backup_age_s >= 0)
		rc = buf_printf(&b, err, " backup_age=%" PRId64 "s;%" PRId64 ";%" PRId64, r->backup_age_s,
		    op->config->backup_max_age_ms / 1000, 2 * op->config->backup_max_age_ms / 1000);
	if (rc == 0 && r->ready >= 0)
		rc = buf_printf(&b, err, " ready=%" PRId64 " oldest_ready=%" PRId64 "s;;%" PRId64, r->ready, r->oldest_ready_s,
		    op->config->archive_max_age_ms / 1000);
	if (rc == 0 && r->proved[0] != '\0')
		rc = buf_printf(&b, err, " archived_in=%.3fs", (double)r->proved_ms / 1000);
	if (rc == 0)
		rc = buf_printf(&b, err, "\n");
	return rc < 0 ? rc : output_text(&b, err);
}

static int
nagios_code(int rc, enum check_severity worst)
{
	if (rc < 0)
		return NAGIOS_UNKNOWN;
	return worst == CHECK_CRITICAL ? NAGIOS_CRITICAL : worst == CHECK_WARNING ? NAGIOS_WARNING : NAGIOS_OK;
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const struct check_options o = {
	    .timeout_ms = cli_duration_ms(inv, "timeout", 0),
	    .no_switch = cli_flag(inv, "no-switch"),
	};
	struct check_result r = {0};
	struct err err = {0};
	int rc = check_run(op, &o, &r, &err);
	bool nagios = cli_flag(inv, "nagios");

	if (rc == 0 && nagios) {
		rc = print_nagios(op, &r, &err);
	} else if (rc == 0 && cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(op, &r);

		rc = output_json(j, &err);
	} else if (rc == 0) {
		rc = print_text(&r, &err);
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	rc = nagios ? nagios_code(rc, r.worst) : rc < 0 ? exit_code_of(rc) : r.worst > CHECK_NOTE ? EXIT_FOUND : EXIT_DONE;
	check_result_free(&r);
	return rc;
}

const struct cli_verb verb_check = {
    .name = "check",
    .summary = "is it well: one line a finding, with its remedy",
    .details =
	"Looks at repositories, keys, backups, space and the server, closes a WAL segment and waits until it has arrived. Exit "
	"codes: 0 all is fine, notes do not count; 1 it could not do its work; 2 configuration; 3 a warning or worse. With "
	"--nagios "
	"0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
    .options = options,
    .run = run,
};
