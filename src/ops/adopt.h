/*
 * adopt: a restored copy becomes the cluster. A restore writes settings that keep a copy from archiving and from taking a
 * publisher's changes; this takes them back, and sees to it that the archive gets what it missed: the history file of the
 * copy's own timeline, without which another server would take the same number, and its WAL as far as it is still there.
 *
 * Two servers that archive for one cluster must not be: the copy has recovered and was shut down; its timeline is in no
 * repository; the server of the configuration is not running as a primary, as far as this host can see.
 */
#ifndef PGCAIRN_OPS_ADOPT_H
#define PGCAIRN_OPS_ADOPT_H

#include "ops/fetch.h"

struct adopt_options {
	const char *pgdata;                /* absolute */
	struct fetch_options repositories; /* which to ask whether the timeline is taken */
	bool dry_run;
};

struct adopt_result {
	bool already; /* it was adopted before: nothing was done */
	timeline_t timeline;
	lsn_t fork;       /* where the timeline begins */
	size_t segments;  /* of the timeline that the server will archive now */
	bool complete;    /* they reach back to the fork: the timeline is archived without a gap */
	bool server_seen; /* something answered at conninfo, and it is another cluster or a standby */
};

/*
 * ERR_REFUSED: the directory is not a restore that ended, the server runs or has not ended recovery, the original runs, or the
 * timeline is taken. ERR_CONFIG: of another cluster; a repository cannot be asked. Interrupted, it can be repeated.
 */
int adopt_run(const struct op *op, const struct adopt_options *o, struct adopt_result *out, struct err *err);

#endif
