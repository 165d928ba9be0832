/* agent: the resident process, in the foreground. */
#include "agent/agent.h"
#include "cli/exit_code.h"
#include "cli/verbs.h"

static const struct cli_option options[] = {
    {.name = "once", .type = CLI_FLAG, .doc = "ship what the servers want archived now, then end"},
    {.name = NULL},
};

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const char *path = cli_value(inv, "config");
	const struct agent_options o = {
	    .config_path = path != NULL ? path : config_default_path(),
	    .argv = cli_vector(inv),
	    .once = cli_flag(inv, "once"),
	};
	struct err err = {0};
	int rc = agent_run(op->config, &o, op->log, &err);

	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	return exit_code_of(rc);
}

const struct cli_verb verb_agent = {
    .name = "agent",
    .summary = "run the resident process that ships WAL ahead of the server's asking",
    .details = "It serves every cluster of the configuration that has a pgdata, as the owner of PGDATA, until SIGTERM. "
	       "archive_command stays what it is: pgcairn-wal-archive asks the agent, and does the work itself where none "
	       "runs. SIGHUP reads the configuration again.",
    .options = options,
    .resident = true,
    .run = run,
};
