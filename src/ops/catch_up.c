#include "ops/catch_up.h"

#include <inttypes.h>

#include "base/clock.h"
#include "ops/catch_up_work.h"

#define FULL_EVERY_MS 600000

int
catch_up_new(struct catch_up **out, struct err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for catching up");
}

static void
forget(struct catch_up *c)
{
	for (size_t i = 0; i < c->n_systems; i++) {
		free(c->systems[i].folders.list);
		wanted_set_clear(&c->systems[i].histories);
	}
	free(c->systems);
	c->systems = NULL;
	c->n_systems = 0;
	c->full_ms = 0;
}

void
catch_up_free(struct catch_up *c)
{
	if (c == NULL)
		return;
	forget(c);
	free(c);
}

/* ---- who takes part ---- */

/* Only a repository of the same cluster is a source. */
static void
check_source(struct catch_up_work *w, size_t i)
{
	const struct repository *r = w->round->sources[i], *t = w->round->target;
	struct err why;

	if (r->has_cluster && memcmp(r->cluster, t->cluster, OBJECT_CLUSTER) == 0 && strcmp(r->id, t->id) != 0)
		return;
	if (strcmp(r->id, t->id) == 0)
		err_set(&why, ERR_CONFIG, 0, "repositories '%s' and '%s' are one place", r->name, t->name);
	else
		err_set(&why, ERR_CONFIG, 0, "repositories '%s' and '%s' do not hold the same cluster '%s'", r->name, t->name,
		    t->cluster_name);
	err_hint(&why, "pgcairn info shows whose they are; check the urls");
	w->down[i] = true;
	w->result->heard_all = false;
	catch_up_trouble(w, r->name, "", &why);
}

/* Systems that a source knows of and the target does not: what is theirs has no place there yet. */
static void
check_lineage(struct catch_up_work *w, size_t i)
{
	const struct repository *r = w->round->sources[i], *t = w->round->target;

	for (size_t k = 0; k < r->n_lineage && !w->down[i]; k++) {
		struct err why;

		if (repository_lineage(t, r->lineage[k].sysid) != NULL)
			continue;
		err_set(&why, ERR_CONFIG, 0, "repository '%s' does not know the system %" PRIu64 ", which repository '%s' has",
		    t->name, r->lineage[k].sysid, r->name);
		err_hint(&why, "run: pgcairn init --upgrade");
		catch_up_trouble(w, t->name, "", &why);
	}
}

static int
need_source(const struct catch_up_work *w, struct err *err)
{
	for (size_t i = 0; i < w->round->n_sources; i++)
		if (!w->down[i])
			return 0;
	w->result->no_source = true;
	err_set(err, ERR_RETRY, 0, "no repository could be asked for what repository '%s' lacks", w->round->target->name);
	return err_hint(err, "it goes on when one of them answers");
}

static int
check_all(struct catch_up_work *w, struct err *err)
{
	const struct catch_up_round *r = w->round;

	if (r->n_sources > CATCH_UP_SOURCES)
		return err_set(err, ERR_CONFIG, 0, "more than %d repositories to copy from", CATCH_UP_SOURCES);
	if (!r->target->has_cluster) {
		err_set(
		    err, ERR_CONFIG, 0, "repository '%s' does not know cluster '%s'", r->target->name, r->target->cluster_name);
		return err_hint(err, "run: pgcairn init");
	}
	for (size_t i = 0; i < r->n_sources; i++) {
		check_source(w, i);
		check_lineage(w, i);
	}
	return need_source(w, err);
}

/* ---- what lacks ---- */

/*
 * Is it to be copied? What was removed on purpose must not come back: once there are records of removals, they are asked here,
 * and they win.
 */
static bool
lacks(const struct catch_up_work *w, const struct wanted *o)
{
	uint32_t up = 0;

	for (size_t i = 0; i < w->round->n_sources; i++)
		up |= w->down[i] ? 0 : UINT32_C(1) << i;
	return !o->there && (o->have & up) != 0;
}

static void
count(struct catch_up_work *w, const struct wanted_set *s)
{
	struct catch_up_result *r = w->result;

	for (size_t i = 0; i < s->n; i++) {
		const struct wanted *o = &s->list[i];

		if (!lacks(w, o))
			continue;
		r->lacking++;
		r->lacking_bytes += o->size;
		if (r->oldest_us == 0 || o->modified_us < r->oldest_us)
			r->oldest_us = o->modified_us;
	}
}

static void
note_left(struct catch_up_work *w, const struct wanted *o)
{
	if (w->left_us == 0 || o->modified_us < w->left_us)
		w->left_us = o->modified_us;
}

/* One step forward: this object lacks no more, or stays behind. */
static void
move_on(struct catch_up_work *w, const struct wanted *o, bool left)
{
	struct catch_up_result *r = w->result;

	if (left) {
		note_left(w, o);
	} else {
		r->lacking -= r->lacking > 0;
		r->lacking_bytes -= r->lacking_bytes < o->size ? r->lacking_bytes : o->size;
	}
	/* objects come in the order in which they were made, so the next one is the oldest but for what was left */
	r->oldest_us = r->lacking == 0 ? 0 : w->left_us != 0 ? w->left_us : o->modified_us;
	if (w->round->moved != NULL)
		w->round->moved(r, w->round->arg);
}

/* *whole: nothing of it lacks any more. */
static int
copy_set(struct catch_up_work *w, struct wanted_set *s, bool *whole, struct err *err)
{
	*whole = true;
	for (size_t i = 0; i < s->n; i++) {
		bool left;
		int rc;

		if (!lacks(w, &s->list[i]))
			continue;
		if (w->round->stop != NULL && w->round->stop(w->round->arg)) {
			w->result->stopped = true;
			*whole = false;
			return 0;
		}
		rc = catch_up_object(w, &s->list[i], &left, err);
		if (rc < 0)
			return rc;
		s->list[i].there = !left;
		*whole = *whole && !left;
		move_on(w, &s->list[i], left);
	}
	return 0;
}

/* What lies below one prefix: counted, or copied. */
static int
take_prefix(struct catch_up_work *w, const char *prefix, bool copying, bool *whole, struct err *err)
{
	struct wanted_set names = {0};
	int rc = catch_up_list(w, prefix, &names, err);

	if (rc == 0 && copying)
		rc = copy_set(w, &names, whole, err);
	else if (rc == 0)
		count(w, &names);
	wanted_set_clear(&names);
	return rc;
}

static int
take_folders(struct catch_up_work *w, struct catch_up_system *s, bool copying, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->folders.n && !w->result->stopped; i++) {
		struct wal_folder *f = &s->folders.list[i];
		uint64_t before = w->result->lacking;
		char prefix[OBJECT_NAME_MAX];
		bool whole = false;

		if (!f->open)
			continue;
		rc = catch_up_folder_name(prefix, s->sysid, f, err);
		if (rc == 0)
			rc = take_prefix(w, prefix, copying, &whole, err);
		if (rc == 0 && (copying ? whole : w->result->lacking == before))
			f->open = false;
	}
	return rc;
}

/* What was decided about WAL: rare, so there is no mark for it. */
static int
take_records(struct catch_up_work *w, const struct catch_up_system *s, bool copying, struct err *err)
{
	static const char *const folders[] = {"gaps/", "conflict/wal/", LAYOUT_HIGH_WATER "/"};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(folders) && !w->result->stopped; i++) {
		char prefix[OBJECT_NAME_MAX];
		bool whole;

		(void)snprintf(prefix, sizeof(prefix), "%s%" PRIu64 "/", folders[i], s->sysid);
		rc = take_prefix(w, prefix, copying, &whole, err);
	}
	return rc;
}

/* ---- a round ---- */

/* Is what the last rounds have left enough for this one? */
static bool
is_known(const struct catch_up *c, const struct catch_up_round *r)
{
	return c->full_ms != 0 && clock_monotonic_ms() - c->full_ms < FULL_EVERY_MS && !r->full &&
	       strcmp(c->target, r->target->id) == 0 && c->n_sources == r->n_sources && c->n_systems == r->target->n_lineage;
}

static int
look_at_all(struct catch_up *c, struct catch_up_work *w, struct err *err)
{
	const struct repository *t = w->round->target;
	int rc = 0;

	forget(c);
	c->systems = calloc(t->n_lineage + 1, sizeof(*c->systems));
	if (c->systems == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a list of WAL");
	for (size_t i = 0; rc == 0 && i < t->n_lineage; i++) {
		c->systems[i].sysid = t->lineage[i].sysid;
		c->n_systems++;
		rc = catch_up_list_all(w, &c->systems[i], err);
	}
	if (rc < 0)
		return rc;
	c->full_ms = w->result->heard_all ? clock_monotonic_ms() : 0;
	memcpy(c->target, t->id, sizeof(c->target));
	c->n_sources = w->round->n_sources;
	return 0;
}

static int
look(struct catch_up *c, struct catch_up_work *w, bool *full, struct err *err)
{
	int rc = 0;

	*full = !is_known(c, w->round);
	for (size_t i = 0; rc == 0 && !*full && i < c->n_systems; i++)
		rc = catch_up_list_newest(w, &c->systems[i], full, err);
	if (rc == 0 && *full)
		rc = look_at_all(c, w, err);
	return rc < 0 ? rc : need_source(w, err);
}

static int
walk(struct catch_up *c, struct catch_up_work *w, bool copying, bool full, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->n_systems; i++) {
		struct catch_up_system *s = &c->systems[i];
		bool whole;

		/* in front of everything: a server that misses a history takes its timeline's number once more */
		if (copying)
			rc = copy_set(w, &s->histories, &whole, err);
		else
			count(w, &s->histories);
	}
	for (size_t i = 0; rc == 0 && i < c->n_systems && !w->result->stopped; i++)
		rc = take_folders(w, &c->systems[i], copying, err);
	for (size_t i = 0; rc == 0 && full && i < c->n_systems && !w->result->stopped; i++)
		rc = take_records(w, &c->systems[i], copying, err);
	return rc;
}

int
catch_up_round(struct catch_up *c, const struct catch_up_round *round, struct catch_up_result *result, struct err *err)
{
	struct catch_up_work w = {.round = round, .result = result};
	bool full = true;
	int rc;

	*result = (struct catch_up_result){.heard_all = true};
	rc = check_all(&w, err);
	if (rc == 0)
		rc = look(c, &w, &full, err);
	if (rc == 0)
		rc = walk(c, &w, false, full, err);
	if (rc == 0 && round->moved != NULL)
		round->moved(result, round->arg);
	if (rc == 0 && !round->dry_run)
		rc = walk(c, &w, true, full, err);
	if (rc < 0 || !result->heard_all)
		c->full_ms = 0; /* the next round looks at everything */
	return rc;
}
