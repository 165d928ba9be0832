/*
 * The prefetcher is this program started once more, with --prefetch, the name of a segment that was delivered, and the options
 * of the command that starts it: so it reads the same configuration, and who lists processes sees what it is. It is a session
 * of its own, has no descriptor of PostgreSQL's and nothing to say; see ops/prefetch.h for how it ends.
 */
#ifndef PGCAIRN_RESTORE_COMMAND_PREFETCHER_H
#define PGCAIRN_RESTORE_COMMAND_PREFETCHER_H

#include "cli/wal_command.h"
#include "ops/fetch.h"

/* A failure is one of speed only. */
void prefetcher_start(const struct wal_command *c);

/* In the process that was started so. Nobody looks at what it returns; it is always 0. */
int prefetcher_main(struct wal_command *c);

/* What the command's options mean to a fetch. */
struct fetch_options fetch_options_of(const struct wal_command *c);

#endif
