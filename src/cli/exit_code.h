/* Exit codes of pgcairn, the one place. */
#ifndef PGCAIRN_CLI_EXIT_CODE_H
#define PGCAIRN_CLI_EXIT_CODE_H

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,   /* or configuration */
	EXIT_FOUND = 3,   /* something is wrong: verify, check, a backup with a bad page */
	EXIT_REFUSED = 4, /* hold, conflict, policy, an unreachable target */
};

/* From an error's kind. */
int exit_code_of(int kind);

#endif
