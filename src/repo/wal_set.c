#include "repo/wal_set.h"

#include "base/str.h"
#include "repo/stored.h"
#include "repo/wal_object.h"

void
wal_set_free(struct wal_set *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++) {
		timeline_history_free(&s->timelines[i].history);
		wal_spans_free(&s->timelines[i].spans);
		wal_spans_free(&s->timelines[i].listed);
		wal_indexes_free(&s->timelines[i].indexes);
	}
	free(s->timelines);
	gap_set_free(&s->gaps);
	free(s);
}

/* Where timeline is or would be. */
static size_t
place_of(const struct wal_set *s, timeline_t timeline)
{
	size_t at = 0;

	while (at < s->n && s->timelines[at].timeline < timeline)
		at++;
	return at;
}

const struct wal_set_timeline *
wal_set_timeline(const struct wal_set *s, timeline_t timeline)
{
	size_t at = place_of(s, timeline);

	return at < s->n && s->timelines[at].timeline == timeline ? &s->timelines[at] : NULL;
}

uint32_t
wal_set_mask(const struct wal_set *s, timeline_t timeline, uint64_t segno)
{
	const struct wal_set_timeline *t = wal_set_timeline(s, timeline);

	return t != NULL ? wal_spans_mask(&t->spans, segno) : 0;
}

const struct gap_record *
wal_set_gap(const struct wal_set *s, timeline_t timeline, uint64_t segno)
{
	for (size_t i = 0; i < s->gaps.n; i++) {
		const struct gap_record *g = &s->gaps.list[i];

		if (g->name.kind == WAL_NAME_SEGMENT && g->name.timeline == timeline &&
		    wal_name_segno(&g->name, s->segment_size) == segno && wal_set_mask(s, timeline, segno) == 0)
			return g;
	}
	return NULL;
}

static int
need_timeline(struct wal_set *s, timeline_t timeline, struct wal_set_timeline **out, struct err *err)
{
	size_t at = place_of(s, timeline);
	struct wal_set_timeline *grown;

	if (at == s->n || s->timelines[at].timeline != timeline) {
		grown = realloc(s->timelines, (s->n + 1) * sizeof(*grown));
		if (grown == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for timelines");
		s->timelines = grown;
		memmove(grown + at + 1, grown + at, (s->n - at) * sizeof(*grown));
		grown[at] =
		    (struct wal_set_timeline){.timeline = timeline, .known = timeline == 1, .history.timeline = timeline};
		s->n++;
	}
	*out = &s->timelines[at];
	return 0;
}

struct listing {
	struct wal_set *set;
	struct repository *repo;
	uint32_t bit;
	uint32_t place;     /* of the repository */
	struct buf history; /* of the file that is read just now */
};

static int
keep_bytes(const void *data, size_t len, void *arg, struct err *err)
{
	return buf_append(arg, data, len, err);
}

/* History files are signed and never change, so the first repository that has one speaks for all, unless another has other
 * content. */
static int
read_history(struct listing *l, const struct wal_name *name, struct wal_set_timeline *t, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	char relative[OBJECT_NAME_MAX];
	uint8_t content_id[CONTENT_ID];
	int rc;

	buf_reset(&l->history);
	rc = layout_wal(relative, l->set->sysid, name, err);
	if (rc == 0)
		rc = stored_open(&s, l->repo, relative, OBJECT_TIMELINE_HISTORY, err);
	if (rc == 0)
		rc = wal_object_content_id(s->clear, content_id, err);
	if (rc == 0 && t->known && t->timeline > 1) {
		t->disputed |= memcmp(content_id, t->content_id, CONTENT_ID) != 0;
		return 0;
	}
	if (rc == 0)
		memcpy(t->content_id, content_id, CONTENT_ID);
	if (rc == 0)
		rc = stored_read(s, NULL, keep_bytes, &l->history, err);
	if (rc == 0)
		rc = timeline_history_parse(&t->history, name->timeline, buf_text(&l->history), l->history.len, err);
	if (rc == 0)
		t->known = true;
	return rc < 0 ? err_wrap(err, "history of timeline %u", name->timeline) : 0;
}

static int
take_key(const struct store_entry *e, void *arg, struct err *err)
{
	struct listing *l = arg;
	const char *file = strrchr(e->key, '/');
	struct wal_set_timeline *t = NULL;
	struct wal_name name;
	int rc;

	if (file == NULL || !wal_name_parse(file + 1, &name) ||
	    (name.kind != WAL_NAME_SEGMENT && name.kind != WAL_NAME_HISTORY))
		return 0;
	rc = need_timeline(l->set, name.timeline, &t, err);
	if (rc < 0)
		return rc;
	if (name.kind == WAL_NAME_HISTORY)
		return read_history(l, &name, t, err);
	if (!wal_name_fits(&name, l->set->segment_size))
		return err_set(err, ERR_CORRUPT, 0, "'%s' cannot be a segment of %u bytes", e->key, l->set->segment_size);
	return wal_spans_add(&t->listed, wal_name_segno(&name, l->set->segment_size), l->bit, err);
}

/* An index is of use for the timelines that have segments here; it makes none. */
static int
take_index(const struct store_entry *e, void *arg, struct err *err)
{
	struct listing *l = arg;
	struct wal_index_name name;
	size_t at;

	if (!wal_index_name_parse(strrchr(e->key, '/') + 1, l->set->segment_size, &name))
		return 0;
	at = place_of(l->set, name.timeline);
	if (at == l->set->n || l->set->timelines[at].timeline != name.timeline)
		return 0;
	return wal_indexes_add(&l->set->timelines[at].indexes, l->place, &name, err);
}

static int
list_indexes(struct listing *l, struct err *err)
{
	char folder[OBJECT_NAME_MAX], prefix[STORE_KEY_MAX];
	int rc = wal_index_folder(folder, l->repo->id, l->set->sysid, err);

	if (rc == 0)
		rc = layout_key(prefix, l->repo->cluster_name, folder, err);
	return rc < 0 ? rc : store_list_names(l->repo->store, prefix, take_index, l, err);
}

/* One repository's names. */
static int
list_repository(struct listing *l, struct err *err)
{
	char prefix[STORE_KEY_MAX];
	int rc;

	(void)snprintf(
	    prefix, sizeof(prefix), "clusters/%s/wal/%llu/", l->repo->cluster_name, (unsigned long long)l->set->sysid);
	rc = store_list_names(l->repo->store, prefix, take_key, l, err);
	for (size_t i = 0; rc == 0 && i < l->set->n; i++)
		rc = wal_spans_unite(&l->set->timelines[i].spans, &l->set->timelines[i].listed, err);
	if (rc == 0)
		rc = list_indexes(l, err);
	if (rc == 0)
		rc = gap_set_read(&l->set->gaps, l->repo, l->set->sysid, NULL, err);
	return rc < 0 ? err_wrap(err, "list WAL of repository '%s'", l->repo->name) : 0;
}

int
wal_set_load(struct wal_set **out, struct repository *const *repositories, size_t n, uint64_t sysid, struct err *err)
{
	WAL_SET_AUTO struct wal_set *s = calloc(1, sizeof(*s));
	struct listing l = {.set = s, .history = {.max = TIMELINE_FILE_MAX}};
	int rc = 0;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a list of WAL");
	if (n > WAL_SET_REPOSITORIES)
		return err_set(err, ERR_CONFIG, 0, "more than %d repositories", WAL_SET_REPOSITORIES);
	s->sysid = sysid;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct lineage_entry *e = repository_lineage(repositories[i], sysid);

		if (e == NULL)
			continue;
		s->segment_size = e->segment_size;
		l.repo = repositories[i];
		l.bit = UINT32_C(1) << i;
		l.place = (uint32_t)i;
		rc = list_repository(&l, err);
	}
	buf_free(&l.history);
	for (size_t i = 0; i < s->n; i++)
		wal_indexes_sort(&s->timelines[i].indexes);
	if (rc < 0)
		return rc;
	*out = STEAL(s);
	return 0;
}
