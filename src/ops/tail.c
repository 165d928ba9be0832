#include "ops/tail.h"

#include "base/clock.h"

struct comparison {
	struct tail *list;
	size_t n;
	struct tails *out;
	struct repository *asked;
};

static bool
is_newer(const struct high_water *h, const struct high_water *than)
{
	return than->sysid == 0 || !high_water_reached(h, than->timeline, than->lsn);
}

/* False when no older record can say more: every repository reaches it, or is known to have held a newer one. */
static bool
take(const struct high_water *h, void *arg)
{
	struct comparison *c = arg;
	bool more = false;

	if (is_newer(h, &c->out->newest)) {
		c->out->newest = *h;
		c->out->said = c->asked;
	}
	for (size_t i = 0; i < c->n; i++) {
		struct tail *t = &c->list[i];
		bool reached = high_water_reached(h, t->timeline, t->end), held = high_water_is_held_by(h, t->repo->id);

		if (held && is_newer(h, &t->held)) {
			t->held = *h;
			t->said = c->asked;
			t->lost = !reached;
		}
		more |= !reached && !held;
	}
	return more;
}

int
tails_compare(struct tail *list, size_t n, uint64_t sysid, struct tails *out, struct err *err)
{
	struct comparison c = {.list = list, .n = n, .out = out};
	int rc = 0;

	*out = (struct tails){0};
	for (size_t i = 0; rc == 0 && i < n; i++) {
		c.asked = list[i].repo;
		rc = high_water_read(list[i].repo, sysid, take, &c, &list[i].reading, err);
	}
	out->reached = out->newest.sysid == 0;
	for (size_t i = 0; i < n; i++)
		out->reached |= out->newest.sysid != 0 && high_water_reached(&out->newest, list[i].timeline, list[i].end);
	return rc;
}

void
tail_describe(char out[TAIL_TEXT], const struct high_water *h, const struct repository *said, uint32_t segment_size)
{
	char segment[WAL_NAME_MAX], lsn[LSN_TEXT], when[32];

	wal_segment_name(segment, h->timeline, h->lsn > 0 ? (h->lsn - 1) / segment_size : 0, segment_size);
	lsn_format(lsn, h->lsn);
	clock_format_utc(when, sizeof(when), h->time_us / 1000000 * 1000000);
	(void)snprintf(
	    out, TAIL_TEXT, "segment %s (to %s) at %s, says %s in repository '%s'", segment, lsn, when, h->host, said->name);
}
