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
		stop->link = wal_chain_place(c, b->stop_lsn - 1);
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
