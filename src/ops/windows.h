/*
 * What could be restored out of one repository alone: the stretches of WAL that continue from a backup, and where WAL is
 * missing or breaks. It reads names and clear parts and needs no key.
 */
#ifndef PGCAIRN_OPS_WINDOWS_H
#define PGCAIRN_OPS_WINDOWS_H

#include "repo/backup_set.h"
#include "repo/wal_chain.h"

/* Any moment from..to of one system can be had: from is the stop of the oldest backup whose WAL goes on to here. */
struct window {
	uint64_t sysid;
	timeline_t timeline;
	lsn_t from_lsn, to_lsn;
	int64_t from_time_us; /* the backup's stop, by the clock of the host that took it */
	int64_t to_time_us;   /* newest commit; from_time_us when there is none behind it */
	char backup[LAYOUT_LABEL_MAX];
};

/*
 * A hole: segments first..last are not there (missing > 0), or the chain breaks at first although it is there (missing 0). One
 * segment that was given up is a hole of its own.
 */
struct wal_gap {
	uint64_t sysid;
	timeline_t timeline;
	uint64_t missing;
	char first[WAL_NAME_MAX], last[WAL_NAME_MAX];
	char what[768];
	bool recorded; /* given up: decision says who, when and why */
	struct decision decision;
};

struct windows {
	struct window *list;
	size_t n;
	struct wal_gap *gaps;
	size_t n_gaps;
	/* Segments behind a backup that were stored without being looked into: a PostgreSQL newer than the pgcairn that stored
	 * them. */
	uint64_t unverified;
	uint64_t unverified_sysid; /* of the last of them */
	char last_unverified[WAL_NAME_MAX];
};

/*
 * Adds the windows and gaps of one system identifier (set is of this repository alone). usable[i] becomes true when backup i of
 * the set has its WAL from start to stop; usable has room for backups->n. A segment that is damaged is a gap; an error means
 * that the repository could not be read.
 */
int windows_find(struct windows *w, struct repository *r, const struct wal_set *set, const struct backup_set *backups,
    bool *usable, struct err *err);

/* The gaps that names alone show, for whoever checks the chain by other means. */
int windows_gaps(struct windows *w, const struct wal_set *set, struct err *err);

void windows_free(struct windows *w); /* all zero afterwards */

#endif
