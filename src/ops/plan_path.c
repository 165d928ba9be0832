/* Which timeline a plan follows. */
#include "ops/plan_work.h"

static int
copy_history(struct timeline_history *out, const struct timeline_history *from, timeline_t timeline, struct err *err)
{
	out->timeline = timeline;
	out->n = 0;
	out->entries = calloc((from != NULL ? from->n : 0) + 1, sizeof(*out->entries));
	if (out->entries == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a timeline's history");
	for (size_t i = 0; from != NULL && i < from->n; i++)
		out->entries[out->n++] = from->entries[i];
	return 0;
}

bool
plan_on_path(const struct timeline_history *h, const struct manifest_head *b)
{
	lsn_t end;

	return timeline_switch_end(h, b->stop_timeline, &end) && b->stop_lsn <= end;
}

/* Does any backup lie on the path to this timeline? */
bool
plan_holds_backup(const struct timeline_history *h, const struct plan_candidates *c, uint64_t sysid)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i]->head.sysid == sysid && plan_on_path(h, &c->list[i]->head))
			return true;
	return false;
}

int
plan_choose_path(struct plan *p, const struct plan_options *o, const struct plan_candidates *c, uint64_t sysid, struct err *err)
{
	const struct backup_entry *newest = NULL;

	for (size_t i = p->wal->n; i-- > 0;) {
		const struct wal_set_timeline *t = &p->wal->timelines[i];

		if ((o->timeline != 0 && t->timeline != o->timeline) || !t->known || !plan_holds_backup(&t->history, c, sysid))
			continue;
		return copy_history(&p->path, &t->history, t->timeline, err);
	}
	/* a timeline whose history file is gone is still a path of its own for the backups taken on it */
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i]->head.sysid == sysid && (o->timeline == 0 || c->list[i]->head.stop_timeline == o->timeline))
			newest = c->list[i];
	if (newest == NULL) {
		err_set(err, ERR_REFUSED, 0, "no backup lies on the path to timeline %u", o->timeline);
		return err_hint(err, "pgcairn info lists backups and timelines");
	}
	return copy_history(&p->path, NULL, newest->head.stop_timeline, err);
}

/* Two servers took one timeline, and each has its life in a repository of its own: chance must not choose between them. */
int
plan_refuse_disputed(const struct plan *p, struct err *err)
{
	for (size_t i = 0; i <= p->path.n; i++) {
		timeline_t tli = i < p->path.n ? p->path.entries[i].tli : p->path.timeline;
		const struct wal_set_timeline *t = wal_set_timeline(p->wal, tli);

		if (t == NULL || !t->disputed)
			continue;
		err_set(err, ERR_REFUSED, 0,
		    "the repositories hold different histories of timeline %u: two servers were promoted to it", tli);
		return err_hint(err, "choose whose life to follow: --repository NAME; or stay before it: --target-timeline N");
	}
	return 0;
}

/*
 * For the end of a backup the backup's own timeline is the path: a newer one would only stand in the way. Which backup: the
 * newest of this system on the path that would be followed otherwise.
 */
int
plan_choose_own_path(
    struct plan *p, const struct plan_options *o, const struct plan_candidates *c, uint64_t sysid, struct err *err)
{
	struct plan_options own = *o;
	int rc = plan_choose_path(p, o, c, sysid, err);

	for (size_t i = 0; rc == 0 && i < c->n; i++)
		if (c->list[i]->head.sysid == sysid && plan_on_path(&p->path, &c->list[i]->head))
			own.timeline = c->list[i]->head.stop_timeline;
	if (rc < 0 || own.timeline == 0)
		return rc;
	timeline_history_free(&p->path);
	return plan_choose_path(p, &own, c, sysid, err);
}
