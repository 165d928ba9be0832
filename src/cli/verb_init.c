#include <inttypes.h>

#include "base/json.h"
#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/init.h"
#include "ops/upgrade.h"

static const struct cli_option options[] = {
    {.name = "join", .type = CLI_FLAG, .doc = "let this host write to a cluster that the repositories know already"},
    {.name = "upgrade", .type = CLI_FLAG, .doc = "after pg_upgrade: the same cluster goes on as a new system"},
    {.name = "dry-run",
	.type = CLI_FLAG,
	.doc = "check places and keys, make nothing; with --upgrade: prove it, record nothing"},
    {.name = NULL},
};

static json_t *
report(const struct op *op, const struct init_result *r)
{
	json_t *o = json_object(), *made = json_array(), *list = json_array();

	json_object_set_new(o, "cluster", json_string(op->cluster->name));
	json_object_set_new(o, "encryption", json_string(r->encrypted ? "on" : "none"));
	for (size_t i = 0; i < r->n_made; i++)
		json_array_append_new(made, json_string(r->made[i]));
	json_object_set_new(o, "made", made);
	json_object_set_new(o, "signer", json_string(r->signer));
	json_object_set_new(o, "needs_enrolment", json_boolean(r->needs_enrolment));
	for (size_t i = 0; i < r->n_repositories; i++) {
		const struct init_repository *row = &r->repositories[i];
		json_t *one = json_object();

		json_object_set_new(one, "name", json_string(row->name));
		json_object_set_new(one, "id", json_string(row->id));
		json_object_set_new(one, "created", json_boolean(row->created));
		json_object_set_new(one, "founded", json_boolean(row->founded));
		json_object_set_new(one, "same_file_system_as_pgdata", json_boolean(row->same_device));
		json_object_set_new(one, "create_only", json_boolean(row->caps.create_only));
		json_object_set_new(one, "writer_can_delete", json_boolean(row->caps.writer_can_delete));
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "repositories", list);
	return o;
}

static int
print_text(const struct op *op, const struct init_result *r, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	int rc = buf_printf(&b, err, "cluster %s, encryption %s\n", op->cluster->name,
	    r->encrypted ? "on" : "NONE: whoever reads the repository reads the data");

	for (size_t i = 0; rc == 0 && i < r->n_repositories; i++) {
		const struct init_repository *row = &r->repositories[i];

		rc = buf_printf(&b, err, "repository %s: %s%s\n", row->name, row->id,
		    row->founded         ? ", cluster set up"
		    : row->created       ? ", created"
		    : row->id[0] != '\0' ? ", was there"
					 : "place is fine");
	}
	for (size_t i = 0; rc == 0 && i < r->n_made; i++)
		rc = buf_printf(&b, err, "made %s\n", r->made[i]);
	if (rc == 0 && r->identity_made)
		rc = buf_printf(&b, err,
		    "\nThe identity %s is the only thing that reads these backups. Copy it to where you would restore,\n"
		    "keep another copy offline, and take it off this host when nothing here has to read.\n",
		    op->config->identity);
	if (rc == 0 && r->needs_enrolment)
		rc = buf_printf(&b, err,
		    "\nThis host may write after a host that already does has run:\n  pgcairn key enrol %s\n", r->signer);
	return rc < 0 ? rc : output_text(&b, err);
}

static void
warn(const struct op *op, const struct init_result *r)
{
	for (size_t i = 0; i < r->n_repositories; i++) {
		const struct init_repository *row = &r->repositories[i];

		if (row->same_device)
			log_write(op->log, LOG_WARN,
			    "repository '%s' is on the same file system as PGDATA: a lost disk takes both", row->name);
		if (row->id[0] != '\0' && row->caps.writer_can_delete)
			log_write(op->log, LOG_WARN,
			    "repository '%s' can be deleted by this host: it protects against loss, not against a thief of the "
			    "host",
			    row->name);
	}
}

static json_t *
system_json(const struct lineage_entry *e)
{
	json_t *o = json_object();

	report_sysid(o, "system_identifier", e->sysid);
	report_number(o, "major", e->major);
	return o;
}

static int
print_upgrade(const struct cli_invocation *inv, const struct upgrade_result *r, struct err *err)
{
	const struct op *op = cli_context(inv);
	bool dry_run = cli_flag(inv, "dry-run");
	BUF_AUTO struct buf b = {0};
	int rc;

	if (cli_flag(inv, "json")) {
		JSON_AUTO json_t *o = json_object();

		report_text(o, "cluster", op->cluster->name);
		json_object_set_new(o, "from", system_json(&r->from));
		json_object_set_new(o, "to", system_json(&r->to));
		report_number(o, "appended", r->appended);
		report_number(o, "existed", r->existed);
		json_object_set_new(o, "dry_run", json_boolean(dry_run));
		return output_json(o, err);
	}
	rc = buf_printf(&b, err, "cluster %s: PostgreSQL %u, system %" PRIu64 ", %s PostgreSQL %u, system %" PRIu64 "\n",
	    op->cluster->name, r->from.major, r->from.sysid,
	    r->appended == 0 ? "was recorded before to go on as"
	    : dry_run        ? "would go on as"
			     : "goes on as",
	    r->to.major, r->to.sysid);
	if (rc == 0 && r->appended > 0)
		rc = buf_printf(&b, err,
		    "backups of before are restored with PostgreSQL %u; nothing of the new system can be restored until:\n"
		    "  pgcairn backup --full\n",
		    r->from.major);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
upgrade(const struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	struct upgrade_result r;
	struct err err = {0};
	int rc;

	if (cli_flag(inv, "join"))
		rc = err_set(&err, ERR_CONFIG, 0, "--join and --upgrade do not go together: first one, then the other");
	else
		rc = upgrade_run(op, cli_flag(inv, "dry-run"), &r, &err);
	if (rc == 0)
		rc = print_upgrade(inv, &r, &err);
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc);
}

static int
make(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const struct init_options o = {.join = cli_flag(inv, "join"), .dry_run = cli_flag(inv, "dry-run")};
	struct init_result r;
	struct err err = {0};
	int rc = init_run(op, &o, &r, &err);

	if (rc == 0) {
		warn(op, &r);
		if (cli_flag(inv, "json")) {
			JSON_AUTO json_t *j = report(op, &r);

			rc = output_json(j, &err);
		} else {
			rc = print_text(op, &r, &err);
		}
	}
	init_result_free(&r);
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc);
}

static int
run(struct cli_invocation *inv)
{
	return cli_flag(inv, "upgrade") ? upgrade(inv) : make(inv);
}

const struct cli_verb verb_init = {
    .name = "init",
    .summary = "create the repositories and this host's keys",
    .details =
	"Makes the marker of every repository, the cluster's folder in it, and the keys that do not exist yet. Safe to repeat. "
	"Started by root it goes on as the owner of PGDATA. After pg_upgrade archiving is refused until --upgrade has recorded "
	"the "
	"new system; set pgdata to the upgraded directory first, then run it on any host that writes, then take a backup.",
    .options = options,
    .run = run,
};
