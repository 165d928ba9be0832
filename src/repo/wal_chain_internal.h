/* What the parts of wal_chain share: wal_chain.c builds, wal_link.c gets the facts, wal_chain_path.c knows the path. For them
 * only. */
#ifndef PGCAIRN_REPO_WAL_CHAIN_INTERNAL_H
#define PGCAIRN_REPO_WAL_CHAIN_INTERNAL_H

#include "pg/wal_join.h"
#include "repo/wal_chain.h"

/* Where a timeline of the path begins. */
lsn_t wal_path_begin(const struct timeline_history *path, timeline_t timeline);

/* The timeline whose file recovery would take for this segment; 0 when there is none. */
timeline_t wal_path_choose(const struct wal_set *set, const struct timeline_history *path, uint64_t segno);

/* There is no segment missing: is that a recorded gap, or a hole with more behind it, up to last? Into broken and gap. */
void wal_chain_tell_end(struct wal_chain *c, uint64_t missing, uint64_t last);

/* Open a segment in the first repository, from *at on, whose index of it is whole; *at is the one behind it then. */
int wal_chain_open(
    const struct wal_chain *c, timeline_t timeline, uint64_t segno, size_t *at, struct stored **out, struct err *err);

/*
 * The next links, from segno of this timeline on and no further than last, all of which have the same first repository: a row
 * by its index where there is one, else the rows of one, else what the segment says itself. At least one is added, or the
 * reason is in c->broken and that is returned. ERR_NOMEM: err.
 */
int wal_chain_add(struct wal_chain *c, struct wal_join *join, timeline_t timeline, uint64_t last, struct err *err);

/* The segments of a link that is a row, one by one. */
int wal_link_segments(const struct wal_chain *c, size_t link, struct wal_link *out, struct err *err);

void wal_link_free(struct wal_link *l);

#endif
