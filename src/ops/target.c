#include "ops/target.h"

#include <inttypes.h>

#include "base/clock.h"

void
target_describe(const struct target *t, char *out, size_t size)
{
	char text[40];

	switch (t->kind) {
	case TARGET_LATEST:
		(void)snprintf(out, size, "the latest");
		return;
	case TARGET_IMMEDIATE:
		(void)snprintf(out, size, "the end of the backup");
		return;
	case TARGET_TIME:
		clock_format_utc(text, sizeof(text), t->time_us);
		(void)snprintf(out, size, "time %s", text);
		return;
	case TARGET_LSN:
		lsn_format(text, t->lsn);
		(void)snprintf(out, size, "LSN %s", text);
		return;
	case TARGET_XID:
		(void)snprintf(out, size, "transaction %" PRIu32, t->xid);
		return;
	case TARGET_NAME:
		(void)snprintf(out, size, "restore point '%s'", t->name);
		return;
	}
}

/* The search through records. */
struct search {
	const struct target *target;
	struct wal_record_info found;
	bool done;
	int64_t newest_us; /* latest commit that was seen */
};

#define FOUND 1 /* ends the scan */

static bool
is_transaction_end(const struct wal_record_info *r)
{
	return r->kind == WAL_RECORD_COMMIT || r->kind == WAL_RECORD_ABORT || r->kind == WAL_RECORD_COMMIT_PREPARED ||
	       r->kind == WAL_RECORD_ABORT_PREPARED;
}

static bool
matches(const struct target *t, const struct wal_record_info *r)
{
	switch (t->kind) {
	case TARGET_TIME: /* commit times go backwards: the first record beyond ends it, not the first in order of time */
		return is_transaction_end(r) && r->has_time &&
		       (t->exclusive ? r->time_us >= t->time_us : r->time_us > t->time_us);
	case TARGET_XID:
		return is_transaction_end(r) && r->xid == t->xid;
	case TARGET_NAME:
		return r->kind == WAL_RECORD_RESTORE_POINT && strcmp(r->name, t->name) == 0;
	default:
		return false;
	}
}

static int
look(const struct wal_record_info *r, void *arg, struct err *err)
{
	struct search *s = arg;

	(void)err;
	if (is_transaction_end(r) && r->has_time && r->time_us > s->newest_us)
		s->newest_us = r->time_us;
	if (!matches(s->target, r))
		return 0;
	s->found = *r;
	s->done = true;
	return FOUND;
}

/* Can the record be in this link, by what its summary says? */
static bool
worth_reading(const struct target *t, const struct wal_link *l)
{
	if (!l->verified)
		return true;
	switch (t->kind) {
	case TARGET_TIME:
		return l->commits > 0 && (t->exclusive ? l->max_time_us >= t->time_us : l->max_time_us > t->time_us);
	case TARGET_XID:
		return l->may_hold_any_xid || (l->commits > 0 && t->xid >= l->min_xid && t->xid <= l->max_xid);
	case TARGET_NAME:
		return l->points > 0;
	default:
		return false;
	}
}

/*
 * Read link i; a record that runs on is told when the link that ends it is read too, so the scan begins where the record that
 * ends in link i may have begun, and covers the one behind a link that spills.
 */
static int
search_link(const struct wal_chain *c, size_t i, struct keyring *ring, struct search *s, size_t *at, struct err *err)
{
	size_t from = i, to = i;
	int rc;

	while (from > 0 && c->links[from - 1].spills)
		from--;
	while (to + 1 < c->n && c->links[to].spills)
		to++;
	rc = wal_chain_scan(c, from, to, ring, look, s, err);
	if (rc < 0)
		return rc;
	if (s->done)
		*at = (size_t)(s->found.lsn / c->set->segment_size - c->links[0].segno);
	return 0;
}

static int
search_chain(
    const struct target *t, const struct wal_chain *c, struct keyring *ring, struct search *s, size_t *at, struct err *err)
{
	*s = (struct search){.target = t, .newest_us = INT64_MIN};
	for (size_t i = 0; i < c->n && !s->done; i++) {
		const struct wal_link *l = &c->links[i];
		int rc;

		if (l->commits > 0 && l->max_time_us > s->newest_us)
			s->newest_us = l->max_time_us;
		if (!worth_reading(t, l) && !l->spills)
			continue;
		rc = search_link(c, i, ring, s, at, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Why the chain ends where it ends, behind a message that is there already. */
static int
unreachable(const struct wal_chain *c, struct err *err)
{
	char end[LSN_TEXT], name[WAL_NAME_MAX];

	if (c->broken.kind != 0)
		return err_hint(err, "the WAL breaks off: %.480s", c->broken.msg);
	lsn_format(end, wal_chain_end(c));
	wal_chain_name(c, c->n - 1, name);
	return err_hint(err, "the WAL that is archived ends with segment %s at %s", name, end);
}

static int
prove_lsn(const struct target *t, const struct manifest_head *b, const struct wal_chain *c, struct target_stop *stop,
    bool *too_early, struct err *err)
{
	char want[LSN_TEXT], have[LSN_TEXT];
	lsn_t last = wal_chain_last_record(c);

	lsn_format(want, t->lsn);
	if (t->lsn < b->stop_lsn) {
		*too_early = true;
		lsn_format(have, b->stop_lsn);
		return err_set(
		    err, ERR_REFUSED, 0, "LSN %s lies before %s, where backup %s becomes consistent", want, have, b->label);
	}
	if (last == 0 || t->lsn > last) {
		lsn_format(have, last);
		err_set(err, ERR_REFUSED, 0, "LSN %s is not reached: the last complete record begins at %s", want, have);
		return unreachable(c, err);
	}
	stop->lsn = t->lsn;
	stop->before = t->exclusive;
	stop->link = (size_t)(t->lsn / c->set->segment_size - c->links[0].segno);
	return 0;
}

static int
prove_by_search(const struct target *t, const struct manifest_head *b, const struct wal_chain *c, struct keyring *ring,
    struct target_stop *stop, bool *too_early, struct err *err)
{
	char what[128], newest[40], have[LSN_TEXT];
	struct search s;
	size_t at = 0;
	int rc;

	target_describe(t, what, sizeof(what));
	/*
	 * Recovery would stop at the first commit behind the backup that is beyond the time, and keep what was committed
	 * between that time and the backup's start: such a time belongs to an older backup.
	 */
	if (t->kind == TARGET_TIME && t->time_us < b->start_time_us) {
		*too_early = true;
		clock_format_utc(newest, sizeof(newest), b->start_time_us);
		return err_set(err, ERR_REFUSED, 0, "%s lies before %s, when backup %s began", what, newest, b->label);
	}
	rc = search_chain(t, c, ring, &s, &at, err);
	if (rc < 0)
		return rc;
	if (!s.done) {
		/* an xid or a name that is not behind this backup may lie before it */
		*too_early = t->kind != TARGET_TIME;
		if (t->kind == TARGET_TIME && s.newest_us != INT64_MIN) {
			clock_format_utc(newest, sizeof(newest), s.newest_us);
			err_set(err, ERR_REFUSED, 0, "%s is not reached: no commit behind it is archived, the newest is of %s",
			    what, newest);
		} else {
			err_set(err, ERR_REFUSED, 0, "%s is not in the WAL behind backup %s", what, b->label);
		}
		return unreachable(c, err);
	}
	if (s.found.lsn < b->stop_lsn) {
		*too_early = true;
		lsn_format(have, b->stop_lsn);
		return err_set(
		    err, ERR_REFUSED, 0, "%s lies before %s, where backup %s becomes consistent", what, have, b->label);
	}
	stop->lsn = s.found.lsn;
	stop->before = t->kind == TARGET_TIME || (t->kind == TARGET_XID && t->exclusive);
	stop->has_time = s.found.has_time;
	stop->time_us = s.found.time_us;
	stop->link = at;
	return 0;
}

/* Start to stop must be there for any target: without it the backup is not consistent. */
static int
prove_consistent(const struct manifest_head *b, const struct wal_chain *c, struct err *err)
{
	char have[LSN_TEXT], want[LSN_TEXT];

	if (wal_chain_end(c) >= b->stop_lsn)
		return 0;
	lsn_format(have, wal_chain_end(c));
	lsn_format(want, b->stop_lsn);
	err_set(err, ERR_REFUSED, 0, "backup %s needs WAL up to %s, and it is there only up to %s", b->label, want, have);
	return unreachable(c, err);
}

int
target_prove(const struct target *t, const struct manifest_head *b, const struct wal_chain *c, struct keyring *ring,
    struct target_stop *stop, bool *too_early, struct err *err)
{
	int rc = prove_consistent(b, c, err);

	memset(stop, 0, sizeof(*stop));
	*too_early = false;
	if (rc < 0)
		return rc;
	switch (t->kind) {
	case TARGET_LATEST:
		stop->lsn = wal_chain_end(c);
		stop->link = c->n - 1;
		if (c->broken.kind != 0) {
			err_set(err, ERR_REFUSED, 0, "the WAL behind backup %s breaks off before its end", b->label);
			return unreachable(c, err);
		}
		break;
	case TARGET_IMMEDIATE:
		stop->lsn = b->stop_lsn;
		stop->link = (size_t)((b->stop_lsn - 1) / c->set->segment_size - c->links[0].segno);
		break;
	case TARGET_LSN:
		rc = prove_lsn(t, b, c, stop, too_early, err);
		break;
	case TARGET_TIME:
	case TARGET_XID:
	case TARGET_NAME:
		rc = prove_by_search(t, b, c, ring, stop, too_early, err);
		break;
	}
	if (rc == 0)
		stop->timeline = c->links[stop->link].timeline;
	return rc;
}
