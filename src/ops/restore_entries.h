/* What a restore makes, in memory: the manifest's entries, and their places in the packs as pieces that lie in one frame each.
 */
#ifndef PGCAIRN_OPS_RESTORE_ENTRIES_H
#define PGCAIRN_OPS_RESTORE_ENTRIES_H

#include "repo/pack_reader.h"

struct restore_entry {
	char *path; /* relative to PGDATA; absolute for configuration files and tablespace locations */
	enum manifest_kind kind;
	mode_t mode;
	uint64_t size;
	uint32_t crc32c, tablespace;
	char setting[MANIFEST_SETTING_MAX]; /* that names the file to the server, or "" */
	bool replaced;                      /* what came from outside PGDATA goes to this file's place */
	size_t first_piece, n_pieces;
};

struct restore_piece {
	uint32_t entry; /* index */
	uint32_t pack, frame;
	uint32_t frame_offset, length;
	uint64_t file_offset;
	uint32_t crc0; /* of these bytes, raw, begun at 0; filled in when they are written */
};

struct restore_entries {
	struct restore_entry *list;
	size_t n, cap;
	struct restore_piece *pieces; /* file by file, in order */
	size_t n_pieces, cap_pieces;
};

int restore_entries_read(struct restore_entries *e, struct stored *manifest, const struct manifest_head *head,
    struct worker_pool *pool, struct err *err);
void restore_entries_free(struct restore_entries *e);

/* NULL when there is no file of this path. */
const struct restore_entry *restore_entries_file(const struct restore_entries *e, const char *path);

/* All bytes of a small file, appended to out and checked. ERR_CORRUPT: out's max is less than the file. */
int restore_entries_load(
    const struct restore_entries *e, const char *path, struct pack_reader *packs, struct buf *out, struct err *err);

#endif
