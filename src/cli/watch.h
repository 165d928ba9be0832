/* info --watch: how WAL flows, frame after frame, as the agent tells it or, where none runs, as the repositories show it. */
#ifndef PGCAIRN_CLI_WATCH_H
#define PGCAIRN_CLI_WATCH_H

#include "cli/command_table.h"

/* Frames until count of them are shown, or until the process is interrupted. The options are watch, interval and count. */
int watch_run(const struct cli_invocation *inv, struct err *err);

#endif
