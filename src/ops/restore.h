/*
 * restore: a base backup into an empty directory, and the settings with which PostgreSQL recovers to the target.
 *
 * Nothing is touched before the plan is proven. pg_control is written last, after everything else is durable: a restore that
 * was interrupted does not start. The result is a copy: archive_mode = off is written unless adopt is asked for.
 */
#ifndef PGCAIRN_OPS_RESTORE_H
#define PGCAIRN_OPS_RESTORE_H

#include <signal.h>

#include "ops/plan.h"
#include "ops/restore_host.h"

#define RESTORE_CONFIG "pgcairn.config" /* in PGDATA: what lay outside the original's */
#define RESTORE_NOTE "pgcairn.restore.json"

enum target_action { ACTION_DEFAULT, ACTION_PROMOTE, ACTION_PAUSE, ACTION_SHUTDOWN };

struct tablespace_mapping {
	uint32_t oid;
	const char *location; /* absolute */
};

struct restore_options {
	const char *pgdata; /* absolute */
	struct plan_options plan;
	enum target_action action; /* default: promote for latest, else pause */
	bool adopt;
	bool standby;                 /* follows the primary: no target, archiving as in the original */
	const char *primary_conninfo; /* for a standby that streams; NULL: as the original's configuration says */
	bool dry_run;
	const struct tablespace_mapping *tablespaces;
	size_t n_tablespaces;
	const char *config_path; /* for restore_command; NULL: leave it out */
	struct op_progress progress;
	const volatile sig_atomic_t *interrupted; /* NULL: cannot be */
};

struct restore_result {
	struct plan *plan;    /* owned; NULL after an error */
	bool reads_later_wal; /* a standby's: its user can read the identity, which WAL of a later epoch needs */
	char *start_command;  /* owned */
	struct restore_host host;
};

/* Does the result belong to the cluster, so that it archives, or is it a copy? */
static inline bool
restore_is_member(const struct restore_options *o)
{
	return o->adopt || o->standby;
}

int restore_run(const struct op *op, const struct restore_options *o, struct restore_result *result, struct err *err);
void restore_result_free(struct restore_result *r);

#endif
