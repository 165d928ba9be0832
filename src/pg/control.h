/*
 * pg_control and PG_VERSION. Follows src/include/catalog/pg_control.h for the versions 1300 (PostgreSQL 14 to 16), 1700 and
 * 1800, as a little-endian 64-bit server writes them.
 */
#ifndef PGCAIRN_PG_CONTROL_H
#define PGCAIRN_PG_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/limits.h"
#include "pg/lsn.h"

#define CONTROL_FILE_SIZE 8192
#define CONTROL_PARSED_MIN 296 /* everything behind this is padding */

enum control_state {
	CONTROL_STARTUP,
	CONTROL_SHUT_DOWN,
	CONTROL_SHUT_DOWN_IN_RECOVERY,
	CONTROL_SHUTTING_DOWN,
	CONTROL_CRASH_RECOVERY,
	CONTROL_ARCHIVE_RECOVERY,
	CONTROL_IN_PRODUCTION,
};

struct control {
	uint64_t sysid;
	uint32_t version;
	uint32_t catalog_version;
	enum control_state state;
	int64_t time; /* of the last update; seconds since 1970 */

	lsn_t checkpoint_lsn;
	lsn_t redo_lsn;
	timeline_t timeline, prev_timeline; /* of the checkpoint */
	bool full_page_writes;
	uint64_t next_xid; /* with its epoch */
	uint32_t next_oid;
	int64_t checkpoint_time; /* seconds since 1970 */

	lsn_t min_recovery_lsn;
	timeline_t min_recovery_timeline;
	lsn_t backup_start_lsn, backup_end_lsn;
	bool backup_end_required;

	int32_t wal_level; /* 0 minimal, 1 replica, 2 logical */
	bool wal_log_hints;
	/* a standby, and a restore that is to be read from, needs at least these */
	struct server_limits limits;
	bool track_commit_timestamp;

	uint32_t block_size;
	uint32_t relation_segment_blocks;
	uint32_t wal_page_size;
	uint32_t wal_segment_size;
	uint32_t data_checksum_version; /* 0: off */
};

/* ERR_CORRUPT: too short, CRC, sizes that cannot be. ERR_REFUSED: a version that we do not know. */
int control_parse(struct control *out, const uint8_t *data, size_t len, struct err *err);

/*
 * PGDATA/global/pg_control. The server may be writing it: with a wrong CRC it is read again, 5 times in all, 10 ms apart.
 * ERR_NOT_FOUND when there is none.
 */
int control_read_pgdata(const char *pgdata, struct control *out, struct err *err);

/* The text of a PG_VERSION file: the major. ERR_CORRUPT when it is none of 10 to 999. */
int control_parse_version(const char *data, size_t len, int *major, struct err *err);
/* PGDATA/PG_VERSION. ERR_NOT_FOUND: not a data directory. */
int control_read_version(const char *pgdata, int *major, struct err *err);

#endif
