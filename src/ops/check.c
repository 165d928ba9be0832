#include "ops/check.h"

#include <inttypes.h>
#include <stdarg.h>

#include "base/clock.h"
#include "ops/check_work.h"

const char *
check_severity_name(enum check_severity s)
{
	static const char *const names[] = {"ok", "note", "warning", "critical"};

	return names[s];
}

void
check_add(struct check *c, enum check_severity severity, const char *name, const char *repository, const char *remedy,
    const char *fmt, ...)
{
	struct check_result *r = c->result;
	struct check_finding *more = realloc(r->list, (r->n + 1) * sizeof(*more)), *f;
	va_list ap;

	if (more == NULL) {
		c->failed = true;
		return;
	}
	r->list = more;
	f = &more[r->n++];
	*f = (struct check_finding){.severity = severity, .check = name};
	(void)snprintf(f->repository, sizeof(f->repository), "%s", repository);
	(void)snprintf(f->remedy, sizeof(f->remedy), "%s", remedy != NULL ? remedy : "");
	va_start(ap, fmt);
	(void)vsnprintf(f->what, sizeof(f->what), fmt, ap);
	va_end(ap);
	r->count[severity]++;
	if (severity > CHECK_NOTE && severity > r->worst)
		r->worst = severity;
}

void
check_add_err(struct check *c, enum check_severity severity, const char *name, const char *repository, const struct err *err)
{
	check_add(c, severity, name, repository, err->hint, "%s", err->msg);
}

void
check_format_age(char *out, size_t size, int64_t seconds)
{
	if (seconds < 120)
		(void)snprintf(out, size, "%" PRId64 " s", seconds);
	else if (seconds < 7200)
		(void)snprintf(out, size, "%" PRId64 " min", seconds / 60);
	else if (seconds < 48 * 3600)
		(void)snprintf(out, size, "%" PRId64 " h", seconds / 3600);
	else
		(void)snprintf(out, size, "%" PRId64 " days", seconds / 86400);
}

static void
check_retention(struct check *c)
{
	const struct config *cfg = c->op->config;

	if (cfg->retention_window_ms == 0 && cfg->retention_minimum == 0)
		check_add(c, CHECK_NOTE, "retention", "", "set [retention] window", "no [retention]: nothing is ever deleted");
}

enum check_severity
check_space_severity(const struct check *c, uint64_t free_bytes, uint64_t total_bytes, uint64_t *percent)
{
	const struct config *cfg = c->op->config;

	*percent = total_bytes == 0 ? 100 : (uint64_t)((double)free_bytes / (double)total_bytes * 100);
	return *percent < cfg->space_critical ? CHECK_CRITICAL : *percent < cfg->space_warning ? CHECK_WARNING : CHECK_OK;
}

/* A decision, and so no failure at first; but the server's disk fills while nobody remembers it. */
static void
check_stopped(struct check *c)
{
	int64_t age = (clock_now_us() - c->info.stop.time_us) / 1000000;
	char text[DECISION_TEXT];

	if (c->info.stop_unknown.kind != 0)
		check_add(c, CHECK_WARNING, "stopped", "", c->info.stop_unknown.hint,
		    "it is not known whether archiving from this host is stopped: %s", c->info.stop_unknown.msg);
	if (!c->info.stopped)
		return;
	c->stands_still = true;
	decision_describe(&c->info.stop, text);
	check_add(c, age > c->op->config->archive_max_age_ms / 1000 ? CHECK_CRITICAL : CHECK_WARNING, "stopped", "",
	    "pgcairn start, before pg_wal fills its disk", "archiving from this host is stopped %s", text);
}

int
check_run(const struct op *op, const struct check_options *o, struct check_result *result, struct err *err)
{
	struct check_result r = {.backup_age_s = -1, .ready = -1, .pg_wal_rate = -1, .pg_wal_full_s = -1};
	struct check c = {.op = op, .options = o, .result = &r};
	int rc = info_collect(op, &c.info, err);

	if (rc == 0) {
		check_identity(&c);
		check_retention(&c);
		check_stopped(&c);
		check_repositories(&c);
		check_server(&c);
		if (c.failed)
			rc = err_set(err, ERR_NOMEM, 0, "out of memory for findings");
	}
	info_free(&c.info);
	free(c.pg_wal.list);
	if (rc < 0) {
		check_result_free(&r);
		return rc;
	}
	*result = r;
	return 0;
}

void
check_result_free(struct check_result *r)
{
	free(r->list);
	free(r->lags);
	*r = (struct check_result){0};
}
