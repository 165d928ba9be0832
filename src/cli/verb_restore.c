#include <errno.h>
#include <inttypes.h>
#include <signal.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/report_plan.h"
#include "cli/target_option.h"
#include "cli/verbs.h"
#include "ops/restore.h"
#include "pg/conninfo.h"

#define TABLESPACES_MAX 1024

static const char *const actions[] = {"promote", "pause", "shutdown", NULL};

static const struct cli_option options[] = {
    {.name = "pgdata", .type = CLI_STRING, .value_name = "DIR", .doc = "where to: must be empty or not exist"},
    {.name = "target-time",
	.type = CLI_STRING,
	.value_name = "TIME",
	.doc = "up to the last commit at or before TIME, which needs an offset: 2026-01-31 14:59:00+00"},
    {.name = "target-lsn", .type = CLI_STRING, .value_name = "LSN", .doc = "up to the record at LSN"},
    {.name = "target-xid", .type = CLI_STRING, .value_name = "XID", .doc = "up to the commit of transaction XID"},
    {.name = "target-name", .type = CLI_STRING, .value_name = "NAME", .doc = "up to a restore point (pg_create_restore_point)"},
    {.name = "target-immediate", .type = CLI_FLAG, .doc = "only as far as the backup needs to be consistent"},
    {.name = "target-exclusive", .type = CLI_FLAG, .doc = "stop before the target instead of behind it"},
    {.name = "target-timeline",
	.type = CLI_STRING,
	.value_name = "N",
	.doc = "along the path to timeline N (default: latest, the newest whose path holds a backup)"},
    {.name = "target-action",
	.type = CLI_WORD,
	.words = actions,
	.doc = "what the server does there (default: promote without a target, else pause)"},
    {.name = "backup",
	.type = CLI_STRING,
	.value_name = "LABEL",
	.doc = "from this backup (default: the newest that reaches the target)"},
    {.name = "repository", .type = CLI_STRING, .repeatable = true, .value_name = "NAME", .doc = "use this repository only"},
    {.name = "without-repository",
	.type = CLI_STRING,
	.repeatable = true,
	.value_name = "NAME",
	.doc = "go on without a repository that is gone for good"},
    {.name = "tablespace", .type = CLI_STRING, .repeatable = true, .value_name = "OID=DIR", .doc = "put a tablespace here"},
    {.name = "standby",
	.type = CLI_FLAG,
	.doc = "this becomes a standby: it follows the archive, and the primary when told how"},
    {.name = "primary-conninfo",
	.type = CLI_STRING,
	.value_name = "CONNINFO",
	.doc = "how the standby reaches the primary to stream; no password in it"},
    {.name = "adopt", .type = CLI_FLAG, .doc = "this becomes the cluster: leave archiving on"},
    {.name = "dry-run", .type = CLI_FLAG, .doc = "plan and prove only; nothing is written"},
    {.name = NULL},
};

/* What the command line said, in the shape that ops wants, and the memory behind it. */
struct arguments {
	struct restore_options o;
	char *pgdata;
	const char *only[CLI_LIST_MAX], *without[CLI_LIST_MAX];
	struct tablespace_mapping tablespaces[TABLESPACES_MAX];
};

static int
usage(struct err *err, const char *option, const char *value)
{
	err_set(err, ERR_CONFIG, 0, "--%s: '%s' is not one", option, value);
	return err_hint(err, "see pgcairn restore --help");
}

static int
parse_target(const struct cli_invocation *inv, struct target *t, struct err *err)
{
	bool immediate = cli_flag(inv, "target-immediate");
	size_t given;
	int rc = target_option_parse(inv, "target-", t, &given, err);

	if (rc < 0)
		return rc;
	t->exclusive = cli_flag(inv, "target-exclusive");
	if (given + immediate > 1)
		return err_set(err, ERR_CONFIG, 0, "more than one target was given");
	if (t->exclusive && (given == 0 || t->kind == TARGET_NAME))
		return err_set(err, ERR_CONFIG, 0, "--target-exclusive goes with --target-time, --target-lsn or --target-xid");
	if (immediate)
		t->kind = TARGET_IMMEDIATE;
	return 0;
}

/* A number; "latest" is PostgreSQL's word for what is the default here. */
static int
parse_timeline(const struct cli_invocation *inv, timeline_t *out, struct err *err)
{
	const char *word = cli_value(inv, "target-timeline");
	uint64_t n = 0;

	if (word != NULL && strcmp(word, "latest") != 0 && !str_to_u64(word, 1, UINT32_MAX, &n))
		return usage(err, "target-timeline", word);
	*out = (timeline_t)n;
	return 0;
}

static int
parse_tablespaces(const struct cli_invocation *inv, struct arguments *a, struct err *err)
{
	const char *v;

	for (size_t at = 0; (v = cli_values(inv, "tablespace", &at)) != NULL;) {
		const char *equals = strchr(v, '=');
		char oid[16];
		uint64_t n;

		if (equals == NULL || (size_t)(equals - v) >= sizeof(oid) || equals[1] != '/' ||
		    a->o.n_tablespaces == TABLESPACES_MAX)
			return usage(err, "tablespace", v);
		memcpy(oid, v, (size_t)(equals - v));
		oid[equals - v] = '\0';
		if (!str_to_u64(oid, 1, UINT32_MAX, &n))
			return usage(err, "tablespace", v);
		a->tablespaces[a->o.n_tablespaces++] = (struct tablespace_mapping){(uint32_t)n, equals + 1};
	}
	a->o.tablespaces = a->tablespaces;
	return 0;
}

static enum target_action
parse_action(const struct cli_invocation *inv)
{
	const char *word = cli_value(inv, "target-action");

	for (size_t i = 0; word != NULL && actions[i] != NULL; i++)
		if (strcmp(word, actions[i]) == 0)
			return (enum target_action)(ACTION_PROMOTE + i);
	return ACTION_DEFAULT;
}

/* A standby has no end: what would set one, or make a copy, contradicts it. */
static int
parse_standby(const struct cli_invocation *inv, struct restore_options *o, struct err *err)
{
	o->standby = cli_flag(inv, "standby");
	o->primary_conninfo = cli_value(inv, "primary-conninfo");
	if (o->primary_conninfo != NULL && *o->primary_conninfo == '\0')
		return err_set(err, ERR_CONFIG, 0, "--primary-conninfo is empty");
	if (!o->standby && o->primary_conninfo != NULL)
		return err_set(err, ERR_CONFIG, 0, "--primary-conninfo goes with --standby");
	if (o->standby && (o->plan.target.kind != TARGET_LATEST || cli_value(inv, "target-timeline") != NULL ||
			      cli_value(inv, "target-action") != NULL)) {
		err_set(err, ERR_CONFIG, 0,
		    "--standby goes with no target: a standby follows to the latest and ends with its promotion");
		return err_hint(err, "leave one of them out; see pgcairn restore --help");
	}
	return o->primary_conninfo != NULL ? conninfo_check_public(o->primary_conninfo, "--primary-conninfo", err) : 0;
}

static int
parse(const struct cli_invocation *inv, struct arguments *a, struct err *err)
{
	struct plan_options *p = &a->o.plan;
	int rc = parse_target(inv, &p->target, err);

	if (rc == 0)
		rc = parse_standby(inv, &a->o, err);

	if (rc == 0 && cli_value(inv, "pgdata") == NULL) {
		err_set(err, ERR_CONFIG, 0, "restore needs --pgdata DIR");
		rc = err_hint(err, "an empty directory, or one that does not exist yet");
	}
	if (rc == 0)
		rc = fs_real_path(cli_value(inv, "pgdata"), &a->pgdata, err);
	if (rc == 0)
		rc = cli_list(inv, "repository", a->only, &p->repositories.n_only, err);
	if (rc == 0)
		rc = cli_list(inv, "without-repository", a->without, &p->repositories.n_without, err);
	if (rc == 0)
		rc = parse_tablespaces(inv, a, err);
	a->o.pgdata = a->pgdata;
	p->repositories.only = a->only;
	p->repositories.without = a->without;
	p->label = cli_value(inv, "backup");
	if (rc == 0)
		rc = parse_timeline(inv, &p->timeline, err);
	a->o.action = parse_action(inv);
	a->o.adopt = cli_flag(inv, "adopt");
	a->o.dry_run = cli_flag(inv, "dry-run");
	return rc;
}

/* "limits", "collation", "warnings" */
static void
report_host(json_t *j, const struct restore_host *h)
{
	json_t *limits = json_array(), *warnings = json_array();

	for (size_t i = 0; i < SERVER_LIMITS; i++) {
		json_t *one = json_object();

		report_text(one, "name", server_limit_names[i]);
		report_number(one, "needed", (uint64_t)h->needed.v[i]);
		if (h->has_configured)
			report_number(one, "configured", (uint64_t)h->configured.v[i]);
		json_array_append_new(limits, one);
	}
	for (size_t i = 0; i < h->n_warnings; i++)
		json_array_append_new(warnings, report_err(&h->warnings[i]));
	json_object_set_new(j, "limits", limits);
	report_text(j, "collation", h->collation);
	json_object_set_new(j, "warnings", warnings);
}

static json_t *
report(const struct restore_options *o, const struct restore_result *r)
{
	const struct manifest_head *h = &r->plan->backup->head;
	json_t *j = json_object();

	report_text(j, "label", r->plan->backup->label);
	report_text(j, "pgdata", o->pgdata);
	json_object_set_new(j, "dry_run", json_boolean(o->dry_run));
	json_object_set_new(j, "adopted", json_boolean(restore_is_member(o)));
	json_object_set_new(j, "standby", json_boolean(o->standby));
	if (o->standby)
		json_object_set_new(j, "reads_later_wal", json_boolean(r->reads_later_wal));
	report_number(j, "size", h->size);
	report_number(j, "files", h->files);
	report_number(j, "timeline", r->plan->path.timeline);
	report_plan(j, r->plan);
	report_number(j, "bad_pages", h->bad_pages);
	report_text(j, "start_command", r->start_command);
	report_host(j, &r->host);
	return j;
}

static int
print_host(struct buf *b, const struct restore_host *h, struct err *err)
{
	int rc = 0;

	if (strcmp(h->collation, "unknown") == 0)
		rc = buf_printf(b, err, "collation versions: unknown, the backup was made without them\n");
	for (size_t i = 0; rc == 0 && i < h->n_warnings; i++)
		rc = buf_printf(b, err, "WARNING: %s\n  remedy: %s\n", h->warnings[i].msg, err_remedy(&h->warnings[i]));
	return rc;
}

static int
print_text(const struct restore_options *o, const struct restore_result *r, struct err *err)
{
	const struct manifest_head *h = &r->plan->backup->head;
	BUF_AUTO struct buf b = {0};
	char size[16], what[128];
	int rc;

	str_from_size(size, sizeof(size), h->size);
	target_describe(&o->plan.target, what, sizeof(what));
	rc = buf_printf(&b, err, "target: %s\nbackup: %s, %" PRIu64 " files, %s\n",
	    o->standby ? "none, a standby follows the newest" : what, r->plan->backup->label, h->files, size);
	if (rc == 0)
		rc = report_plan_text(&b, r->plan, &o->plan.target, err);
	if (rc == 0 && h->bad_pages > 0)
		rc = buf_printf(&b, err, "the backup has %" PRIu64 " pages with a bad checksum: pgcairn info\n", h->bad_pages);
	if (rc == 0 && o->standby && !r->reads_later_wal)
		rc = buf_printf(&b, err, "its user cannot read the identity: WAL of later keys reaches it by streaming only\n");
	if (rc == 0 && !o->dry_run && !restore_is_member(o))
		rc = buf_printf(&b, err, "this is a copy: archiving is off in it\n");
	if (rc == 0)
		rc = print_host(&b, &r->host, err);
	if (rc == 0)
		rc = buf_printf(&b, err, "%s: %s\n",
		    o->dry_run ? "nothing was written; it would be started with" : "start it with", r->start_command);
	return rc < 0 ? rc : output_text(&b, err);
}

static volatile sig_atomic_t interrupted;

static void
on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	FREE_AUTO struct arguments *a = calloc(1, sizeof(*a));
	FREE_AUTO char *config = NULL;
	struct restore_result r = {0};
	struct err err = {0};
	int rc = a == NULL ? err_set(&err, ERR_NOMEM, 0, "out of memory") : parse(inv, a, &err);

	if (rc == 0) {
		const char *path = cli_value(inv, "config");

		rc = fs_real_path(path != NULL ? path : config_default_path(), &config, &err);
	}
	if (rc == 0) {
		PROGRESS_AUTO struct progress *p = progress_new(&(struct progress_options){
		    .fd = STDERR_FILENO, .label = "restore", .log = op->log, .disabled = cli_flag(inv, "quiet")});

		(void)signal(SIGINT, on_signal);
		(void)signal(SIGTERM, on_signal);
		a->o.config_path = config;
		a->o.progress = (struct op_progress){progress_show, p};
		a->o.interrupted = &interrupted;
		rc = restore_run(op, &a->o, &r, &err);
	}
	if (rc == 0 && cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(&a->o, &r);

		rc = output_json(j, &err);
	} else if (rc == 0) {
		rc = print_text(&a->o, &r, &err);
	}
	restore_result_free(&r);
	if (a != NULL)
		free(a->pgdata);
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc);
}

const struct cli_verb verb_restore = {
    .name = "restore",
    .summary = "restore a base backup, ready to recover to a moment",
    .details =
	"Proves first that the target is reachable, then restores into an empty directory and writes the settings with which "
	"PostgreSQL recovers. Without a target it goes to the latest. With --standby the result is no copy but a member of the "
	"cluster: it follows the newest timeline until it is promoted, and archives as the original does.",
    .options = options,
    .run = run,
};
