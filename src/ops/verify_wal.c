/* WAL as a whole: nothing missing in between, every segment continues the one before it, every backup has what it needs. */
#include <inttypes.h>

#include "ops/verify_work.h"
#include "ops/windows.h"

#define REMEDY_WAL "copy the segments from a repository that has them, or take a new backup: what lies behind starts there"

static void
name_segment(const struct wal_set *set, timeline_t timeline, uint64_t segno, char out[OBJECT_NAME_MAX])
{
	char text[WAL_NAME_MAX];
	struct wal_name name;

	wal_segment_name(text, timeline, segno, set->segment_size);
	if (!wal_name_parse(text, &name) || layout_wal(out, set->sysid, &name, NULL) < 0)
		out[0] = '\0';
}

/* A store that fails is no finding about WAL. */
static bool
is_store_error(int kind)
{
	return kind == ERR_RETRY || kind == ERR_NOMEM || kind == ERR_BUG;
}

/*
 * The chain ends before a segment: it does not join, or it cannot be read by now. What was found when it was looked at itself
 * is not told again; in a subset it was not looked at. first: nothing is before it. True: it opens, and can be gone on from.
 */
static bool
tell_break(struct verify_work *w, const char *name, bool first, const struct err *why)
{
	STORED_AUTO struct stored *s = NULL;
	struct err now;
	bool opens = stored_open(&s, w->repo, name, OBJECT_WAL, &now) == 0;

	if (opens && !first && why->kind == ERR_CORRUPT)
		verify_find(w, name, "join", REMEDY_WAL, "it does not continue the segment before it: %s", why->msg);
	else if (verify_listed(w, name))
		verify_find_late(w, name, why);
	return opens;
}

/* From one segment as far as it goes; *next is where to go on. */
static int
join_from(struct verify_work *w, const struct wal_set *set, const struct wal_set_timeline *t, uint64_t start, uint64_t *next,
    struct err *err)
{
	WAL_CHAIN_AUTO struct wal_chain *c = NULL;
	timeline_t timeline = t->timeline;
	char name[OBJECT_NAME_MAX];
	struct err why = {0};
	/* what an index says is compared with the segments elsewhere */
	const struct wal_chain_options o = {.start = wal_segment_start(start, set->segment_size), .without_indexes = true};
	int rc = wal_chain_build(&c, &w->repo, 1, set, &t->history, &o, &why);

	if (rc == 0)
		why = c->broken;
	if (is_store_error(why.kind)) {
		*err = why;
		return why.kind;
	}
	*next = start + (c != NULL ? c->n : 0);
	if (why.kind == 0)
		return 0;
	/* before the fork it is the older timeline's */
	if (wal_set_mask(set, timeline, *next) == 0)
		timeline = timeline_of_lsn(&t->history, wal_segment_start(*next, set->segment_size));
	name_segment(set, timeline, *next, name);
	if (!tell_break(w, name, c == NULL, &why) || c == NULL)
		(*next)++;
	return 0;
}

static int
join_timeline(struct verify_work *w, const struct wal_set *set, const struct wal_set_timeline *t, struct err *err)
{
	const struct timeline_entry *parent = t->history.n > 0 ? &t->history.entries[t->history.n - 1] : NULL;
	bool forked = false; /* the edge at the fork was looked at */
	uint64_t next = 0;

	for (size_t i = 0; i < t->spans.n; i = wal_spans_from(&t->spans, next)) {
		uint64_t start = t->spans.list[i].first > next ? t->spans.list[i].first : next;
		int rc;

		/* over the fork: the last whole segment of the older timeline comes first */
		if (!forked && parent != NULL && parent->switch_lsn / set->segment_size == start && start > 0 &&
		    wal_set_mask(set, parent->tli, start - 1) != 0)
			start--;
		forked = true;
		/* where the older segment breaks off, the newer timeline is looked at by itself */
		rc = join_from(w, set, t, start, &next, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static const struct timeline_history *
path_of(const struct wal_set *set, timeline_t timeline, struct timeline_history *alone)
{
	const struct wal_set_timeline *t = wal_set_timeline(set, timeline);

	*alone = (struct timeline_history){.timeline = timeline};
	return t != NULL ? &t->history : alone;
}

static int
check_backup(struct verify_work *w, const struct wal_set *set, const struct backup_entry *b, struct err *err)
{
	WAL_CHAIN_AUTO struct wal_chain *c = NULL;
	struct timeline_history alone;
	const struct timeline_history *path = path_of(set, b->head.stop_timeline, &alone);
	char name[OBJECT_NAME_MAX], have[LSN_TEXT], need[LSN_TEXT];
	struct err why = {0};
	lsn_t end = 0;
	const struct wal_chain_options o = {.start = b->head.start_lsn, .upto = b->head.stop_lsn - 1, .without_indexes = true};
	int rc = wal_chain_build(&c, &w->repo, 1, set, path, &o, &why);

	if (rc == 0) {
		end = wal_chain_end(c);
		why = c->broken;
	}
	if (is_store_error(why.kind)) {
		*err = why;
		return why.kind;
	}
	if (end >= b->head.stop_lsn || layout_manifest(name, b->label, b->generation, NULL) < 0)
		return 0;
	lsn_format(have, end);
	lsn_format(need, b->head.stop_lsn);
	verify_find(w, name, "wal", REMEDY_WAL, "backup %s needs WAL up to %s and it is there up to %s%s%s", b->label, need,
	    have, why.kind != 0 ? ": " : "", why.msg);
	return 0;
}

static int
find_gaps(struct verify_work *w, const struct wal_set *set, struct err *err)
{
	SCOPE(windows_free) struct windows gaps = {0};
	int rc = windows_gaps(&gaps, set, err);

	for (size_t i = 0; rc == 0 && i < gaps.n_gaps; i++) {
		const struct wal_gap *g = &gaps.gaps[i];
		char relative[OBJECT_NAME_MAX];
		struct wal_name name;

		if (!wal_name_parse(g->first, &name) || layout_wal(relative, set->sysid, &name, NULL) < 0)
			continue;
		if (g->recorded)
			verify_note(w, relative, "gap", REMEDY_WAL, "%s", g->what);
		else
			verify_find(w, relative, "gap", REMEDY_WAL, "%s", g->what);
	}
	return rc;
}

static int
verify_system(struct verify_work *w, uint64_t sysid, struct err *err)
{
	WAL_SET_AUTO struct wal_set *set = NULL;
	char name[OBJECT_NAME_MAX];
	int rc = wal_set_load(&set, &w->repo, 1, sysid, err);

	if (rc == ERR_CORRUPT || rc == ERR_AUTH) { /* a history file: which, was found when it was looked at */
		(void)snprintf(name, sizeof(name), "wal/%" PRIu64, sysid);
		verify_find(
		    w, name, "joins", "repair what is named beside this", "the WAL could not be followed: %s", err->msg);
		return 0;
	}
	if (rc == 0 && w->options->label == NULL)
		rc = find_gaps(w, set, err);
	for (size_t i = 0; rc == 0 && w->options->label == NULL && i < set->n; i++)
		rc = join_timeline(w, set, &set->timelines[i], err);
	for (size_t i = 0; rc == 0 && i < w->backups.n; i++) {
		const struct backup_entry *b = &w->backups.list[i];

		if (!b->damaged && b->head.sysid == sysid &&
		    (w->options->label == NULL || strcmp(b->label, w->options->label) == 0))
			rc = check_backup(w, set, b, err);
	}
	return rc;
}

int
verify_wal(struct verify_work *w, struct err *err)
{
	for (size_t i = 0; i < w->repo->n_lineage; i++) {
		int rc = verify_system(w, w->repo->lineage[i].sysid, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}
