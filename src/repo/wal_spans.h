/*
 * Numbers of segments as stretches: a million names that follow one another take the memory of one. mask says in which
 * repositories they are, a bit each.
 */
#ifndef PGCAIRN_REPO_WAL_SPANS_H
#define PGCAIRN_REPO_WAL_SPANS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct wal_span {
	uint64_t first, n; /* segments first .. first + n - 1; n is not 0 */
	uint32_t mask;     /* all of them in the same repositories */
};

/* In order, without overlaps; neighbours that touch differ in their masks. Zero is empty. */
struct wal_spans {
	struct wal_span *list;
	size_t n, cap;
};

void wal_spans_free(struct wal_spans *s); /* all zero afterwards */

/*
 * One more segment of one repository. They may come in any order and twice; s is in order only when wal_spans_unite has taken
 * it, unless they came in order.
 */
int wal_spans_add(struct wal_spans *s, uint64_t segno, uint32_t mask, struct err *err);

/* What one repository has, added to what others have; from is empty then. */
int wal_spans_unite(struct wal_spans *s, struct wal_spans *from, struct err *err);

/* Index of the first that holds segno or lies behind it; s->n when there is none. */
size_t wal_spans_from(const struct wal_spans *s, uint64_t segno);

/* Who has it: 0 when nobody. */
uint32_t wal_spans_mask(const struct wal_spans *s, uint64_t segno);

/* How many segments. */
uint64_t wal_spans_count(const struct wal_spans *s);

static inline uint64_t
wal_span_last(const struct wal_span *span)
{
	return span->first + (span->n - 1);
}

#endif
