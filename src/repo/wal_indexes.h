/* Which indexes over WAL there are, by their names. Whether one can be believed shows when it is read. */
#ifndef PGCAIRN_REPO_WAL_INDEXES_H
#define PGCAIRN_REPO_WAL_INDEXES_H

#include "repo/wal_index.h"

struct wal_index_entry {
	uint64_t first;
	uint32_t n, repository; /* by place */
	bool passed_over;       /* it was read and cannot be used: set by who found out */
};

/* Of one timeline. Zero is empty. */
struct wal_indexes {
	struct wal_index_entry *list;
	size_t n, cap;
};

int wal_indexes_add(struct wal_indexes *x, uint32_t repository, const struct wal_index_name *name, struct err *err);
void wal_indexes_sort(struct wal_indexes *x); /* before the two below */
void wal_indexes_free(struct wal_indexes *x); /* all zero afterwards */

/* The longest that begins with segment first and ends no later than last; NULL when there is none that can be used. */
struct wal_index_entry *wal_indexes_from(const struct wal_indexes *x, uint32_t repository, uint64_t first, uint64_t last);

/* One that has a row for segno; NULL when there is none that can be used. */
struct wal_index_entry *wal_indexes_over(const struct wal_indexes *x, uint32_t repository, uint64_t segno);

#endif
