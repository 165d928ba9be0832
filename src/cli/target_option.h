/* The options that name a moment: --time, --lsn, --xid, --name, with a prefix of the verb's. */
#ifndef PGCAIRN_CLI_TARGET_OPTION_H
#define PGCAIRN_CLI_TARGET_OPTION_H

#include "cli/command_table.h"
#include "ops/target.h"

/*
 * Reads PREFIXtime, PREFIXlsn, PREFIXxid and PREFIXname, which the verb's table must have, into *t. *given is how many there
 * were; with 0 *t is untouched, with more than one it is the last. ERR_CONFIG for a value that is none.
 */
int target_option_parse(const struct cli_invocation *inv, const char *prefix, struct target *t, size_t *given, struct err *err);

#endif
