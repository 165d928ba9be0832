/*
 * What configured the original from outside PGDATA and now lies below PGDATA/pgcairn.config: the directories that its files
 * include, and the command that starts a server with them instead of whatever the host has at the original paths.
 */
#ifndef PGCAIRN_OPS_RESTORE_CONFIG_H
#define PGCAIRN_OPS_RESTORE_CONFIG_H

#include "ops/restore.h"
#include "ops/restore_entries.h"

/* Make the directories that include_dir names with a relative path: one that was empty left no file in the backup. */
int restore_config_dirs(const char *pgdata, const struct restore_entries *e, struct err *err);

/* Make their names durable, below the open PGDATA root: the directories that they lie in are no entries of the backup. */
int restore_config_sync(int root, const struct restore_entries *e, struct err *err);

/* A program of this major where Debian puts it, else its bare name, for PATH. */
void restore_program_path(unsigned major, const char *name, char *out, size_t size);

/* The settings with which the restored server is started besides what its files say. */
int restore_overrides(const char *pgdata, const struct restore_entries *e,
    int (*each)(const char *name, const char *value, void *arg, struct err *err), void *arg, struct err *err);

/* The pg_ctl command, quoted for a shell. A new string. major: of the backup. */
int restore_start_command(const char *pgdata, unsigned major, const struct restore_entries *e, char **out, struct err *err);

#endif
