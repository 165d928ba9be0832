#include "ops/restore_standby.h"

int
restore_standby_check(const struct plan *p, struct err *err)
{
	for (size_t i = p->wal->n; i-- > 0;) {
		const struct wal_set_timeline *t = &p->wal->timelines[i];

		if (!t->known || t->timeline <= p->path.timeline)
			continue;
		err_set(err, ERR_REFUSED, 0,
		    "timeline %u is the newest, a standby follows it, and no backup lies on the path to it", t->timeline);
		return err_hint(err, "take a backup of the server that is on timeline %u", t->timeline);
	}
	/* its server asks for one after the other, and stops at the first that is missing */
	for (timeline_t tli = 2; tli < p->path.timeline; tli++) {
		const struct wal_set_timeline *t = wal_set_timeline(p->wal, tli);

		if (t != NULL && t->known)
			continue;
		err_set(err, ERR_REFUSED, 0,
		    "the history of timeline %u is lost: a standby would not find timeline %u behind it", tli,
		    p->path.timeline);
		return err_hint(err, "archive %08X.history from the pg_wal of a server that has it", tli);
	}
	return 0;
}

void
restore_standby_tell(const struct op *op, const struct plan *p, const struct owner *owner, bool streams, bool *reads_later_wal)
{
	struct err why;

	*reads_later_wal = !p->repositories[0]->encrypted || owner_can_read(owner, op->config->identity);
	if (*reads_later_wal)
		return;
	err_set(&why, ERR_AUTH, 0,
	    "the standby opens the WAL that is archived by now, and none of later keys: the server's user (uid %u) cannot read "
	    "the "
	    "identity '%s'%s",
	    (unsigned)owner->uid, op->config->identity,
	    streams ? "" : "; without a primary to stream from it will stand still");
	err_hint(&why, "give that user a copy of its own, mode 600, and name it in [keys] identity");
	log_err(op->log, LOG_WARN, &why);
}
