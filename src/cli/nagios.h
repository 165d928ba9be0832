/*
 * check's answer as a monitoring plugin gives it: one line on standard output, "STATUS - text | performance data", and the exit
 * codes 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. Follows the Monitoring Plugins' development guidelines: what kept the plugin
 * from its work, a wrong option or configuration among it, is UNKNOWN.
 */
#ifndef PGCAIRN_CLI_NAGIOS_H
#define PGCAIRN_CLI_NAGIOS_H

#include "ops/check.h"

enum nagios { NAGIOS_OK = 0, NAGIOS_WARNING = 1, NAGIOS_CRITICAL = 2, NAGIOS_UNKNOWN = 3 };

/* Prints the line; the exit code. */
enum nagios nagios_report(const struct op *op, const struct check_result *r);
enum nagios nagios_unknown(const struct err *why);

/* Is it wanted? For what goes wrong before the command line is understood. */
bool nagios_wanted(int argc, char *const *argv);

#endif
