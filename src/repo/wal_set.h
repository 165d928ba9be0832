/*
 * Which WAL there is of one cluster, over several repositories: one listing each, names only. A segment that any of them has is
 * there; the mask says who. Memory grows with the holes, not with the segments.
 */
#ifndef PGCAIRN_REPO_WAL_SET_H
#define PGCAIRN_REPO_WAL_SET_H

#include "codec/content_id.h"
#include "pg/timeline.h"
#include "repo/gap.h"
#include "repo/wal_indexes.h"
#include "repo/wal_spans.h"

#define WAL_SET_REPOSITORIES 32

struct wal_set_timeline {
	timeline_t timeline;
	bool known;    /* its history is there, or it is the first */
	bool disputed; /* repositories hold different histories: two servers took its number */
	struct timeline_history history;
	uint8_t content_id[CONTENT_ID]; /* of that history */
	struct wal_spans spans;         /* its segments; mask: bit i, repository i has them */
	struct wal_indexes indexes;     /* of its segments, by what names say */
	struct wal_spans listed;        /* while it is loaded: of the repository that is listed just now */
};

struct wal_set {
	uint64_t sysid;
	uint32_t segment_size;
	struct wal_set_timeline *timelines; /* in order */
	size_t n;
	struct gap_set gaps; /* of all repositories; those that a good copy has healed too */
};

/* repositories: borrowed, n at most WAL_SET_REPOSITORIES; their order gives the bits. */
int wal_set_load(struct wal_set **out, struct repository *const *repositories, size_t n, uint64_t sysid, struct err *err);
void wal_set_free(struct wal_set *s);

static inline void
scope_wal_set(struct wal_set **s)
{
	wal_set_free(*s);
}
#define WAL_SET_AUTO SCOPE(scope_wal_set)

const struct wal_set_timeline *wal_set_timeline(const struct wal_set *s, timeline_t timeline); /* NULL: nothing of it */

/* Who has it: 0 when nobody. */
uint32_t wal_set_mask(const struct wal_set *s, timeline_t timeline, uint64_t segno);

/* The whole segment was given up, and nobody has a good copy of it; NULL when not. */
const struct gap_record *wal_set_gap(const struct wal_set *s, timeline_t timeline, uint64_t segno);

#endif
