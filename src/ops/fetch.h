/*
 * fetch: one file of WAL out of the repositories, for restore_command. docs/architecture.md, "The way back".
 *
 * 0: the file lies at path, verified. ERR_NOT_FOUND: every repository that was asked has answered that it has no such object,
 * and proved after the miss, over the same handle, that it is the repository that was expected; this is the only way to the
 * exit code that lets PostgreSQL end recovery. Everything else is another error, and PostgreSQL must not go on.
 */
#ifndef PGCAIRN_OPS_FETCH_H
#define PGCAIRN_OPS_FETCH_H

#include "ops/session.h"

struct fetch_options {
	const char *session;     /* path; NULL: none */
	const char *const *only; /* names of the repositories to ask; n_only 0: all active ones */
	size_t n_only;
	const char *const *without; /* names to leave out */
	size_t n_without;
	bool lives_on;    /* a standby: repositories may have been added since its session was written */
	int64_t retry_ms; /* how long passing troubles may be waited out, in all */
};

/* ERR_CONFIG unless it is the name of a file of WAL. */
int fetch_parse_name(const char *name, struct wal_name *out, struct err *err);

/* Says which repositories are left out. ERR_CONFIG when none is left, or a name is not known. */
int fetch_check_selection(const struct op *op, const struct fetch_options *o, struct err *err);

/* Which cluster recovers in the current directory, else in the configured pgdata, by its pg_control. */
int fetch_find_sysid(const struct op *op, uint64_t *sysid, struct err *err);

/* ERR_REFUSED: all have answered that the segment is missing, and somebody gave it up (pgcairn gap): to call it missing would
 * end a recovery there silently, with what lies behind it lost. */
int fetch_file(const struct op *op, const struct fetch_options *o, const char *name, const char *path, struct err *err);

/* Is it a trouble of the way there, of which nothing follows for the file? The others say that there is something not good. */
bool fetch_is_silence(int kind);

/* Is this repository to be asked? Also refuses names that the configuration does not have, as ERR_CONFIG. */
int fetch_selected(
    const struct op *op, const struct config_repository *c, const struct fetch_options *o, bool *selected, struct err *err);

#endif
