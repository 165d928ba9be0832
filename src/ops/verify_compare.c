/* One repository against another. Two that were each written by one side of a split brain are both whole, and not the same. */
#include "ops/verify_work.h"

static int
compare_findings(const void *x, const void *y)
{
	const struct verify_finding *a = x, *b = y;
	int by;

	if (a->place != b->place)
		return a->place < b->place ? -1 : 1;
	by = strcmp(a->object, b->object);
	if (by == 0)
		by = strcmp(a->kind, b->kind);
	return by != 0 ? by : strcmp(a->what, b->what);
}

static int
compare_objects(const void *x, const void *y)
{
	const struct verify_finding *a = x, *b = y;

	if (a->place != b->place)
		return a->place < b->place ? -1 : 1;
	return strcmp(a->object, b->object);
}

/* Both lists are in the order of their names. */
static void
compare_contents(struct verify_work *a, struct verify_work *b)
{
	size_t i = 0, k = 0;

	while (i < a->n && k < b->n) {
		const struct verify_object *x = &a->objects[i], *y = &b->objects[k];
		int by = strcmp(x->relative, y->relative);

		if (by == 0 && x->has_content && y->has_content && memcmp(x->content_id, y->content_id, CONTENT_ID) != 0)
			verify_find(b, y->relative, "differs",
			    "two servers archived under one name; find out which of them is the cluster",
			    "repository '%s' holds other content under this name", a->repo->name);
		i += by <= 0;
		k += by >= 0;
	}
}

static bool
is_about_object(const struct verify_finding *f)
{
	static const char *const kinds[] = {"damaged", "missing", "unreadable", "pin", "gap"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(f->kind, kinds[i]) == 0)
			return f->object[0] != '\0' && !f->note;
	return false;
}

/* Listed there, and nothing found: that repository was looked at just as well. */
static void
find_whole(const struct verify_work *works, size_t n, const struct verify_result *r, struct verify_finding *f)
{
	FREE_AUTO struct verify_finding *there = malloc(sizeof(*there));

	for (size_t i = 0; there != NULL && i < n; i++) {
		*there = *f;
		there->place = i;
		if (i == f->place || works[i].repo == NULL || works[i].unread || !verify_listed(&works[i], f->object) ||
		    bsearch(there, r->list, r->n, sizeof(*r->list), compare_objects) != NULL)
			continue;
		(void)snprintf(f->whole_in, sizeof(f->whole_in), "%s", works[i].repo->name);
		return;
	}
}

void
verify_compare(struct verify_work *works, size_t n, struct verify_result *r)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (works[i].repo != NULL && works[k].repo != NULL && !works[i].unread && !works[k].unread)
				compare_contents(&works[i], &works[k]);
	if (r->n > 0)
		qsort(r->list, r->n, sizeof(*r->list), compare_findings);
	for (size_t i = 0; i < r->n; i++)
		if (is_about_object(&r->list[i]))
			find_whole(works, n, r, &r->list[i]);
}
