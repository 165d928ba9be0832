/*
 * The files of a backup onto the disk: pieces sorted by their place in the packs, one job a few frames, several at once; every
 * file's CRC-32C is put together from its pieces and compared with the manifest; then everything is fsynced. pg_control is left
 * to the caller, who writes it when all else is durable.
 */
#ifndef PGCAIRN_OPS_RESTORE_FILES_H
#define PGCAIRN_OPS_RESTORE_FILES_H

#include "ops/restore.h"
#include "ops/restore_entries.h"
#include "repo/pack_reader.h"

struct restore_files {
	const struct restore_options *options;
	struct restore_entries *entries;
	struct pack_reader *packs;
	struct worker_pool *pool;
	int root;         /* PGDATA */
	uint8_t *control; /* bytes of global/pg_control, for the caller to write */
	size_t control_len;
};

/* Directories and links to tablespaces must be there. */
int restore_files_run(struct restore_files *f, struct err *err);

/* The path below PGDATA of a file or directory entry; of a configuration file: below RESTORE_CONFIG. ERR_CORRUPT when it is too
 * long. */
int restore_path(const struct restore_entry *e, char *out, size_t size, struct err *err);

/* Entries that are never written: signal files, locks and sessions of the original. */
bool restore_skips(const struct restore_entry *e);

#endif
