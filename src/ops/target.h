/*
 * Recovery targets: what the operator asked for, and the proof, before the disk is touched, that PostgreSQL will really stop
 * there. Follows recoveryStopsBefore and recoveryStopsAfter of src/backend/access/transam/xlogrecovery.c.
 */
#ifndef PGCAIRN_OPS_TARGET_H
#define PGCAIRN_OPS_TARGET_H

#include "repo/manifest.h"
#include "repo/wal_chain.h"

enum target_kind { TARGET_LATEST, TARGET_IMMEDIATE, TARGET_TIME, TARGET_LSN, TARGET_XID, TARGET_NAME };

struct target {
	enum target_kind kind;
	bool exclusive;
	int64_t time_us;
	lsn_t lsn;
	uint32_t xid;
	char name[WAL_POINT_NAME_MAX];
};

/* Where recovery stops. */
struct target_stop {
	lsn_t lsn;   /* of the record at which PostgreSQL stops; for latest and immediate where what is replayed ends */
	lsn_t end;   /* behind that record; 0 for latest and immediate */
	bool before; /* it stops before that record, else after it */
	bool has_time;
	int64_t time_us;     /* of that record */
	timeline_t timeline; /* whose file the record is read from */
	size_t link;         /* place in the chain of its segment */
	/*
	 * What the operator may not expect. Commit times are not in order: commits at or before a target time stand behind the
	 * record that ends recovery, the first of them in segment behind_link. A restore point's name was given again at again.
	 */
	bool commits_behind;
	size_t behind_link;
	lsn_t again; /* 0: it was not */
};

/* The search for the record that ends recovery. */
struct target_found {
	bool done; /* there is one */
	struct wal_record_info record;
	size_t link;        /* of record */
	int64_t newest_us;  /* latest end of a transaction that was seen, INT64_MIN: none */
	bool commits_first; /* transactions ended at or behind start and before record */
	bool commits_behind;
	size_t behind_link;
	lsn_t again;
};

/*
 * The first record at or behind start at which recovery to a time, an LSN, a transaction or a name stops. ring reads the
 * records. Without such a record done is false.
 */
int target_search(const struct target *t, const struct wal_chain *chain, lsn_t start, struct keyring *ring,
    struct target_found *out, struct err *err);

/*
 * Is the target reachable from this backup along this chain (which begins at the backup's start)? ERR_REFUSED with a message
 * that says why not, and with the newest or oldest that could be had; *too_early says that an older backup may reach it. ring
 * is needed for time, LSN, xid and name.
 */
int target_prove(const struct target *t, const struct manifest_head *backup, const struct wal_chain *chain,
    struct keyring *ring, struct target_stop *stop, bool *too_early, struct err *err);

/*
 * ERR_REFUSED when the server was set to wal_level = minimal between start and stop: recovery ends there with an error.
 */
int target_check_level(
    const struct wal_chain *chain, lsn_t start, const struct target_stop *stop, struct keyring *ring, struct err *err);

/* "2026-01-31T14:59:00Z", "LSN 0/3000000", ... */
void target_describe(const struct target *t, char *out, size_t size);

#endif
