#include "ops/target.h"

#include <inttypes.h>

#include "base/clock.h"
#include "pg/wal_page.h"

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

/* The search through records: records before start are there and are not replayed. */
struct search {
	const struct target *target;
	const struct wal_chain *chain;
	lsn_t start;
	struct target_found *out;
};

static size_t
link_of(const struct wal_chain *c, lsn_t lsn)
{
	return (size_t)(lsn / c->set->segment_size - c->first);
}

static bool
is_commit(const struct wal_record_info *r)
{
	return r->kind == WAL_RECORD_COMMIT || r->kind == WAL_RECORD_COMMIT_PREPARED;
}

static bool
is_transaction_end(const struct wal_record_info *r)
{
	return is_commit(r) || r->kind == WAL_RECORD_ABORT || r->kind == WAL_RECORD_ABORT_PREPARED;
}

/* Is the moment beyond the target? Of the last moment the inclusive target keeps the commit, the exclusive one does not. */
static bool
is_beyond(const struct target *t, int64_t time_us)
{
	return t->exclusive ? time_us >= t->time_us : time_us > t->time_us;
}

static bool
matches(const struct target *t, const struct wal_record_info *r)
{
	switch (t->kind) {
	case TARGET_TIME: /* commit times go backwards: the first record beyond ends it, not the first in order of time */
		return is_transaction_end(r) && r->has_time && is_beyond(t, r->time_us);
	case TARGET_XID:
		return is_transaction_end(r) && r->xid == t->xid;
	case TARGET_NAME:
		return r->kind == WAL_RECORD_RESTORE_POINT && strcmp(r->name, t->name) == 0;
	default:
		return false;
	}
}

/* Behind the stop: what recovery leaves out although it was meant, or might have been. */
static void
look_behind(struct search *s, const struct wal_record_info *r)
{
	struct target_found *f = s->out;

	if (s->target->kind == TARGET_TIME && !f->commits_behind && is_commit(r) && r->has_time &&
	    !is_beyond(s->target, r->time_us)) {
		f->commits_behind = true;
		f->behind_link = link_of(s->chain, r->lsn);
	}
	if (s->target->kind == TARGET_NAME && f->again == 0 && r->lsn > f->record.lsn && matches(s->target, r))
		f->again = r->lsn;
}

static int
look(const struct wal_record_info *r, void *arg, struct err *err)
{
	struct search *s = arg;
	struct target_found *f = s->out;

	(void)err;
	if (r->lsn < s->start)
		return 0;
	if (f->done) {
		look_behind(s, r);
		return 0;
	}
	if (is_transaction_end(r) && r->has_time && r->time_us > f->newest_us)
		f->newest_us = r->time_us;
	if (!matches(s->target, r)) {
		f->commits_first |= is_commit(r);
		return 0;
	}
	f->record = *r;
	f->link = link_of(s->chain, r->lsn);
	f->done = true;
	return 0;
}

/* Can the record be in this link, by what its summary says? */
static bool
worth_reading(const struct target *t, const struct wal_link *l)
{
	if (!l->verified)
		return true;
	switch (t->kind) {
	case TARGET_TIME:
		return l->commits > 0 && is_beyond(t, l->max_time_us);
	case TARGET_XID:
		return l->may_hold_any_xid || (l->commits > 0 && t->xid >= l->min_xid && t->xid <= l->max_xid);
	case TARGET_NAME:
		return l->points > 0;
	default:
		return false;
	}
}

static int
does_spill(const struct wal_chain *c, size_t i, bool *spills, struct err *err)
{
	const struct wal_link *l = wal_chain_link(c, i);
	int rc = 0;

	/* of a row, its end says as much as its last segment */
	if (c->first + i != l->segno + l->n - 1)
		rc = wal_chain_segment(c, i, &l, err);
	*spills = rc == 0 && l->spills;
	return rc;
}

/*
 * Read segment i; a record that runs on is told when the segment that ends it is read too, so the scan begins where the record
 * that ends in segment i may have begun, and covers the one behind a segment that spills. *last: how far it read.
 */
static int
search_segment(struct search *s, size_t i, struct keyring *ring, size_t *last, struct err *err)
{
	const struct wal_chain *c = s->chain;
	size_t from = i, to = i;
	bool spills = false;
	int rc = 0;

	while (rc == 0 && from > 0 && (rc = does_spill(c, from - 1, &spills, err)) == 0 && spills)
		from--;
	while (rc == 0 && to + 1 < c->n && (rc = does_spill(c, to, &spills, err)) == 0 && spills)
		to++;
	*last = to;
	return rc < 0 ? rc : wal_chain_scan(c, from, to, ring, look, s, err);
}

/* The first segment's summary also counts what lies before start: there the records have to say. */
static bool
begins_inside(const struct search *s, const struct wal_link *l)
{
	return s->target->kind == TARGET_TIME && l->commits > 0 &&
	       s->start > wal_segment_start(l->segno, s->chain->set->segment_size) + WAL_PAGE_LONG;
}

/* How many segments of place i and behind it are passed over together: those of a row that has nothing to look at. */
static size_t
row_without(const struct search *s, size_t i, bool (*of_interest)(const struct search *s, const struct wal_link *l))
{
	const struct wal_link *l = wal_chain_link(s->chain, i);

	return of_interest(s, l) ? 0 : (size_t)(l->segno + l->n - (s->chain->first + i));
}

/* Behind the record that was found: what tells of commits that are left out, or of the same name again. */
static bool
is_behind(const struct search *s, const struct wal_link *l)
{
	if (s->target->kind == TARGET_TIME)
		return l->commits > 0 && !is_beyond(s->target, l->min_time_us);
	return s->target->kind == TARGET_NAME && l->points > 0;
}

/* In the segments behind what was read. */
static int
search_behind(struct search *s, size_t read, struct keyring *ring, struct err *err)
{
	const struct wal_chain *c = s->chain;
	struct target_found *f = s->out;
	int rc = 0;

	for (size_t i = read + 1; rc == 0 && i < c->n && !f->commits_behind && f->again == 0;) {
		size_t none = row_without(s, i, is_behind), last;
		const struct wal_link *l;

		if (none > 0) {
			i += none;
			continue;
		}
		rc = wal_chain_segment(c, i, &l, err);
		if (rc == 0 && is_behind(s, l)) {
			f->commits_behind = s->target->kind == TARGET_TIME;
			f->behind_link = f->commits_behind ? i : 0;
			if (s->target->kind == TARGET_NAME)
				rc = search_segment(s, i, ring, &last, err);
		}
		i++;
	}
	return rc;
}

/* What the records have to tell. */
static bool
is_to_be_read(const struct search *s, const struct wal_link *l)
{
	return worth_reading(s->target, l) || l->spills || l->spills_inside || begins_inside(s, l);
}

static int
search_records(struct search *s, struct keyring *ring, struct err *err)
{
	const struct wal_chain *c = s->chain;
	struct target_found *f = s->out;
	size_t last = 0;

	for (size_t i = 0, n; i < c->n && !f->done; i += n) {
		const struct wal_link *l = wal_chain_link(c, i);
		int rc = 0;

		n = row_without(s, i, is_to_be_read);
		if (n == 0) {
			n = 1;
			rc = wal_chain_segment(c, i, &l, err);
		}
		if (rc == 0 && is_to_be_read(s, l)) {
			rc = search_segment(s, i, ring, &last, err);
		} else if (rc == 0) {
			f->commits_first |= l->commits > 0;
			if (l->commits > 0 && l->max_time_us > f->newest_us)
				f->newest_us = l->max_time_us;
		}
		if (rc < 0)
			return rc;
	}
	return f->done ? search_behind(s, last, ring, err) : 0;
}

int
target_search(const struct target *t, const struct wal_chain *c, lsn_t start, struct keyring *ring, struct target_found *out,
    struct err *err)
{
	struct search s = {.target = t, .chain = c, .start = start, .out = out};
	int rc;

	*out = (struct target_found){.newest_us = INT64_MIN};
	if (t->kind != TARGET_LSN)
		return search_records(&s, ring, err);
	rc = wal_chain_record_from(c, t->lsn > start ? t->lsn : start, ring, &out->record, err);
	if (rc == ERR_NOT_FOUND)
		return 0;
	out->done = rc == 0;
	out->link = rc == 0 ? link_of(c, out->record.lsn) : 0;
	return rc;
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

/* What the search found is where recovery stops. */
static void
stop_at(const struct target *t, const struct target_found *f, struct target_stop *stop)
{
	stop->lsn = f->record.lsn;
	stop->end = f->record.end_lsn;
	stop->before = t->kind == TARGET_TIME || (t->kind != TARGET_NAME && t->exclusive);
	stop->has_time = f->record.has_time;
	stop->time_us = f->record.time_us;
	stop->link = f->link;
	stop->commits_behind = f->commits_behind;
	stop->behind_link = f->behind_link;
	stop->again = f->again;
}

static int
prove_lsn(const struct target *t, const struct manifest_head *b, const struct wal_chain *c, struct keyring *ring,
    struct target_stop *stop, bool *too_early, struct err *err)
{
	char want[LSN_TEXT], have[LSN_TEXT];
	lsn_t last = wal_chain_last_record(c);
	struct target_found f = {0};
	int rc = 0;

	lsn_format(want, t->lsn);
	if (t->lsn < b->stop_lsn) {
		*too_early = true;
		lsn_format(have, b->stop_lsn);
		return err_set(
		    err, ERR_REFUSED, 0, "LSN %s lies before %s, where backup %s becomes consistent", want, have, b->label);
	}
	if (last != 0 && t->lsn <= last)
		rc = target_search(t, c, b->start_lsn, ring, &f, err);
	if (rc < 0)
		return rc;
	if (!f.done) {
		lsn_format(have, last);
		err_set(err, ERR_REFUSED, 0, "LSN %s is not reached: the last complete record begins at %s", want, have);
		return unreachable(c, err);
	}
	stop_at(t, &f, stop);
	return 0;
}

/* Nothing ends recovery there: why not. */
static int
not_reached(
    const struct target *t, const struct manifest_head *b, const struct wal_chain *c, int64_t newest_us, struct err *err)
{
	char what[128], newest[40];

	target_describe(t, what, sizeof(what));
	if (t->kind == TARGET_TIME && newest_us != INT64_MIN) {
		clock_format_utc(newest, sizeof(newest), newest_us);
		err_set(err, ERR_REFUSED, 0, "%s is not reached: no commit behind it is archived, the newest is of %s", what,
		    newest);
	} else {
		err_set(err, ERR_REFUSED, 0, "%s is not in the WAL behind backup %s", what, b->label);
	}
	return unreachable(c, err);
}

static int
prove_by_search(const struct target *t, const struct manifest_head *b, const struct wal_chain *c, struct keyring *ring,
    struct target_stop *stop, bool *too_early, struct err *err)
{
	char what[128], have[40];
	struct target_found f;
	int rc;

	target_describe(t, what, sizeof(what));
	/*
	 * Recovery would stop at the first commit behind the backup that is beyond the time, and keep what was committed
	 * between that time and the backup's start: such a time belongs to an older backup.
	 */
	if (t->kind == TARGET_TIME && t->time_us < b->start_time_us) {
		*too_early = true;
		clock_format_utc(have, sizeof(have), b->start_time_us);
		err_set(err, ERR_REFUSED, 0, "%s lies before %s, when backup %s began", what, have, b->label);
		return err_hint(err,
		    "pgcairn info says from when on; if the clock of the backup's host was ahead, give the LSN, "
		    "transaction or restore point instead");
	}
	rc = target_search(t, c, b->start_lsn, ring, &f, err);
	if (rc < 0)
		return rc;
	if (!f.done) {
		/* an xid or a name that is not behind this backup may lie before it */
		*too_early = t->kind != TARGET_TIME;
		return not_reached(t, b, c, f.newest_us, err);
	}
	if (f.record.lsn < b->stop_lsn) {
		*too_early = true;
		lsn_format(have, b->stop_lsn);
		return err_set(
		    err, ERR_REFUSED, 0, "%s lies before %s, where backup %s becomes consistent", what, have, b->label);
	}
	stop_at(t, &f, stop);
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
		stop->link = link_of(c, b->stop_lsn - 1);
		break;
	case TARGET_LSN:
		rc = prove_lsn(t, b, c, ring, stop, too_early, err);
		break;
	case TARGET_TIME:
	case TARGET_XID:
	case TARGET_NAME:
		rc = prove_by_search(t, b, c, ring, stop, too_early, err);
		break;
	}
	if (rc == 0)
		stop->timeline = wal_chain_link(c, stop->link)->timeline;
	return rc;
}

/* Where the server said that it writes minimal WAL. */
struct level_search {
	lsn_t start, stop, found;
};

static int
look_level(const struct wal_record_info *r, void *arg, struct err *err)
{
	struct level_search *s = arg;

	(void)err;
	/* a checkpoint says the level too, and recovery does not mind */
	if (s->found == 0 && r->kind == WAL_RECORD_LEVEL && wal_record_is_parameter_change(r->rmid, r->info) &&
	    r->wal_level == 0 && r->lsn >= s->start && r->lsn < s->stop)
		s->found = r->lsn;
	return 0;
}

int
target_check_level(
    const struct wal_chain *c, lsn_t start, const struct target_stop *stop, struct keyring *ring, struct err *err)
{
	struct level_search s = {.start = start, .stop = stop->end > stop->lsn && !stop->before ? stop->end : stop->lsn};
	char at[LSN_TEXT], name[WAL_NAME_MAX];

	for (size_t i = 0, n; i <= stop->link && s.found == 0; i += n) {
		const struct wal_link *l = wal_chain_link(c, i);
		int rc = 0;

		n = l->wal_level_minimal ? 1 : l->n;
		if (l->wal_level_minimal)
			rc = wal_chain_segment(c, i, &l, err);
		if (rc == 0 && l->wal_level_minimal)
			rc = wal_chain_scan(c, i, i, ring, look_level, &s, err);
		if (rc < 0)
			return rc;
		if (s.found == 0)
			continue;
		lsn_format(at, s.found);
		wal_chain_name(c, i, name);
		err_set(err, ERR_REFUSED, 0,
		    "the server was set to wal_level = minimal at %s in segment %s: PostgreSQL recovers no further", at, name);
		return err_hint(
		    err, "take a target before it (--target-exclusive --target-lsn %s), or a backup made after it", at);
	}
	return 0;
}
