#include "ops/backup_wal.h"

#include <inttypes.h>

#include "base/clock.h"
#include "ops/backup_primary.h"
#include "pg/timeline.h"
#include "pg/wal_join.h"
#include "repo/gap.h"
#include "repo/wal_object.h"

#define REMEDY_IDLE                                                                                                            \
	"an idle one fills none: set primary-conninfo in [cluster:NAME], archive_timeout on the primary, or SELECT "           \
	"pg_switch_wal() "                                                                                                     \
	"there"

/* How far one repository is. */
struct progress_of {
	uint64_t next; /* segment */
	struct wal_join join;
	bool has_path; /* history is known, or not needed */
	struct timeline_history history;
	bool done;
	struct err last; /* why it was not further at the last look; kind 0: only not there yet */
};

struct waiter {
	struct backup *b;
	const struct manifest_head *head;
	uint64_t first, last;   /* segments */
	struct progress_of *of; /* by target */
	char missing[WAL_NAME_MAX];
	const char *where; /* the repository that misses it */
	bool for_gaps;     /* this look asks whether what is missing was given up */
	bool closed;       /* by the primary, for a standby's backup */
	bool promoted;     /* the standby was, since its backup ended */
};

static int
append(const void *data, size_t len, void *arg, struct err *err)
{
	return buf_append(arg, data, len, err);
}

/* The server changed its timeline while the backup ran (a standby that follows a promotion): its path is in the archive too. */
static int
read_history(struct waiter *w, struct repository *r, struct progress_of *p, struct err *err)
{
	const struct wal_name name = {.kind = WAL_NAME_HISTORY, .timeline = w->head->stop_timeline};
	STORED_AUTO struct stored *s = NULL;
	BUF_AUTO struct buf text = {.max = TIMELINE_FILE_MAX};
	char relative[OBJECT_NAME_MAX];
	int rc;

	if (p->has_path)
		return 0;
	p->history.timeline = w->head->stop_timeline;
	if (w->head->start_timeline != w->head->stop_timeline) {
		wal_name_format(w->missing, &name);
		rc = layout_wal(relative, w->head->sysid, &name, err);
		if (rc == 0)
			rc = stored_open(&s, r, relative, OBJECT_TIMELINE_HISTORY, err);
		if (rc == 0)
			rc = stored_read(s, NULL, append, &text, err);
		if (rc == 0)
			rc = timeline_history_parse(&p->history, w->head->stop_timeline, buf_text(&text), text.len, err);
		if (rc < 0)
			return rc;
	}
	p->has_path = true;
	return 0;
}

/* Does this segment hold what the backup needs of it at its two ends? */
static int
check_ends(const struct waiter *w, uint64_t segno, const struct wal_summary *s, struct err *err)
{
	if (!s->verified)
		return 0;
	if (segno == w->first && (s->first_record == 0 || s->first_record > w->head->start_lsn))
		return err_set(err, ERR_CORRUPT, 0, "segment %s begins behind the backup's start", w->missing);
	if (segno == w->last && s->end < w->head->stop_lsn && !s->contains_switch)
		return err_set(err, ERR_CORRUPT, 0, "segment %s ends before the backup's stop", w->missing);
	return 0;
}

/* A segment that somebody gave up will not come: no time limit makes this backup whole. */
static int
refuse_gap(const struct waiter *w, struct repository *r, const struct wal_name *name, struct err *err)
{
	GAP_SET_AUTO struct gap_set gaps = {0};
	char why[DECISION_TEXT];
	int rc = gap_set_read(&gaps, r, w->head->sysid, name, err);

	if (rc < 0 || gaps.n == 0)
		return rc;
	decision_describe(&gaps.list[0].decision, why);
	err_set(err, ERR_REFUSED, 0, "WAL segment %s, which the backup needs, was given up %s", w->missing, why);
	return err_hint(err, "take another backup: it begins behind the gap");
}

static int
look_at_segment(struct waiter *w, struct repository *r, struct progress_of *p, struct err *err)
{
	const struct manifest_head *h = w->head;
	lsn_t behind = wal_segment_start(p->next + 1, h->segment_size) - 1;
	timeline_t timeline = timeline_of_lsn(&p->history, behind < h->stop_lsn ? behind : h->stop_lsn);
	STORED_AUTO struct stored *s = NULL;
	struct wal_summary summary;
	struct wal_name name;
	char relative[OBJECT_NAME_MAX];
	int rc;

	wal_segment_name(w->missing, timeline, p->next, h->segment_size);
	if (!wal_name_parse(w->missing, &name))
		return err_set(err, ERR_BUG, 0, "'%s' is no segment's name", w->missing);
	rc = layout_wal(relative, h->sysid, &name, err);
	if (rc == 0)
		rc = stored_open(&s, r, relative, OBJECT_WAL, err);
	if (rc == ERR_NOT_FOUND && w->for_gaps) {
		rc = refuse_gap(w, r, &name, err);
		rc = rc < 0 ? rc : ERR_NOT_FOUND;
	}
	if (rc == 0)
		rc = wal_object_decode(&summary, s->clear, NULL, err);
	if (rc == 0)
		rc = wal_join_next(&p->join, &summary, err);
	if (rc == 0)
		rc = check_ends(w, p->next, &summary, err);
	return rc;
}

/* As far as this repository has come. 0: done, or the next segment is not there yet. */
static int
look(struct waiter *w, size_t i, struct err *err)
{
	struct progress_of *p = &w->of[i];
	struct repository *r = w->b->fanout->targets[i].repo;
	int rc = read_history(w, r, p, err);

	while (rc == 0 && p->next <= w->last) {
		rc = look_at_segment(w, r, p, err);
		if (rc == 0)
			p->next++;
	}
	p->done = rc == 0;
	w->where = p->done ? w->where : w->b->fanout->targets[i].name;
	p->last.kind = 0;
	if (rc == ERR_RETRY || rc == ERR_IO) /* it may come back before the time is up */
		p->last = *err;
	return rc == ERR_NOT_FOUND || p->last.kind != 0 ? 0 : rc;
}

/* One look at everybody. Returns whether somebody is still waited for. */
static bool
look_at_all(struct waiter *w)
{
	struct fanout *f = w->b->fanout;
	bool waiting = false;

	for (size_t i = 0; i < f->n; i++) {
		struct err why;

		if (f->targets[i].failed || w->of[i].done)
			continue;
		if (look(w, i, &why) < 0)
			fanout_fail(f, i, &why);
		else
			waiting |= !w->of[i].done;
	}
	backup_tell_failed(w->b);
	return waiting;
}

/* A standby's backup: what the primary has to do, and whether there still is one. */
static void
look_at_primary(struct waiter *w, struct deadline *end)
{
	const struct op *op = w->b->op;
	struct err why;

	if (!w->b->server.in_recovery || w->promoted)
		return;
	if (!backup_primary_is_elsewhere(&w->b->server)) {
		w->promoted = true;
		if (deadline_left_ms(*end) > BACKUP_WAL_PROMOTED_MS)
			*end = deadline_in_ms(BACKUP_WAL_PROMOTED_MS);
		log_write(op->log, LOG_WARN,
		    "the standby was promoted before WAL segment %s was archived: the old primary may archive it yet",
		    w->missing);
		return;
	}
	if (w->closed || op->cluster->primary_conninfo[0] == '\0')
		return;
	if (backup_primary_close(op, w->head->sysid, w->last, w->head->segment_size, &why) < 0)
		log_err(op->log, LOG_WARN, &why);
	else
		w->closed = true;
}

static void
tell(struct waiter *w)
{
	const struct log *log = w->b->op->log;
	char failed[512];

	log_write(log, LOG_INFO, "waiting for WAL segment %s to be archived in repository '%s'", w->missing, w->where);
	if (w->b->server.in_recovery) {
		if (!w->closed && !w->promoted)
			log_write(log, LOG_INFO, "the primary has to fill and archive it; " REMEDY_IDLE);
		return;
	}
	backup_server_archiver(&w->b->server, failed, sizeof(failed));
	if (failed[0] != '\0')
		log_write(log, LOG_WARN, "archiving fails at present: %s", failed);
}

/* Time is up: whoever is not done is out. */
static void
give_up(struct waiter *w)
{
	struct fanout *f = w->b->fanout;
	char failed[512];

	backup_server_archiver(&w->b->server, failed, sizeof(failed));
	for (size_t i = 0; i < f->n; i++) {
		struct progress_of *p = &w->of[i];
		struct err why;

		if (f->targets[i].failed || p->done)
			continue;
		if (look(w, i, &why) == 0) {
			if (p->done)
				continue;
			why = p->last;
			if (why.kind == 0)
				err_set(&why, ERR_RETRY, 0, "WAL segment %s, which the backup needs, was not archived in time",
				    w->missing);
		}
		if (w->promoted)
			err_hint(
			    &why, "the standby was promoted, and the old primary has not archived it: take another backup");
		else if (w->b->server.in_recovery)
			err_hint(&why, "the primary has to fill and archive it; " REMEDY_IDLE);
		else
			err_hint(&why, "%s", failed[0] != '\0' ? failed : "see pg_stat_archiver and the server's log");
		fanout_fail(f, i, &why);
	}
	backup_tell_failed(w->b);
}

static int
wait_for_all(struct waiter *w, struct err *err)
{
	const struct backup_options *o = w->b->options;
	struct deadline end = deadline_in_ms(o->wal_timeout_ms > 0 ? o->wal_timeout_ms : BACKUP_WAL_TIMEOUT_MS);
	struct deadline next_word = deadline_in_ms(BACKUP_WAL_TELL_MS), next_look = deadline_in_ms(0);
	int64_t pause = BACKUP_WAL_POLL_MS / 16; /* an archiver that is not behind is done in a moment */

	w->for_gaps = true;
	while (look_at_all(w)) {
		int rc = backup_interrupted(w->b, err);

		w->for_gaps = false; /* a listing, which costs more than a look */
		if (rc == 0 && deadline_passed(next_look)) {
			look_at_primary(w, &end);
			w->for_gaps = true;
			next_look = deadline_in_ms(BACKUP_WAL_TELL_MS);
		}

		if (rc < 0)
			return rc;
		if (deadline_passed(end)) {
			give_up(w);
			return 0;
		}
		if (deadline_passed(next_word)) {
			tell(w);
			next_word = deadline_in_ms(12 * BACKUP_WAL_TELL_MS);
		}
		clock_sleep_ms(pause);
		pause = 2 * pause < BACKUP_WAL_POLL_MS ? 2 * pause : BACKUP_WAL_POLL_MS;
	}
	return 0;
}

int
backup_wal_wait(struct backup *b, struct err *err)
{
	const struct manifest_head *h = &b->result->head;
	struct waiter w = {.b = b, .head = h, .first = h->start_lsn / h->segment_size};
	struct fanout *f = b->fanout;
	int rc;

	w.last = (h->stop_lsn - 1) / h->segment_size; /* the stop is behind its last record */
	w.last = w.last > w.first ? w.last : w.first;
	w.of = calloc(f->n + 1, sizeof(*w.of));
	if (w.of == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %zu repositories", f->n);
	for (size_t i = 0; i < f->n; i++) {
		w.of[i].next = w.first;
		wal_join_init(&w.of[i].join);
	}
	rc = wait_for_all(&w, err);
	for (size_t i = 0; i < f->n; i++)
		timeline_history_free(&w.of[i].history);
	free(w.of);
	return rc < 0 ? rc : backup_somebody_left(b, err);
}
