/*
 * pgcairn-wal-archive: archive_command = 'pgcairn-wal-archive %p %f'.
 *
 * PostgreSQL counts exits 1 to 125 as a failure and tries again; anything above, or a death by signal, restarts its archiver
 * and is counted nowhere. So no way leads out of here with more than 125, and signals end in an exit code.
 */
#include "agent/client.h"
#include "build-config.h"
#include "cli/supervise.h"
#include "cli/wal_command.h"
#include "ops/archive.h"
#include "ops/stop.h"

#define PROGRAM "pgcairn-wal-archive"
#define OPEN_SHARE 8  /* of the time limit, for one repository to open */
#define AGENT_SHARE 2 /* for the agent to answer; the rest is for doing without it */

enum { DONE = 0, FAILED = 1, USAGE = 2, CORRUPT = 3, REFUSED = 4, INTERRUPTED = 74, STOPPED = 75, TIMED_OUT = 124 };

static const char help[] =
    "usage: " PROGRAM " [--config FILE] [--cluster NAME] %p %f\n"
    "\n"
    "Ships one file of WAL to the repositories. In postgresql.conf:\n"
    "  archive_command = '" PROGRAM " %p %f'\n"
    "\n"
    "  --config FILE    configuration (default: $PGCAIRN_CONFIG, else " PGCAIRN_SYSCONFDIR "/pgcairn/pgcairn.conf)\n"
    "  --cluster NAME   which of its clusters, where there are several\n"
    "  --version        print the version\n"
    "  --help           print this\n"
    "\n"
    "exit codes: 0 durable in as many repositories as [archive] acknowledge asks for; 1 failed; 2 usage or configuration;\n"
    "3 the file is damaged; 4 refused: another cluster's file, or other content under a name that is taken; 74 interrupted;\n"
    "75 archiving was stopped (pgcairn stop); 124 out of time. After 1 to 125 PostgreSQL tries again.\n";

static int
exit_code(int kind)
{
	switch (kind) {
	case 0:
		return DONE;
	case ERR_CONFIG:
		return USAGE;
	case ERR_CORRUPT:
		return CORRUPT;
	case ERR_CONFLICT:
	case ERR_REFUSED:
		return REFUSED;
	default:
		return FAILED;
	}
}

/* Configuration first, in this process: where an agent answers nothing else is needed. */
static int
ask_agent(struct wal_command *c, bool *answered, bool *stopped, struct err *err)
{
	int rc = wal_command_load(c, err);

	if (rc == 0) {
		rc = stop_check(&c->op, NULL, err);
		*stopped = rc == ERR_REFUSED;
	}
	if (rc == 0)
		rc = agent_ask_archive(c->config, c->op.cluster->name, c->arguments[0], c->arguments[1],
		    c->config->archive_timeout_ms / AGENT_SHARE, answered, err);
	if (*answered && rc == ERR_REFUSED) /* stopped meanwhile? */
		*stopped = stop_check(&c->op, NULL, NULL) == ERR_REFUSED;
	if (rc == 0 && !*answered)
		log_write(&c->log, LOG_DEBUG, "without the agent: %s", err->msg);
	return rc;
}

static int
do_it(struct wal_command *c, struct err *err)
{
	int rc = wal_command_start(c, c->config->archive_timeout_ms / OPEN_SHARE, err);

	if (rc < 0)
		return rc;
	supervise_limit(c->config->archive_timeout_ms, TIMED_OUT);
	return archive_file(&c->op, c->arguments[0], c->arguments[1], NULL, err);
}

int
main(int argc, char **argv)
{
	/* an unnamed temporary goes with the process that is interrupted; nothing half-made can be seen */
	static const struct supervision supervision = {
	    .program = PROGRAM,
	    .too_late = PROGRAM " error: out of time ([archive] timeout)\n",
	    .failed = FAILED,
	    .interrupted = INTERRUPTED,
	    .timed_out = TIMED_OUT,
	};
	struct wal_command c;
	struct err err = {0};
	bool stopped = false, answered = false;
	int rc, code;

	rc = wal_command_parse(&c, argc, argv, PROGRAM, false, &err);
	if (rc == 0 && (c.help || c.version)) {
		(void)fputs(c.help ? help : PROGRAM " " PGCAIRN_VERSION "\n", stdout);
		return fflush(stdout) == 0 ? DONE : FAILED;
	}
	supervise_signals(&supervision);
	if (rc == 0)
		rc = ask_agent(&c, &answered, &stopped, &err);
	if (rc == 0 && !answered) {
		supervise();
		rc = do_it(&c, &err);
	}
	if (rc < 0)
		log_err(&c.log, LOG_ERROR, &err);
	code = stopped ? STOPPED : exit_code(rc);
	if (c.op.guards != NULL)
		supervise_done(code);
	wal_command_close(&c);
	return code;
}
