#include "ops/info.h"

#include "base/str.h"
#include "ops/stop.h"

const char *
info_state_name(enum info_state state)
{
	static const char *const names[] = {"ok", "empty", "unreachable", "lost"};

	return names[state];
}

void
info_free(struct info *info)
{
	for (size_t i = 0; i < info->n; i++) {
		struct info_repository *r = &info->repositories[i];

		backup_set_free(&r->backups);
		windows_free(&r->windows);
		repository_free(r->repo);
		free(r->usable);
		conflict_set_free(&r->conflicts);
	}
	free(info->repositories);
	*info = (struct info){0};
}

const struct backup_entry *
info_newest_backup(const struct info_repository *r)
{
	for (size_t i = r->backups.n; i-- > 0;)
		if (!r->backups.list[i].damaged)
			return &r->backups.list[i];
	return NULL;
}

static void
note_newest(struct info_repository *r, const struct wal_set *set, size_t place)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct wal_set_timeline *t = &set->timelines[i];

		r->segments += wal_spans_count(&t->spans);
		if (t->spans.n == 0)
			continue;
		r->newest_system = place;
		r->newest_timeline = t->timeline;
		r->newest_segno = wal_span_last(&t->spans.list[t->spans.n - 1]);
		wal_segment_name(r->newest, t->timeline, r->newest_segno, set->segment_size);
	}
}

static int
look_at_wal(struct info_repository *r, struct err *err)
{
	r->usable = calloc(r->backups.n + 1, sizeof(bool));
	if (r->usable == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for backups");
	for (size_t i = 0; i < r->repo->n_lineage; i++) {
		WAL_SET_AUTO struct wal_set *set = NULL;
		int rc = wal_set_load(&set, &r->repo, 1, r->repo->lineage[i].sysid, err);

		if (rc == 0)
			rc = windows_find(&r->windows, r->repo, set, &r->backups, r->usable, err);
		if (rc < 0)
			return rc;
		note_newest(r, set, i);
	}
	return 0;
}

/* Only facts that are known are shown: an answer that the store does not give is no error of the repository. */
static void
ask_store(struct info_repository *r)
{
	struct store *s = r->repo->store;

	r->has_caps = store_caps(s, &r->caps, NULL) == 0;
	r->has_space = store_space(s, &r->free_bytes, &r->total_bytes, NULL) == 0;
}

static int
look_at(const struct op *op, struct info_repository *r, struct err *err)
{
	int rc = op_open_repository(op, r->config, NULL, &r->repo, err);

	if (rc < 0)
		return rc;
	ask_store(r);
	r->state = r->repo->has_cluster ? INFO_OK : INFO_EMPTY;
	if (!r->repo->has_cluster)
		return 0;
	rc = backup_set_read(&r->backups, r->repo, err);
	if (rc == 0)
		rc = look_at_wal(r, err);
	if (rc == 0)
		rc = conflict_set_read(&r->conflicts, r->repo, err);
	if (rc == 0) /* a directory that was unmounted meanwhile looks empty */
		rc = repository_confirm(r->repo, err);
	return rc;
}

int
info_collect(const struct op *op, struct info *out, struct err *err)
{
	const struct config *cfg = op->config;
	INFO_AUTO struct info info = {0};
	struct err why = {0};

	info.repositories = calloc(cfg->n_repositories + 1, sizeof(*info.repositories));
	if (info.repositories == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		struct info_repository *r = &info.repositories[info.n++];
		int rc;

		r->config = &cfg->repositories[i];
		r->state = INFO_LOST;
		if (r->config->state == CONFIG_REPOSITORY_LOST)
			continue;
		rc = look_at(op, r, &r->err);
		if (rc == ERR_NOMEM)
			return err_set(err, ERR_NOMEM, 0, "out of memory for repository '%s'", r->config->name);
		if (rc < 0)
			r->state = INFO_UNREACHABLE;
		else
			info.opened++;
	}
	info.stopped = stop_check(op, &info.stop, &why) == ERR_REFUSED;
	if (!info.stopped && why.kind != 0) {
		err_hint(&why, "look as the user who archives, whose the state directory is");
		info.stop_unknown = why;
	}
	*out = info;
	info = (struct info){0};
	return 0;
}
