/*
 * What pgcairn-wal-archive and pgcairn-wal-restore have in common: a handful of options, two arguments, a configuration, a time
 * limit. They do without the verbs' command table, so that a process that runs once a segment starts in about a millisecond.
 */
#ifndef PGCAIRN_CLI_WAL_COMMAND_H
#define PGCAIRN_CLI_WAL_COMMAND_H

#include "ops/op.h"

#define WAL_COMMAND_NAMES 64

struct wal_command {
	const char *config_path, *cluster_name, *session;
	const char *only[WAL_COMMAND_NAMES];
	size_t n_only;
	const char *without[WAL_COMMAND_NAMES];
	size_t n_without;
	const char *arguments[2];
	bool help, version;
	bool prefetch; /* --prefetch: pgcairn-wal-restore starts itself so, see restore_command/prefetcher.h */
	struct log log;
	struct config *config;
	struct worker_pool *pool;
	struct op op; /* complete after wal_command_start */
};

/* fetching: also accept --repository, --without-repository, --session. ERR_CONFIG for anything wrong. */
int wal_command_parse(struct wal_command *c, int argc, char **argv, const char *program, bool fetching, struct err *err);

/* Load the configuration; then start what the work needs: to open a repository may take limit_ms. */
int wal_command_load(struct wal_command *c, struct err *err);
int wal_command_start(struct wal_command *c, int64_t limit_ms, struct err *err);
void wal_command_close(struct wal_command *c);

#endif
