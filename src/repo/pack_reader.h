/*
 * Frames of a backup's packs, each from whichever repository has it whole. A pack is believed only when its object digest is
 * the one that the manifest pins. Thread-safe; what was opened stays open (an index of some 14 kB a pack) until free.
 */
#ifndef PGCAIRN_REPO_PACK_READER_H
#define PGCAIRN_REPO_PACK_READER_H

#include "repo/manifest.h"

struct pack_reader;

/* repositories whose bit is set in mask are asked, in their order. All arguments are borrowed until free. */
int pack_reader_new(struct pack_reader **out, struct repository *const *repositories, size_t n, uint32_t mask,
    const struct manifest_head *head, struct keyring *ring, struct err *err);
void pack_reader_free(struct pack_reader *p);

static inline void
scope_pack_reader(struct pack_reader **p)
{
	pack_reader_free(*p);
}
#define PACK_READER_AUTO SCOPE(scope_pack_reader)

/*
 * n frames of a pack, up to OBJECT_HASH_LANES: frame + k into plain + k * OBJECT_FRAME; *len: bytes of all of them. stored is
 * scratch of n times OBJECT_FRAME_STORED_MAX bytes.
 */
int pack_reader_frames(struct pack_reader *p, uint32_t pack, uint32_t frame, uint32_t n, uint8_t *stored, uint8_t *plain,
    size_t *len, struct err *err);

#endif
