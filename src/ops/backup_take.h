/*
 * One backup on its way: the server's stream into packs and lines of the manifest, checked as it passes.
 */
#ifndef PGCAIRN_OPS_BACKUP_TAKE_H
#define PGCAIRN_OPS_BACKUP_TAKE_H

#include "ops/backup.h"
#include "ops/backup_check.h"
#include "ops/backup_pages.h"
#include "pg/basebackup.h"
#include "pg/label.h"
#include "repo/pack.h"

#define BACKUP_BAD_PAGES_LOGGED 100

struct backup {
	const struct op *op;
	const struct backup_options *options;
	struct backup_result *result;
	struct writer *writer;
	struct fanout *fanout;
	struct backup_server server;
	struct pg_connection *stream;
	struct basebackup_identity identity;
	struct pg_interrupt interrupt;
	struct epoch epoch;

	/* what is being written */
	struct pack_writer *packs;
	struct writer_object manifest;
	struct manifest_counts counts;
	struct buf line;

	/* what is coming in */
	const struct backup_tablespace *tablespaces; /* the stream's; valid while it runs */
	const struct backup_tablespace *tablespace;  /* of the archive that is coming; oid 0: the data directory */
	uint64_t total;                              /* the server's estimate of all bytes, 0: none */
	struct manifest_entry entry;                 /* the file that is coming */
	size_t runs_cap;
	uint32_t crc;      /* of it so far, raw */
	bool left_out;     /* it is ours, and not for the backup */
	bool in_manifest;  /* it is the server's manifest */
	bool control_seen; /* global/pg_control came */
	struct backup_pages pages;
	struct buf label; /* backup_label's bytes */
	struct backup_check *check;
	struct server_manifest *listed;
	struct server_manifest_range newest, oldest; /* of the server's manifest; it lists the newest first */
	bool *told;                                  /* by target: its failure was logged */
};

/* Start packs and manifest and read the stream to its end: then every file is in the packs and has its line, the server's
 * manifest agrees, and the result's head has all positions. */
int backup_take(struct backup *b, struct err *err);

/* For configuration files: a file that did not come over the stream. */
int backup_file_begin(
    struct backup *b, enum manifest_kind kind, const char *path, mode_t mode, int64_t mtime_s, struct err *err);
int backup_file_data(struct backup *b, const void *bytes, size_t len, struct err *err);
int backup_file_end(struct backup *b, struct err *err);

/* Log repositories that dropped out since the last call. */
void backup_tell_failed(struct backup *b);

/* 0 while a repository is left, else the error of the first that failed. */
int backup_somebody_left(const struct backup *b, struct err *err);

/* ERR_RETRY when a signal has asked to stop. */
int backup_interrupted(struct backup *b, struct err *err);

#endif
