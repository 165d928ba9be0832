/*
 * Timeline history files, and the path through timelines that one describes. Follows src/backend/access/transam/timeline.c.
 *
 * Each line names a timeline and the position where the path left it. Positions may go backwards (a restore to a point
 * before an earlier fork): then the lowest of the later ones counts, and a timeline in between holds nothing.
 */
#ifndef PGCAIRN_PG_TIMELINE_H
#define PGCAIRN_PG_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/scope.h"
#include "pg/lsn.h"

#define TIMELINE_ENTRIES_MAX 65536
#define TIMELINE_FILE_MAX ((size_t)8 << 20)
#define TIMELINE_LSN_END UINT64_MAX /* the newest timeline has no end */

struct timeline_entry {
	timeline_t tli;
	lsn_t switch_lsn; /* as written; timeline_switch_end gives the one that counts */
};

struct timeline_history {
	timeline_t timeline; /* whose history it is: the file's name */
	size_t n;            /* its ancestors, oldest first; 0 for timeline 1 */
	struct timeline_entry *entries;
};

/*
 * Comments, blank lines and text behind the position are passed over; a last line may lack its newline. ERR_CORRUPT for
 * anything else, for ids that do not grow, and for ids that are not below timeline. len 0 is a history without ancestors.
 */
int timeline_history_parse(struct timeline_history *out, timeline_t timeline, const char *data, size_t len, struct err *err);
void timeline_history_free(struct timeline_history *h); /* all zero afterwards */

/* The timeline of the path that holds the byte at lsn. */
timeline_t timeline_of_lsn(const struct timeline_history *h, lsn_t lsn);

/* True when the byte at lsn is on the path through tli. A record's end, or a backup's stop, may equal the end: use
 * timeline_switch_end for those. */
bool timeline_history_covers(const struct timeline_history *h, timeline_t tli, lsn_t lsn);

/* Where the path leaves tli; TIMELINE_LSN_END for the newest. False when tli is not on the path. */
bool timeline_switch_end(const struct timeline_history *h, timeline_t tli, lsn_t *end);

/*
 * Where two paths part: up to this position they are the same. TIMELINE_LSN_END for two that are the same; 0 when they begin
 * differently.
 */
lsn_t timeline_fork(const struct timeline_history *a, const struct timeline_history *b);

static inline void
scope_timeline_history(struct timeline_history *h)
{
	timeline_history_free(h);
}
#define TIMELINE_HISTORY_AUTO SCOPE(scope_timeline_history)

#endif
