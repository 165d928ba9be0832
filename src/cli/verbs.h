/* Every verb is one file, verb_NAME.c, that exports its row. cli_context(inv) is the struct op that main prepared.
 */
#ifndef PGCAIRN_CLI_VERBS_H
#define PGCAIRN_CLI_VERBS_H

#include "cli/command_table.h"
#include "ops/op.h"

extern const struct cli_verb verb_adopt;
extern const struct cli_verb verb_agent;
extern const struct cli_verb verb_backup;
extern const struct cli_verb verb_check;
extern const struct cli_verb verb_conflict;
extern const struct cli_verb verb_find;
extern const struct cli_verb verb_gap;
extern const struct cli_verb verb_index;
extern const struct cli_verb verb_info;
extern const struct cli_verb verb_init;
extern const struct cli_verb verb_key;
extern const struct cli_verb verb_restore;
extern const struct cli_verb verb_start;
extern const struct cli_verb verb_stop;
extern const struct cli_verb verb_verify;

#endif
