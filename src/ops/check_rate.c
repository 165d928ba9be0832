/* How fast WAL comes, by the files in pg_wal: what was closed when, and how far the server is now. */
#include "ops/check_work.h"

#define HOUR_S 3600

bool
check_wal_rate(const struct check_pg_wal *w, uint32_t segment_size, lsn_t lsn, struct check_rate *out)
{
	const struct check_wal_file *since = NULL, *newest = NULL;
	lsn_t end;

	if (segment_size == 0)
		return false;
	for (size_t i = 0; lsn == 0 && i < w->n; i++)
		if (newest == NULL || w->list[i].age_s <= newest->age_s)
			newest = &w->list[i];
	if (newest != NULL)
		lsn = wal_segment_start(newest->segno, segment_size);
	for (size_t i = 0; i < w->n; i++) {
		const struct check_wal_file *f = &w->list[i];

		/* one that is being written, or was recycled for later, was closed at no time that its file tells */
		if (wal_segment_start(f->segno + 1, segment_size) > lsn)
			continue;
		if (since == NULL || f->age_s >= HOUR_S)
			since = f;
	}
	if (since == NULL)
		return false;
	end = wal_segment_start(since->segno + 1, segment_size);
	out->since = since;
	out->seconds = since->age_s > CHECK_RATE_LEAST_S ? since->age_s : CHECK_RATE_LEAST_S;
	out->bytes_per_s = (double)(lsn - end) / (double)out->seconds;
	return true;
}
