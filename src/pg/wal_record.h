/*
 * What a WAL record says about time and targets. Follows src/include/access/{xlogrecord,xact,xlog_internal}.h and
 * catalog/pg_control.h of PostgreSQL 14 to 18.
 */
#ifndef PGCAIRN_PG_WAL_RECORD_H
#define PGCAIRN_PG_WAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/limits.h"
#include "pg/lsn.h"

#define WAL_RECORD_HEADER 24
#define WAL_RECORD_CRC_AT 20                /* the checksum stands last in the header and covers what is before it */
#define WAL_RECORD_MAX UINT32_C(0x3FFFFFFF) /* what a server can allocate; since 16 it stops at 1020 MB */
#define WAL_POINT_NAME_MAX 64               /* of a restore point, NUL included */

#define WAL_RMGR_XLOG 0
#define WAL_RMGR_XACT 1

enum wal_record_kind {
	WAL_RECORD_OTHER,
	WAL_RECORD_SWITCH, /* the rest of the segment is zero */
	WAL_RECORD_COMMIT,
	WAL_RECORD_ABORT,
	WAL_RECORD_COMMIT_PREPARED,
	WAL_RECORD_ABORT_PREPARED,
	WAL_RECORD_RESTORE_POINT,
	WAL_RECORD_OVERWRITE, /* an earlier record was given up */
	WAL_RECORD_LEVEL,     /* says which wal_level is in force */
};

struct wal_record_info {
	lsn_t lsn;     /* where it starts */
	lsn_t end_lsn; /* behind it, aligned; a switch ends with its segment */
	lsn_t prev;    /* start of the record before it; 0 at the very beginning of WAL */
	uint32_t total;
	uint32_t xid; /* of prepared transactions theirs; 0: none, or too far into a record that crosses pages */
	uint8_t rmid, info;
	enum wal_record_kind kind;
	bool has_time; /* commits, aborts, restore points */
	int64_t time_us;
	char name[WAL_POINT_NAME_MAX]; /* restore points; always ends in a NUL */
	lsn_t overwritten;             /* WAL_RECORD_OVERWRITE: start of the record that was given up */
	int32_t wal_level;             /* WAL_RECORD_LEVEL: 0 is minimal */
	bool has_limits;               /* the server was started with these */
	struct server_limits limits;
};

/*
 * From the record's first bytes: at least the header; more of it gives more answers. end_lsn is left alone, lsn too. What
 * the bytes do not reach stays unknown (has_time false, xid 0, kind WAL_RECORD_OTHER for a restore point).
 */
void wal_record_describe(const uint8_t *rec, size_t have, int major, struct wal_record_info *out);

/* What a target is searched for, by the same bytes: the end of a transaction, a restore point, a change of settings. */
bool wal_record_may_be_target(uint8_t rmid, uint8_t info);

/* A switch by the bytes of its header that hold info and resource manager. */
static inline bool
wal_record_is_switch(uint8_t rmid, uint8_t info)
{
	return rmid == WAL_RMGR_XLOG && (info & 0xF0) == 0x40;
}

/* The record that a server writes when it starts with other limits, or another wal_level, than before. */
static inline bool
wal_record_is_parameter_change(uint8_t rmid, uint8_t info)
{
	return rmid == WAL_RMGR_XLOG && (info & 0xF0) == 0x60;
}

#endif
