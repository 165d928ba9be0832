#include "ops/adopt_wal.h"

#include <inttypes.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/histories.h"
#include "repo/wal_set.h"

/* What another server has of this timeline in the repository. */
static int
require_free_in(struct repository *r, const struct control *c, struct err *err)
{
	WAL_SET_AUTO struct wal_set *set = NULL;
	int rc;

	if (repository_lineage(r, c->sysid) == NULL)
		return err_set(
		    err, ERR_REFUSED, 0, "system %" PRIu64 " is not this cluster's in repository '%s'", c->sysid, r->name);
	rc = wal_set_load(&set, &r, 1, c->sysid, err);
	if (rc < 0 || wal_set_timeline(set, c->timeline) == NULL)
		return rc;
	err_set(err, ERR_REFUSED, 0, "timeline %" PRIu32 " is taken: another server has archived it to repository '%s'",
	    c->timeline, r->name);
	return err_hint(err, "restore again: the new copy will take the next timeline");
}

int
adopt_wal_require_free(const struct op *op, const struct fetch_options *o, const struct control *c, struct err *err)
{
	char name[WAL_NAME_MAX];
	size_t asked = 0;

	(void)snprintf(name, sizeof(name), "%08" PRIX32 ".history", c->timeline);
	for (size_t i = 0; i < op->config->n_repositories; i++) {
		const struct config_repository *row = &op->config->repositories[i];
		struct repository *r = NULL;
		bool selected;
		int rc = fetch_selected(op, row, o, &selected, err);

		if (rc == 0 && !selected)
			continue;
		if (rc == 0)
			rc = op_open_repository(op, row, NULL, &r, err);
		if (rc == 0) {
			rc = require_free_in(r, c, err);
			asked++;
		} else {
			err->hint[0] = '\0';
			err_hint(err, "if it is gone for good, go on without it: --without-repository %s", row->name);
		}
		repository_free(r);
		if (rc < 0)
			return rc;
	}
	if (asked == 0)
		return err_set(
		    err, ERR_CONFIG, 0, "no repository is left to ask whether timeline %" PRIu32 " is free", c->timeline);
	if (!histories_know(op, c->sysid, name))
		return 0;
	err_set(err, ERR_REFUSED, 0, "timeline %" PRIu32 " is taken: this host has seen its history file", c->timeline);
	return err_hint(err, "restore again: the new copy will take the next timeline");
}

/* Names in pg_wal that belong to the timeline and are finished; each() is called for those. */
struct walk {
	const struct control *control;
	uint64_t first, current; /* segment of the fork; the one that is still written */
	int (*each)(struct walk *w, const char *name, struct err *err);
	const char *pgdata;
	size_t n;
};

static int
take_name(const char *text, void *arg, struct err *err)
{
	struct walk *w = arg;
	struct wal_name name;
	uint64_t segno;

	if (!wal_name_parse(text, &name) || name.kind != WAL_NAME_SEGMENT || name.timeline != w->control->timeline ||
	    !wal_name_fits(&name, w->control->wal_segment_size))
		return 0;
	segno = wal_name_segno(&name, w->control->wal_segment_size);
	/* what stands behind the current one was made in advance and is empty */
	if (segno < w->first || segno >= w->current)
		return 0;
	w->n++;
	return w->each != NULL ? w->each(w, text, err) : 0;
}

static int
walk(struct walk *w, const struct adopt_result *result, struct err *err)
{
	FREE_AUTO char *dir = str_printf("%s/pg_wal", w->pgdata);

	if (dir == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	w->first = result->fork / w->control->wal_segment_size;
	w->current = w->control->checkpoint_lsn / w->control->wal_segment_size;
	return fs_list_dir(dir, take_name, w, err);
}

int
adopt_wal_count(const char *pgdata, const struct control *control, struct adopt_result *result, struct err *err)
{
	struct walk w = {.control = control, .pgdata = pgdata};
	int rc = walk(&w, result, err);

	result->segments = w.n;
	result->complete = w.n == w.current - w.first;
	return rc;
}

static int
mark(struct walk *w, const char *name, struct err *err)
{
	FREE_AUTO char *ready = str_printf("%s/pg_wal/archive_status/%s.ready", w->pgdata, name),
		       *done = str_printf("%s/pg_wal/archive_status/%s.done", w->pgdata, name);
	int rc;

	if (ready == NULL || done == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (access(done, F_OK) == 0)
		return 0;
	rc = fs_write_file(ready, "", 0, 0600, FS_CREATE_ONLY, err);
	return rc == ERR_EXISTS ? fs_settle(ready, err) : rc; /* an adopt that was killed may have made it, and not durable */
}

int
adopt_wal_mark(const char *pgdata, const struct control *control, const struct adopt_result *result, struct err *err)
{
	struct walk w = {.control = control, .pgdata = pgdata, .each = mark};
	char history[WAL_NAME_MAX];
	int rc;

	(void)snprintf(history, sizeof(history), "%08" PRIX32 ".history", control->timeline);
	rc = mark(&w, history, err);
	return rc < 0 ? rc : walk(&w, result, err);
}
