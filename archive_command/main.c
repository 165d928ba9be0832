/*
 * pgcairn-wal-archive: archive_command = 'pgcairn-wal-archive %p %f'.
 *
 * PostgreSQL counts exits 1 to 125 as a failure and tries again; anything above, or a death by signal, restarts its archiver
 * and is counted nowhere. So no way leads out of here with more than 125, and signals end in an exit code.
 */
#include "build-config.h"
#include "cli/supervise.h"
#include "cli/wal_command.h"
#include "ops/archive.h"

#define PROGRAM "pgcairn-wal-archive"

enum { DONE = 0, FAILED = 1, USAGE = 2, CORRUPT = 3, REFUSED = 4, INTERRUPTED = 74, TIMED_OUT = 124 };

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
    "124 out of time. After 1 to 125 PostgreSQL tries again.\n";

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
	int rc;

	rc = wal_command_parse(&c, argc, argv, PROGRAM, false, &err);
	if (rc == 0 && (c.help || c.version)) {
		(void)fputs(c.help ? help : PROGRAM " " PGCAIRN_VERSION "\n", stdout);
		return fflush(stdout) == 0 ? DONE : FAILED;
	}
	supervise(&supervision);
	if (rc == 0)
		rc = wal_command_open(&c, &err);
	if (rc == 0) {
		supervise_limit(c.config->archive_timeout_ms);
		rc = archive_file(&c.op, c.arguments[0], c.arguments[1], NULL, &err);
	}
	if (rc < 0)
		log_err(&c.log, LOG_ERROR, &err);
	wal_command_close(&c);
	return exit_code(rc);
}
