/* The repositories, one by one: that they open, that this host may write, and what lies in them. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "ops/check_work.h"
#include "ops/place.h"

static void
check_space(struct check *c, const struct info_repository *r)
{
	enum check_severity s;
	uint64_t percent;
	char text[16];

	if (!r->has_space || r->total_bytes == 0)
		return;
	s = check_space_severity(c, r->free_bytes, r->total_bytes, &percent);
	str_from_size(text, sizeof(text), r->free_bytes);
	check_add(c, s, "space", r->config->name, s != CHECK_OK ? "make room, or shorten the retention" : NULL,
	    "%s free, %" PRIu64 " %%", text, percent);
}

static void
check_place(struct check *c, const struct info_repository *r)
{
	struct err err = {0};
	bool same = false;

	if (place_check(c->op, r->config, &same, &err) == ERR_REFUSED)
		check_add_err(c, CHECK_CRITICAL, "place", r->config->name, &err);
	else if (same)
		check_add(c, CHECK_NOTE, "place", r->config->name, "have another repository on another disk, better elsewhere",
		    "it is on the same file system as PGDATA: a lost disk takes both");
	if (r->has_caps && r->caps.writer_can_delete)
		check_add(c, CHECK_NOTE, "place", r->config->name, NULL,
		    "this host can delete what is there: it protects against loss, not against a thief of the host");
	if (r->has_caps && !r->caps.create_only)
		check_add(c, CHECK_WARNING, "place", r->config->name, "use a store that refuses to overwrite",
		    "the store does not keep an object from being overwritten");
}

static void
check_keys(struct check *c, const struct info_repository *r, const struct writer *w)
{
	struct err err = {0};

	if (w != NULL && writer_check(w, r->repo, &err) < 0)
		check_add_err(c, CHECK_CRITICAL, "keys", r->config->name, &err);
	else if (w != NULL)
		check_add(
		    c, CHECK_OK, "keys", r->config->name, NULL, "this host is enrolled, comparison key and recipients fit");
	if (!r->repo->encrypted)
		check_add(c, CHECK_WARNING, "encryption", r->config->name, "set up a repository with encryption = on",
		    "encryption is NONE: whoever reads the repository reads the data");
	if (!r->repo->pinned)
		check_add(c, CHECK_NOTE, "signer", r->config->name,
		    "copy the signers-file of the host that founded the cluster", "its first signer is trusted on first use");
}

static void
check_age(struct check *c, const struct info_repository *r, const struct backup_entry *b)
{
	int64_t age = (clock_now_us() - b->head.stop_time_us) / 1000000;
	int64_t limit = c->op->config->backup_max_age_ms / 1000;
	enum check_severity s = age > 2 * limit ? CHECK_CRITICAL : age > limit ? CHECK_WARNING : CHECK_OK;
	char text[32], most[32];

	if (age < 0)
		age = 0;
	if (c->result->backup_age_s < 0 || age < c->result->backup_age_s)
		c->result->backup_age_s = age;
	check_format_age(text, sizeof(text), age);
	check_format_age(most, sizeof(most), limit);
	check_add(c, s, "backup", r->config->name,
	    s == CHECK_OK ? NULL : "run pgcairn backup; does its timer still run? [check] backup-max-age is the limit",
	    "the newest backup, %s, is %s old; at most %s are wanted", b->label, text, most);
}

static void
check_backups(struct check *c, const struct info_repository *r)
{
	const struct backup_entry *newest = info_newest_backup(r);

	for (size_t i = 0; i < r->backups.n; i++)
		if (r->backups.list[i].damaged)
			check_add(c, CHECK_CRITICAL, "backup", r->config->name, "see what is left: pgcairn verify",
			    "the manifest of backup %s is damaged: %s", r->backups.list[i].label, r->backups.list[i].err.msg);
	if (newest == NULL) {
		check_add(c, CHECK_CRITICAL, "backup", r->config->name, "take one: pgcairn backup --full",
		    "there is no backup: nothing can be restored from here");
		return;
	}
	if (newest->head.sysid != r->repo->lineage[r->repo->n_lineage - 1].sysid) {
		check_add(c, CHECK_CRITICAL, "backup", r->config->name, "take one: pgcairn backup --full",
		    "there is no backup since the upgrade to PostgreSQL %u: nothing behind it can be restored",
		    r->repo->lineage[r->repo->n_lineage - 1].major);
		return;
	}
	check_age(c, r, newest);
	if (newest->head.bad_pages > 0)
		check_add(c, CHECK_CRITICAL, "pages", r->config->name,
		    "repair or restore the relations that backup named; see its log",
		    "the newest backup, %s, has %" PRIu64 " pages that fail their checksum", newest->label,
		    newest->head.bad_pages);
	if (!r->usable[newest - r->backups.list])
		check_add(c, CHECK_CRITICAL, "wal", r->config->name, "pgcairn verify names what is missing; take a new backup",
		    "the newest backup, %s, lacks WAL and cannot be restored from here alone", newest->label);
}

/* A gap in front of the newest backup spoils what is older; one behind it spoils what is to come. One of a system that was
 * upgraded since lies in front of whatever came after. */
static bool
is_behind_newest(const struct info_repository *r, uint64_t sysid, const char *segment)
{
	const struct backup_entry *newest = info_newest_backup(r);
	struct wal_name name;

	if (newest != NULL && newest->head.sysid != sysid)
		return false;
	return newest == NULL || !wal_name_parse(segment, &name) ||
	       wal_name_segno(&name, newest->head.segment_size) >= newest->head.start_lsn / newest->head.segment_size;
}

static void
check_wal(struct check *c, const struct info_repository *r)
{
	for (size_t i = 0; i < r->windows.n_gaps; i++) {
		const struct wal_gap *g = &r->windows.gaps[i];

		check_add(c,
		    is_behind_newest(r, g->sysid, g->first) ? CHECK_CRITICAL
		    : g->recorded                           ? CHECK_NOTE
							    : CHECK_WARNING,
		    "gap", r->config->name,
		    "copy the segments from a repository that has them, or take a new backup: recovery cannot cross the gap",
		    "timeline %" PRIu32 ", %s: %s", g->timeline, g->first, g->what);
	}
	if (r->windows.unverified > 0)
		check_add(c,
		    is_behind_newest(r, r->windows.unverified_sysid, r->windows.last_unverified) ? CHECK_WARNING : CHECK_NOTE,
		    "unverified", r->config->name,
		    "install a pgcairn that knows the server's version, then take a new backup: pgcairn backup --full",
		    "%" PRIu64
		    " segments of WAL were stored as they came, the last is %s: pgcairn did not know their PostgreSQL",
		    r->windows.unverified, r->windows.last_unverified);
	for (size_t i = 0; i < r->conflicts.n; i++) {
		const struct conflict *one = &r->conflicts.list[i];
		char id[2 * CONTENT_ID + 1];

		if (one->resolved)
			continue;
		str_to_hex(id, one->content_id, CONTENT_ID);
		check_add(c, CHECK_CRITICAL, "conflict", r->config->name,
		    "find the server that is not the cluster and stop its archiving: pgcairn conflict show, then conflict "
		    "resolve",
		    "other content came for %s and is kept as %s", one->object, id);
	}
}

/* Not told where a repository was never so far: that is its lag. */
static void
check_tail(struct check *c, const struct info_repository *r)
{
	const struct tail *t = &r->tail;
	char text[TAIL_TEXT];

	if (t->lost) {
		tail_describe(text, &t->held, t->said, c->info.segment_size);
		check_add(c, CHECK_CRITICAL, "tail", r->config->name,
		    "find out who removed it, or which disk; the agent, or pgcairn replicate --to it, copies back what another "
		    "repository has; then pgcairn backup --full",
		    "its WAL ends at %s although it held %s: its tail was cut or lost",
		    r->newest[0] != '\0' ? r->newest : "nothing", text);
	}
	if (t->reading.unbelievable > 0)
		check_add(c, CHECK_WARNING, "tail", r->config->name,
		    "pgcairn verify names them: who else writes to the repository?",
		    "%u of its newest high-water records cannot be believed: %s", t->reading.unbelievable, t->reading.why.msg);
}

/* What was acknowledged, and is in no repository that answers. */
static void
check_reached(struct check *c)
{
	const struct tails *t = &c->info.tails;
	bool silent = false;
	char text[TAIL_TEXT];

	for (size_t i = 0; i < c->info.n; i++)
		silent |= c->info.repositories[i].state == INFO_UNREACHABLE;
	if (c->info.tails_unread.kind != 0)
		check_add_err(c, CHECK_WARNING, "tail", "", &c->info.tails_unread);
	if (t->newest.sysid == 0)
		return;
	tail_describe(text, &t->newest, t->said, c->info.segment_size);
	if (t->reached)
		check_add(c, CHECK_OK, "tail", "", NULL, "what was acknowledged last is there: %s", text);
	else
		check_add(c, CHECK_CRITICAL, "tail", "",
		    silent
			? "bring the repository back that is silent: it may have it"
			: "a standby's pg_wal may have it; restore in the knowledge that it is missing; pgcairn backup --full",
		    "no repository that answers has what was acknowledged: %s", text);
}

static void
check_one(struct check *c, const struct info_repository *r, const struct writer *w)
{
	const char *name = r->config->name;

	switch (r->state) {
	case INFO_LOST:
		check_add(c, CHECK_NOTE, "repository", name, NULL, "it is given up: state = lost");
		return;
	case INFO_UNREACHABLE:
		check_add_err(c, CHECK_CRITICAL, "repository", name, &r->err);
		return;
	case INFO_EMPTY:
		check_add(c, CHECK_CRITICAL, "repository", name, "run: pgcairn init", "it does not know this cluster");
		return;
	case INFO_OK:
		break;
	}
	check_add(c, CHECK_OK, "repository", name, NULL, "it opens; id %s", r->repo->id);
	check_keys(c, r, w);
	check_place(c, r);
	check_space(c, r);
	check_backups(c, r);
	check_wal(c, r);
	check_tail(c, r);
}

void
check_repositories(struct check *c)
{
	WRITER_AUTO struct writer *w = NULL;
	struct err err = {0};

	if (op_open_writer(c->op, &w, &err) < 0)
		check_add_err(c, CHECK_CRITICAL, "keys", "", &err);
	for (size_t i = 0; i < c->info.n; i++)
		check_one(c, &c->info.repositories[i], w);
	check_reached(c);
}
