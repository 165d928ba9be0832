/*
 * check: is it well? Every line is one thing that was looked at, how it stands, and what to do about it.
 *
 * Notes are facts of a set-up that somebody chose (same file system, no retention, the identity on this host): they are said
 * and count for nothing. Archiving is proved end to end where that can be: a segment is closed and has to arrive in as many
 * repositories as [archive] acknowledge asks for.
 */
#ifndef PGCAIRN_OPS_CHECK_H
#define PGCAIRN_OPS_CHECK_H

#include "ops/op.h"

enum check_severity { CHECK_OK, CHECK_NOTE, CHECK_WARNING, CHECK_CRITICAL };

struct check_options {
	int64_t timeout_ms; /* for the segment to arrive; 0: a minute */
	bool no_switch;     /* do not close a segment */
};

struct check_finding {
	enum check_severity severity;
	const char *check;                 /* a word: repository, keys, backup, archiving, ... */
	char repository[LAYOUT_LABEL_MAX]; /* "" when it is not about one */
	char what[768];
	char remedy[512]; /* "" when there is nothing to do */
};

struct check_lag {
	const char *repository; /* borrowed from the configuration */
	uint64_t segments, bytes;
	int64_t seconds; /* since the first that it lacks was closed; -1: longer than pg_wal reaches back */
};

struct check_result {
	struct check_finding *list; /* in the order of looking */
	size_t n;
	size_t count[4];           /* by severity */
	enum check_severity worst; /* notes count as ok */
	int64_t backup_age_s;      /* of the newest in any repository; -1: none */
	int64_t ready;             /* segments that wait for archiving; -1: not known */
	int64_t oldest_ready_s;
	char proved[WAL_NAME_MAX]; /* the segment that arrived; "" when nothing was proved */
	int64_t proved_ms;
	struct check_lag *lags; /* of the repositories that can be compared with the server */
	size_t n_lags;
	uint64_t pg_wal_free, pg_wal_total; /* bytes; total 0: not known */
	double pg_wal_rate;                 /* bytes a second; -1: not known */
	int64_t pg_wal_full_s;              /* until it is full, if archiving stood still; -1: not known, INT64_MAX: never */
};

/* ERR_NOMEM alone. */
int check_run(const struct op *op, const struct check_options *o, struct check_result *result, struct err *err);
void check_result_free(struct check_result *r);

const char *check_severity_name(enum check_severity s);

#endif
