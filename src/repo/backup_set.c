#include "repo/backup_set.h"

#include "base/str.h"

#define GENERATION_DIGITS 4

struct lister {
	struct backup_set *set;
	size_t cap;
	size_t skip; /* bytes of a key in front of the label */
};

void
backup_set_free(struct backup_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		manifest_head_free(&set->list[i].head);
	free(set->list);
	*set = (struct backup_set){0};
}

static int
add(struct lister *l, const char *label, size_t len, unsigned generation, struct err *err)
{
	struct backup_set *set = l->set;
	struct backup_entry *e = set->n > 0 ? &set->list[set->n - 1] : NULL;

	/* keys come in their order: all generations of a label are neighbours */
	if (e != NULL && strlen(e->label) == len && memcmp(e->label, label, len) == 0) {
		e->generation = generation > e->generation ? generation : e->generation;
		return 0;
	}
	if (set->n == BACKUPS_MAX)
		return err_set(err, ERR_CORRUPT, 0, "more than %d backups", BACKUPS_MAX);
	if (set->n == l->cap) {
		size_t cap = l->cap == 0 ? 32 : 2 * l->cap;
		struct backup_entry *more = realloc(set->list, cap * sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %zu backups", cap);
		set->list = more;
		l->cap = cap;
	}
	e = &set->list[set->n++];
	*e = (struct backup_entry){.generation = generation};
	memcpy(e->label, label, len);
	return 0;
}

/* LABEL/manifest-GGGG; whatever else lies there is passed over. */
static int
take_key(const struct store_entry *entry, void *arg, struct err *err)
{
	struct lister *l = arg;
	const char *label = entry->key + l->skip, *slash = strchr(label, '/');
	char name[LAYOUT_LABEL_MAX];
	uint64_t generation;
	size_t len;

	if (slash == NULL || !str_starts(slash, "/manifest-"))
		return 0;
	len = (size_t)(slash - label);
	if (len >= sizeof(name))
		return 0;
	memcpy(name, label, len);
	name[len] = '\0';
	slash += strlen("/manifest-");
	if (!layout_name_valid(name) || strlen(slash) != GENERATION_DIGITS || !str_to_u64(slash, 0, 9999, &generation))
		return 0;
	return add(l, name, len, (unsigned)generation, err);
}

static int
read_entry(struct backup_entry *e, struct repository *r, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	char name[OBJECT_NAME_MAX];
	int rc = layout_manifest(name, e->label, e->generation, err);

	if (rc == 0)
		rc = stored_open(&s, r, name, OBJECT_MANIFEST, err);
	if (rc == 0)
		rc = manifest_head_decode(&e->head, s->clear, err);
	if (rc < 0)
		return rc;
	if (strcmp(e->head.label, e->label) != 0)
		rc = err_set(err, ERR_CORRUPT, 0, "the manifest is of backup '%s'", e->head.label);
	else if (repository_lineage(r, e->head.sysid) == NULL)
		rc = err_set(err, ERR_CORRUPT, 0, "the backup is of a cluster that is not in the lineage");
	if (rc < 0) {
		manifest_head_free(&e->head);
		e->head = (struct manifest_head){0};
		return rc;
	}
	memcpy(e->digest, s->index->digest, OBJECT_DIGEST);
	e->stored = s->index->size;
	for (size_t i = 0; i < e->head.n_packs; i++)
		e->stored += e->head.packs[i].stored;
	return 0;
}

static size_t
lineage_place(const struct repository *r, uint64_t sysid)
{
	size_t i = 0;

	while (i < r->n_lineage && r->lineage[i].sysid != sysid)
		i++;
	return i;
}

static int
order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
compare(const void *x, const void *y, void *arg)
{
	const struct backup_entry *a = x, *b = y;
	const struct manifest_head *p = &a->head, *q = &b->head;
	int by = order(a->damaged, b->damaged);

	if (by == 0 && !a->damaged) {
		by = order(lineage_place(arg, p->sysid), lineage_place(arg, q->sysid));
		if (by == 0)
			by = order(p->stop_lsn, q->stop_lsn);
		if (by == 0)
			by = order(p->stop_timeline, q->stop_timeline);
		if (by == 0)
			by = order(p->start_lsn, q->start_lsn);
	}
	return by != 0 ? by : strcmp(a->label, b->label);
}

int
backup_set_read(struct backup_set *out, struct repository *r, struct err *err)
{
	BACKUP_SET_AUTO struct backup_set set = {0};
	struct lister l = {.set = &set};
	char prefix[STORE_KEY_MAX];
	int rc = layout_key(prefix, r->cluster_name, "backup/", err);

	l.skip = strlen(prefix);
	if (rc == 0)
		rc = store_list(r->store, prefix, take_key, &l, err);
	if (rc == 0) /* an unmounted directory would list nothing */
		rc = repository_confirm(r, err);
	if (rc < 0)
		return err_wrap(err, "backups in repository '%s'", r->name);
	for (size_t i = 0; i < set.n;) {
		struct backup_entry *e = &set.list[i];

		rc = read_entry(e, r, &e->err);
		e->damaged = rc < 0;
		if (rc == ERR_NOT_FOUND) /* removed since it was listed */
			*e = set.list[--set.n];
		else
			i++;
	}
	if (set.n > 0)
		qsort_r(set.list, set.n, sizeof(*set.list), compare, r);
	*out = set;
	set = (struct backup_set){0};
	return 0;
}
