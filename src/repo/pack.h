/*
 * Packs: objects of many files' contents, one after the other. A file's place is a pack and a plain offset in it; frames of 1
 * MiB make every place reachable by a ranged read.
 *
 * A pack has up to PACK_PLAIN bytes. The manifest's clear part lists all packs and has a cap: so that no database is too large,
 * every 32,768 packs (8 TiB) that size doubles, up to 32 times.
 */
#ifndef PGCAIRN_REPO_PACK_H
#define PGCAIRN_REPO_PACK_H

#include "repo/manifest.h"

#define PACK_PLAIN ((uint64_t)256 << 20)

struct pack_writer;

/* writer, fanout, epoch, label and pool are borrowed until free. */
int pack_writer_new(struct pack_writer **out, struct writer *w, struct fanout *f, const struct epoch *epoch, const char *label,
    struct worker_pool *pool, struct err *err);

/*
 * Store bytes, at most PACK_PLAIN; *run says where they begin (pack, pack_offset) and how many (length); file_offset is left as
 * it is. All of them land in one pack. A repository that did not get a whole pack has failed in the fan-out; the error comes
 * back only when none is left. After an error only free is allowed.
 */
int pack_writer_append(struct pack_writer *p, const void *data, size_t len, struct manifest_run *run, struct err *err);

/* Publish the last pack. Then the packs, with their pins, are the caller's (malloc). */
int pack_writer_finish(struct pack_writer *p, struct manifest_pack **packs, size_t *n, struct err *err);
uint64_t pack_writer_stored(const struct pack_writer *p); /* bytes of the packs that were published */
void pack_writer_free(struct pack_writer *p);

static inline void
scope_pack_writer(struct pack_writer **p)
{
	pack_writer_free(*p);
}
#define PACK_WRITER_AUTO SCOPE(scope_pack_writer)

#endif
