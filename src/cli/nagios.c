#include "cli/nagios.h"

#include <inttypes.h>

#include "base/str.h"
#include "cli/output.h"

/* Up to the bar is read by people, behind it by programs: no bar and no line end may come from a message. */
static int
finish_text(struct buf *b, struct err *err)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] == '|' || b->data[i] == '\n')
			b->data[i] = ' ';
	return buf_printf(b, err, " |");
}

static int
print_text(struct buf *b, const struct op *op, const struct check_result *r, struct err *err)
{
	static const char *const words[] = {"OK", "OK", "WARNING", "CRITICAL"};
	size_t told = 0;
	int rc = buf_printf(b, err, "%s - pgcairn %s:", words[r->worst], op->cluster->name);

	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		const struct check_finding *f = &r->list[i];

		if (f->severity > CHECK_NOTE && f->severity == r->worst)
			rc = buf_printf(b, err, "%s %s%s%s: %s", told++ > 0 ? ";" : "", f->check,
			    f->repository[0] != '\0' ? " " : "", f->repository, f->what);
	}
	if (rc == 0 && told == 0)
		rc = buf_printf(b, err, " %zu checks are fine", r->count[CHECK_OK]);
	if (rc == 0 && r->worst == CHECK_CRITICAL && r->count[CHECK_WARNING] > 0)
		rc = buf_printf(b, err, "; warnings: %zu", r->count[CHECK_WARNING]);
	return rc < 0 ? rc : finish_text(b, err);
}

/* Thresholds as ranges: "N" alerts above it, "N:" below it. */
static int
print_performance(struct buf *b, const struct config *cfg, const struct check_result *r, struct err *err)
{
	int rc = 0;

	if (r->backup_age_s >= 0)
		rc = buf_printf(b, err, " backup_age=%" PRId64 "s;%" PRId64 ";%" PRId64 ";0", r->backup_age_s,
		    cfg->backup_max_age_ms / 1000, 2 * cfg->backup_max_age_ms / 1000);
	if (rc == 0 && r->ready >= 0)
		rc = buf_printf(b, err, " ready=%" PRId64 ";;;0 oldest_ready=%" PRId64 "s;;%" PRId64 ";0", r->ready,
		    r->oldest_ready_s, cfg->archive_max_age_ms / 1000);
	if (rc == 0 && r->proved[0] != '\0')
		rc = buf_printf(b, err, " archived_in=%.3fs;;;0", (double)r->proved_ms / 1000);
	for (size_t i = 0; rc == 0 && i < r->n_lags; i++) {
		const struct check_lag *l = &r->lags[i];

		rc = buf_printf(b, err, " lag_segments_%s=%" PRIu64 ";;;0 lag_bytes_%s=%" PRIu64 "B;;;0", l->repository,
		    l->segments, l->repository, l->bytes);
		if (rc == 0 && l->seconds >= 0)
			rc = buf_printf(b, err, " lag_seconds_%s=%" PRId64 "s;%" PRId64 ";;0", l->repository, l->seconds,
			    cfg->lag_max_age_ms / 1000);
	}
	if (rc == 0 && r->pg_wal_total > 0)
		rc = buf_printf(b, err, " pg_wal_free=%" PRIu64 "B;%" PRIu64 ":;%" PRIu64 ":;0;%" PRIu64, r->pg_wal_free,
		    r->pg_wal_total / 100 * cfg->space_warning, r->pg_wal_total / 100 * cfg->space_critical, r->pg_wal_total);
	if (rc == 0 && r->pg_wal_full_s >= 0 && r->pg_wal_full_s < INT64_MAX)
		rc = buf_printf(
		    b, err, " pg_wal_full_in=%" PRId64 "s;%" PRId64 ":;;0", r->pg_wal_full_s, cfg->pg_wal_full_in_ms / 1000);
	return rc < 0 ? rc : buf_printf(b, err, "\n");
}

enum nagios
nagios_unknown(const struct err *why)
{
	BUF_AUTO struct buf b = {0};
	struct err err = {0};

	if (buf_printf(&b, &err, "UNKNOWN - pgcairn: %s", why->msg) == 0 && finish_text(&b, &err) == 0) {
		b.len -= 2; /* no performance data, no bar */
		if (buf_printf(&b, &err, "\n") == 0)
			(void)output_text(&b, &err);
	}
	return NAGIOS_UNKNOWN;
}

enum nagios
nagios_report(const struct op *op, const struct check_result *r)
{
	BUF_AUTO struct buf b = {0};
	struct err err = {0};
	int rc = print_text(&b, op, r, &err);

	if (rc == 0)
		rc = print_performance(&b, op->config, r, &err);
	if (rc == 0)
		rc = output_text(&b, &err);
	if (rc < 0)
		return nagios_unknown(&err);
	return r->worst == CHECK_CRITICAL ? NAGIOS_CRITICAL : r->worst == CHECK_WARNING ? NAGIOS_WARNING : NAGIOS_OK;
}

bool
nagios_wanted(int argc, char *const *argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--nagios") == 0)
			return true;
	return false;
}
