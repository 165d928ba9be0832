/*
 * How far a repository is behind: in segments and bytes, and in seconds since the first segment that it lacks was closed. A
 * repository that gets its segments a moment later than the others is well, so time decides.
 */
#include <inttypes.h>

#include "base/str.h"
#include "ops/check_work.h"

#define CRITICAL_TIMES 6
#define REMEDY                                                                                                                 \
	"see the logs for why it fails; the agent brings it what it lacks by itself, without one: pgcairn replicate --to it"

/* When the segment was closed; -1 when pg_wal does not have it any more. */
static int64_t
closed_since(const struct check *c, uint64_t segno)
{
	for (size_t i = 0; i < c->pg_wal.n; i++)
		if (c->pg_wal.list[i].segno == segno)
			return c->pg_wal.list[i].age_s;
	return -1;
}

static enum check_severity
judge(const struct check *c, const struct check_lag *l)
{
	int64_t limit = c->op->config->lag_max_age_ms / 1000;

	if (l->segments == 0)
		return CHECK_OK;
	if (l->seconds < 0) /* the server has kept it for as long as it must: that was a while */
		return CHECK_WARNING;
	return l->seconds > CRITICAL_TIMES * limit ? CHECK_CRITICAL : l->seconds > limit ? CHECK_WARNING : CHECK_OK;
}

static void
behind_server(struct check *c, const struct info_repository *r)
{
	const struct check_server *s = &c->server;
	struct check_result *result = c->result;
	uint64_t closed = s->lsn / s->segment_size - 1;
	struct check_lag *l = &result->lags[result->n_lags];
	char bytes[16], age[32], last[WAL_NAME_MAX];
	enum check_severity severity;

	*l = (struct check_lag){.repository = r->config->name};
	if (r->newest_segno < closed) {
		l->segments = closed - r->newest_segno;
		l->bytes = l->segments * s->segment_size;
		l->seconds = closed_since(c, r->newest_segno + 1);
	}
	result->n_lags++;
	severity = judge(c, l);
	if (l->segments == 0) {
		check_add(c, severity, "lag", l->repository, NULL, "its newest segment is the last that the server closed");
		return;
	}
	str_from_size(bytes, sizeof(bytes), l->bytes);
	check_format_age(age, sizeof(age), l->seconds);
	wal_segment_name(last, s->timeline, closed, s->segment_size);
	check_add(c, severity, "lag", l->repository, severity > CHECK_NOTE ? REMEDY : NULL,
	    "it is %" PRIu64 " segments behind, %s, %s%s: its newest is %s, the server's last closed one %s", l->segments,
	    bytes, l->seconds < 0 ? "longer than pg_wal reaches back" : "for ", l->seconds < 0 ? "" : age, r->newest, last);
}

static bool
is_behind(const struct info_repository *a, const struct info_repository *b)
{
	if (a->newest_system != b->newest_system)
		return a->newest_system < b->newest_system;
	return a->newest_timeline != b->newest_timeline ? a->newest_timeline < b->newest_timeline
							: a->newest_segno < b->newest_segno;
}

/* One that lacks the newest segment of another. */
static void
behind_others(struct check *c, const struct info_repository *r)
{
	const struct info_repository *ahead = r;

	for (size_t i = 0; i < c->info.n; i++) {
		const struct info_repository *other = &c->info.repositories[i];

		if (other->state == INFO_OK && is_behind(ahead, other))
			ahead = other;
	}
	if (ahead != r)
		check_add(c, CHECK_WARNING, "lag", r->config->name, REMEDY, "its newest segment is %s, repository '%s' has %s",
		    r->newest[0] != '\0' ? r->newest : "none", ahead->config->name, ahead->newest);
}

/* The server's position counts when the newest WAL here is of its life: another server may have been promoted. */
static bool
is_comparable(const struct check *c, const struct info_repository *r)
{
	const struct check_server *s = &c->server;

	return s->lsn != 0 && s->lsn / s->segment_size > 0 && s->archives && r->newest[0] != '\0' &&
	       r->repo->lineage[r->newest_system].sysid == s->sysid &&
	       (r->newest_timeline == s->timeline ||
		   (r->newest_timeline < s->timeline && r->newest_segno < s->lsn / s->segment_size));
}

void
check_lag(struct check *c)
{
	c->result->lags = calloc(c->info.n + 1, sizeof(*c->result->lags));
	if (c->result->lags == NULL) {
		c->failed = true;
		return;
	}
	for (size_t i = 0; i < c->info.n; i++) {
		const struct info_repository *r = &c->info.repositories[i];

		if (r->state != INFO_OK)
			continue;
		if (is_comparable(c, r))
			behind_server(c, r);
		else
			behind_others(c, r);
	}
}
