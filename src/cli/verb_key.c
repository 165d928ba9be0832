#include "cli/exit_code.h"
#include "cli/verbs.h"
#include "ops/enrol.h"

static const struct cli_option options[] = {
    {.name = "name", .type = CLI_STRING, .value_name = "NAME", .doc = "what to call the new signer (default: host)"},
    {.name = NULL},
};

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const char *what = cli_argument(inv, 0), *key = cli_argument(inv, 1), *name = cli_value(inv, "name");
	struct err err = {0};
	int rc;

	if (strcmp(what, "enrol") != 0 || key == NULL) {
		rc = err_set(&err, ERR_CONFIG, 0, "key %s: not known", what);
		err_hint(&err, "pgcairn key enrol ed25519:... [--name NAME]");
	} else {
		rc = enrol_run(op, key, name != NULL ? name : "host", &err);
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	else
		log_write(op->log, LOG_INFO, "signer enrolled");
	return exit_code_of(rc);
}

const struct cli_verb verb_key = {
    .name = "key",
    .summary = "admit another host's signing key",
    .details = "key enrol ed25519:... lets the host that printed this key (init --join) write to the repositories.",
    .options = options,
    .arguments = "enrol KEY",
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
