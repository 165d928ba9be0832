#include "repo/wal_indexes.h"

int
wal_indexes_add(struct wal_indexes *x, uint32_t repository, const struct wal_index_name *name, struct err *err)
{
	if (x->n == x->cap) {
		size_t cap = x->cap == 0 ? 16 : x->cap * 2;
		struct wal_index_entry *grown = realloc(x->list, cap * sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for the names of indexes");
		x->list = grown;
		x->cap = cap;
	}
	x->list[x->n++] = (struct wal_index_entry){.first = name->first, .n = name->n, .repository = repository};
	return 0;
}

/* Of those that begin together the longest comes first. */
static int
by_place(const void *a, const void *b)
{
	const struct wal_index_entry *x = a, *y = b;

	if (x->repository != y->repository)
		return x->repository < y->repository ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->n > y->n ? -1 : x->n < y->n;
}

void
wal_indexes_sort(struct wal_indexes *x)
{
	if (x->n > 1)
		qsort(x->list, x->n, sizeof(*x->list), by_place);
}

void
wal_indexes_free(struct wal_indexes *x)
{
	free(x->list);
	*x = (struct wal_indexes){0};
}

/* Of a repository the first that begins with segno or behind it. */
static size_t
place_of(const struct wal_indexes *x, uint32_t repository, uint64_t segno)
{
	const struct wal_index_entry want = {.first = segno, .n = UINT32_MAX, .repository = repository};
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_place(&x->list[mid], &want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct wal_index_entry *
wal_indexes_from(const struct wal_indexes *x, uint32_t repository, uint64_t first, uint64_t last)
{
	for (size_t i = place_of(x, repository, first); i < x->n; i++) {
		struct wal_index_entry *e = &x->list[i];

		if (e->repository != repository || e->first != first)
			break;
		if (!e->passed_over && e->n - 1 <= last - first)
			return e;
	}
	return NULL;
}

struct wal_index_entry *
wal_indexes_over(const struct wal_indexes *x, uint32_t repository, uint64_t segno)
{
	/* none crosses such a multiple */
	for (size_t i = place_of(x, repository, segno - segno % WAL_INDEX_SEGMENTS); i < x->n; i++) {
		struct wal_index_entry *e = &x->list[i];

		if (e->repository != repository || e->first > segno)
			break;
		if (!e->passed_over && segno - e->first < e->n)
			return e;
	}
	return NULL;
}
