/*
 * The resident process of a configuration: ships what the servers of all its clusters want archived, ahead of their asking,
 * and answers pgcairn-wal-archive. docs/architecture.md, "The agent".
 *
 * Crash-only: it keeps no state of its own, so it may be killed at any moment and needs no repair. A changed configuration is
 * taken by executing itself anew.
 */
#ifndef PGCAIRN_AGENT_AGENT_H
#define PGCAIRN_AGENT_AGENT_H

#include <stdbool.h>

#include "base/log.h"
#include "config/config.h"

struct agent_options {
	const char *config_path; /* what cfg was read from: read again for a reload */
	char *const *argv;       /* to execute again */
	bool once;               /* ship what is there now, then end */
};

/*
 * Runs until SIGTERM or SIGINT, then 0; with once to the end of what the servers want archived now, and the last error when not
 * all of it became durable. ERR_REFUSED when another agent runs on this run directory; ERR_CONFIG when no cluster
 * has a pgdata. Started by root it goes on as the owner of PGDATA. Signals must not have been touched before, nor threads made.
 */
int agent_run(const struct config *cfg, const struct agent_options *o, const struct log *log, struct err *err);

#endif
