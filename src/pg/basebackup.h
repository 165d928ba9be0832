/*
 * A base backup over the replication protocol: one stream, read once, told as events (pg/backup_stream.h).
 *
 * Follows the chapter "Streaming Replication Protocol" and src/backend/replication/repl_gram.y. The server is not asked to
 * verify page checksums (one bad page would end the backup), to wait for its archive, or to send WAL.
 */
#ifndef PGCAIRN_PG_BASEBACKUP_H
#define PGCAIRN_PG_BASEBACKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "pg/backup_stream.h"
#include "pg/conn.h"
#include "pg/lsn.h"

#define BASEBACKUP_LABEL_MAX 1024
#define BASEBACKUP_RATE_MIN 32 /* kB/s */
#define BASEBACKUP_RATE_MAX 1048576

struct basebackup_options {
	const char *label;     /* printable text up to BASEBACKUP_LABEL_MAX bytes; NULL: "pgcairn" */
	bool spread;           /* let the checkpoint take its time; else at once */
	uint32_t max_rate_kb;  /* kB/s within the limits above; 0: none */
	bool without_progress; /* no estimates: the server need not walk the directories first */
};

struct basebackup_stop {
	lsn_t lsn;
	timeline_t timeline;
};

/* The command for a server of that major (14 and up), as text appended to out. ERR_CONFIG for options that it cannot have. */
int basebackup_command(struct buf *out, unsigned major, const struct basebackup_options *options, struct err *err);

/*
 * Take a base backup on a replication connection. 0 only after the server has said that the command is complete and is ready
 * for another. ERR_CORRUPT: the stream broke its protocol, or the server found corrupted data; ERR_RETRY: the connection or the
 * server went away; ERR_AUTH: no right to do this; or what an event or the interrupt returned. The connection may be used again
 * only after 0.
 */
int basebackup_run(struct pg_connection *c, const struct basebackup_options *options, const struct backup_events *events,
    void *arg, const struct pg_interrupt *interrupt, struct basebackup_stop *stop, struct err *err);

struct basebackup_identity {
	uint64_t system_identifier;
	timeline_t timeline;
	lsn_t flushed; /* on a standby: the last that was replayed or received */
	uint32_t wal_segment_size;
	mode_t data_directory_mode; /* 0700 or 0750 */
};

/* Who answers on this replication connection. */
int basebackup_identify(struct pg_connection *c, struct basebackup_identity *out, struct err *err);

#endif
