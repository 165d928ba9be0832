/* What the sources have and the target has not. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "ops/catch_up_work.h"
#include "repo/conflict.h"
#include "repo/gap.h"
#include "repo/high_water.h"
#include "repo/wal_object.h"

#define NAMES_MAX 200000 /* in one folder: a folder of 1 MB segments has 4,096 */
#define ENOUGH 1         /* ends a listing */
#define FOLDERS_MAX 4000000

void
wanted_set_clear(struct wanted_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i].relative);
	free(s->list);
	*s = (struct wanted_set){0};
}

uint8_t
catch_up_kind(const char *relative)
{
	char object[OBJECT_NAME_MAX];
	uint8_t content_id[CONTENT_ID];
	const char *file = strrchr(relative, '/'), *suffix;
	struct high_water mark;
	struct gap_record gap;
	struct wal_name name;

	if (file == NULL)
		return 0;
	file++;
	if (str_starts(relative, "wal/"))
		return wal_name_parse(file, &name) ? wal_object_kind(&name) : 0;
	if (str_starts(relative, "gaps/"))
		return gap_name_parse(relative, &gap)        ? OBJECT_RECORD
		       : strcmp(file, LAYOUT_GAP_BYTES) == 0 ? OBJECT_QUARANTINE
							     : 0;
	if (str_starts(relative, LAYOUT_HIGH_WATER "/"))
		return high_water_name_parse(relative, &mark) ? OBJECT_HIGH_WATER : 0;
	if (!conflict_name_parse(relative, object, content_id, &suffix) || !str_starts(object, "wal/"))
		return 0;
	return *suffix != '\0' ? OBJECT_RECORD : catch_up_kind(object);
}

/* Room for at least one more. */
static bool
grow(void **list, size_t *cap, size_t size)
{
	size_t wanted = *cap == 0 ? 64 : 2 * *cap;
	void *more = realloc(*list, wanted * size);

	if (more == NULL)
		return false;
	*list = more;
	*cap = wanted;
	return true;
}

/* Where the name is or would be. */
static size_t
place_of(const struct wanted_set *s, const char *relative)
{
	size_t lo = 0, hi = s->n;

	/* listings come in order, so it is mostly the end */
	if (s->n > 0 && strcmp(s->list[s->n - 1].relative, relative) < 0)
		return s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(s->list[mid].relative, relative) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int
add_name(struct wanted_set *s, const char *relative, const struct store_stat *st, uint32_t bit, struct err *err)
{
	size_t at = place_of(s, relative);

	if (at < s->n && strcmp(s->list[at].relative, relative) == 0) {
		s->list[at].have |= bit;
		return 0;
	}
	if (s->n == NAMES_MAX)
		return err_set(err, ERR_CORRUPT, 0, "more than %d names beside '%s'", NAMES_MAX, relative);
	if (s->n == s->cap && !grow((void **)&s->list, &s->cap, sizeof(*s->list)))
		return err_set(err, ERR_NOMEM, 0, "out of memory for names");
	memmove(s->list + at + 1, s->list + at, (s->n - at) * sizeof(*s->list));
	s->list[at] =
	    (struct wanted){.relative = strdup(relative), .have = bit, .size = st->size, .modified_us = st->modified_us};
	if (s->list[at].relative == NULL) {
		memmove(s->list + at, s->list + at + 1, (s->n - at) * sizeof(*s->list));
		return err_set(err, ERR_NOMEM, 0, "out of memory for names");
	}
	s->n++;
	return 0;
}

/* A listing under way. */
struct listing {
	struct catch_up_work *w;
	struct repository *repo;
	unsigned marks; /* high-water records that were listed: the newest come first, and the others say nothing more */
	size_t skip;    /* bytes of a key in front of the relative name */
	uint32_t bit;   /* of the source; 0: it is the target */
	struct wanted_set *names;
	/* of all WAL: */
	struct catch_up_system *all;
	struct wal_folder at; /* of the source: the folder that is listed just now; names 0: none yet */
};

static int take_wal(const struct store_entry *e, void *arg, struct err *err);

static int
start(struct listing *l, const char *prefix, store_each *each, struct err *err)
{
	/* all WAL of a system may be a million names, whose sizes nobody wants */
	int (*list)(struct store * s, const char *prefix, store_each *each, void *arg, struct err *err) =
	    each == take_wal ? store_list_names : store_list;
	char key[STORE_KEY_MAX];
	int rc = layout_key(key, l->repo->cluster_name, prefix, err);

	if (rc < 0)
		return rc;
	l->skip = strlen(key) - strlen(prefix);
	l->marks = 0;
	rc = list(l->repo->store, key, each, l, err);
	return rc < 0 ? err_wrap(err, "list '%s' in repository '%s'", key, l->repo->name) : 0;
}

static int
take_name(const struct store_entry *e, void *arg, struct err *err)
{
	struct listing *l = arg;
	const char *relative = e->key + l->skip;
	uint8_t kind = catch_up_kind(relative);
	size_t at;

	if (kind == 0)
		return 0;
	if (l->bit != 0 && kind == OBJECT_HIGH_WATER && l->marks++ == HIGH_WATER_READ_MAX)
		return ENOUGH;
	if (l->bit == 0 && (l->names->n == 0 || strcmp(relative, l->names->list[l->names->n - 1].relative) > 0))
		return ENOUGH;
	if (l->bit != 0)
		return add_name(l->names, relative, &e->stat, l->bit, err);
	at = place_of(l->names, relative);
	if (at < l->names->n && strcmp(l->names->list[at].relative, relative) == 0)
		l->names->list[at].there = true;
	return 0;
}

/* Our own trouble is no source's. */
static bool
is_ours(int kind)
{
	return kind == ERR_NOMEM || kind == ERR_BUG;
}

/* Each source that is heard, then the target. */
static int
list_each(struct listing *l, const char *prefix, store_each *each, void (*behind)(struct listing *l), struct err *err)
{
	const struct catch_up_round *r = l->w->round;
	int rc;

	for (size_t i = 0; i < r->n_sources; i++) {
		struct err why;

		if (l->w->down[i])
			continue;
		l->repo = r->sources[i];
		l->bit = UINT32_C(1) << i;
		rc = start(l, prefix, each, &why);
		if (behind != NULL)
			behind(l);
		if (is_ours(rc)) {
			*err = why;
			return rc;
		}
		if (rc < 0) {
			/* what it has is not known: none of it is looked for in this round */
			l->w->down[i] = true;
			l->w->result->heard_all = false;
			catch_up_trouble(l->w, l->repo->name, "", &why);
		}
	}
	return 0;
}

int
catch_up_list(struct catch_up_work *w, const char *prefix, struct wanted_set *out, struct err *err)
{
	struct listing l = {.w = w, .names = out};
	int rc = list_each(&l, prefix, take_name, NULL, err);

	if (rc < 0 || out->n == 0)
		return rc;
	l.repo = w->round->target;
	l.bit = 0;
	return start(&l, prefix, take_name, err);
}

/* ---- all of a system ---- */

int
catch_up_folder_name(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_folder *f, struct err *err)
{
	int rc = layout_wal_timeline(out, sysid, f->timeline, err);
	size_t n = strlen(out);

	if (rc == 0 && (size_t)snprintf(out + n, OBJECT_NAME_MAX - n, "%08" PRIX32 "/", f->log) >= OBJECT_NAME_MAX - n)
		rc = err_set(err, ERR_BUG, 0, "a folder's name is too long");
	return rc;
}

static int
order(const struct wal_folder *a, const struct wal_folder *b)
{
	if (a->timeline != b->timeline)
		return a->timeline < b->timeline ? -1 : 1;
	return a->log < b->log ? -1 : a->log > b->log;
}

/* The folder in the set, made where it is missing. */
static int
need_folder(struct folder_set *s, const struct wal_folder *f, struct wal_folder **out, struct err *err)
{
	size_t lo = 0, hi = s->n;

	if (s->n > 0 && order(&s->list[s->n - 1], f) < 0)
		lo = s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (order(&s->list[mid], f) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == s->n || order(&s->list[lo], f) != 0) {
		if (s->n == FOLDERS_MAX)
			return err_set(err, ERR_CORRUPT, 0, "more than %d folders of WAL", FOLDERS_MAX);
		if (s->n == s->cap && !grow((void **)&s->list, &s->cap, sizeof(*s->list)))
			return err_set(err, ERR_NOMEM, 0, "out of memory for folders of WAL");
		memmove(s->list + lo + 1, s->list + lo, (s->n - lo) * sizeof(*s->list));
		s->list[lo] = (struct wal_folder){.timeline = f->timeline, .log = f->log};
		s->n++;
	}
	*out = &s->list[lo];
	return 0;
}

/* Order does not matter to the sum, so that whatever comes between is nothing. */
static uint64_t
sum_of(const char *file)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *file != '\0'; file++)
		h = (h ^ (uint8_t)*file) * UINT64_C(1099511628211);
	return h;
}

/* The end of a source's folder: has the target exactly these names? */
static void
close_folder(struct listing *l)
{
	struct wal_folder *f;

	if (l->at.names == 0)
		return;
	if (need_folder(&l->all->folders, &l->at, &f, NULL) < 0)
		return; /* out of memory: the next round sees it */
	if (f->names != l->at.names || f->sum != l->at.sum)
		f->open = true;
	l->at.names = 0;
}

static int
take_wal(const struct store_entry *e, void *arg, struct err *err)
{
	struct listing *l = arg;
	const char *relative = e->key + l->skip, *file = strrchr(relative, '/');
	char canonical[OBJECT_NAME_MAX];
	struct wal_folder *f, here;
	struct wal_name name;
	int rc;

	if (file == NULL || !wal_name_parse(file + 1, &name) || layout_wal(canonical, l->all->sysid, &name, NULL) < 0 ||
	    strcmp(canonical, relative) != 0)
		return 0;
	if (name.kind == WAL_NAME_HISTORY)
		return take_name(e, l, err);
	here = (struct wal_folder){.timeline = name.timeline, .log = name.log};
	if (l->bit != 0) {
		if (l->at.names > 0 && order(&l->at, &here) != 0)
			close_folder(l);
		if (l->at.names == 0)
			l->at = here;
		f = &l->at;
	} else {
		rc = need_folder(&l->all->folders, &here, &f, err);
		if (rc < 0)
			return rc;
	}
	f->names++;
	f->sum += sum_of(file + 1);
	return 0;
}

/* Its size and age, which a listing of names does not say; not knowing them is no trouble. */
static void
measure(const struct catch_up_work *w, struct wanted *o)
{
	struct store_stat st = {0};

	for (size_t i = 0; i < w->round->n_sources; i++)
		if ((o->have & UINT32_C(1) << i) != 0 && repository_stat(w->round->sources[i], o->relative, &st, NULL) == 0)
			break;
	o->size = st.size;
	o->modified_us = st.modified_us;
}

int
catch_up_list_all(struct catch_up_work *w, struct catch_up_system *s, struct err *err)
{
	struct listing l = {.w = w, .names = &s->histories, .all = s};
	char prefix[OBJECT_NAME_MAX];
	int rc;

	free(s->folders.list);
	s->folders = (struct folder_set){0};
	wanted_set_clear(&s->histories);
	(void)snprintf(prefix, sizeof(prefix), "wal/%" PRIu64 "/", s->sysid);
	/* the target comes first, since each folder of a source is compared with it; history files wait for the sources */
	l.repo = w->round->target;
	rc = start(&l, prefix, take_wal, err);
	if (rc == 0)
		rc = list_each(&l, prefix, take_wal, close_folder, err);
	for (size_t i = 0; rc == 0 && i < s->histories.n; i++) {
		struct wanted *h = &s->histories.list[i];
		struct store_stat st;

		rc = repository_stat(w->round->target, h->relative, &st, err);
		h->there = rc == 0;
		rc = rc == ERR_NOT_FOUND ? 0 : rc;
		if (!h->there)
			measure(w, h);
	}
	return rc;
}

/* ---- what came since ---- */

/* Has any source a history of this timeline? */
static bool
has_history(struct catch_up_work *w, uint64_t sysid, timeline_t timeline)
{
	const struct wal_name name = {.kind = WAL_NAME_HISTORY, .timeline = timeline};
	char relative[OBJECT_NAME_MAX];

	if (layout_wal(relative, sysid, &name, NULL) < 0)
		return false;
	for (size_t i = 0; i < w->round->n_sources; i++) {
		struct store_stat st;

		if (!w->down[i] && repository_stat(w->round->sources[i], relative, &st, NULL) == 0)
			return true;
	}
	return false;
}

/* Behind the newest folder of a timeline: the next one, as long as there is one. */
static int
find_more(struct catch_up_work *w, struct catch_up_system *s, struct wal_folder f, struct err *err)
{
	for (;;) {
		struct wanted_set names = {0};
		char prefix[OBJECT_NAME_MAX];
		struct wal_folder *added = NULL;
		bool found;
		int rc;

		f.log++;
		rc = catch_up_folder_name(prefix, s->sysid, &f, err);
		if (rc == 0)
			rc = catch_up_list(w, prefix, &names, err);
		found = names.n > 0;
		wanted_set_clear(&names);
		if (rc < 0 || !found)
			return rc;
		rc = need_folder(&s->folders, &f, &added, err);
		if (rc < 0)
			return rc;
		added->open = true;
	}
}

int
catch_up_list_newest(struct catch_up_work *w, struct catch_up_system *s, bool *full, struct err *err)
{
	timeline_t last = 0;

	if (s->folders.n > 0)
		last = s->folders.list[s->folders.n - 1].timeline;
	for (size_t i = 0; i < s->histories.n; i++) {
		struct wal_name name;

		if (wal_name_parse(strrchr(s->histories.list[i].relative, '/') + 1, &name) && name.timeline > last)
			last = name.timeline;
		*full = *full || !s->histories.list[i].there;
	}
	*full = *full || s->folders.n == 0 || has_history(w, s->sysid, last + 1);
	if (*full)
		return 0;
	for (size_t i = s->folders.n; i > 0; i--) {
		const struct wal_folder f = s->folders.list[i - 1];
		int rc;

		if (i < s->folders.n && s->folders.list[i].timeline == f.timeline)
			continue;
		/* what is shipped side by side, or late, lands in the newest two */
		s->folders.list[i - 1].open = true;
		if (i > 1 && s->folders.list[i - 2].timeline == f.timeline)
			s->folders.list[i - 2].open = true;
		rc = find_more(w, s, f, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
