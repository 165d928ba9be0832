#include "repo/conflict.h"

#include "base/str.h"
#include "repo/stored.h"

#define FOLDER "conflict/"

int
conflict_record_encode(const struct conflict_record *c, json_t *o, struct err *err)
{
	if (json_object_set_new(o, "object", json_string(c->object)) < 0 ||
	    json_set_hex(o, "content_id", c->content_id, CONTENT_ID) < 0 || json_set_hex(o, "first", c->first, CONTENT_ID) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the record of a conflict");
	return decision_encode(&c->decision, o, err);
}

int
conflict_record_decode(struct conflict_record *c, const json_t *o, struct err *err)
{
	const char *object;
	int rc = json_get_str(o, "object", &object, err);

	memset(c, 0, sizeof(*c));
	if (rc == 0 && strlen(object) >= sizeof(c->object))
		rc = err_set(err, ERR_CORRUPT, 0, "member 'object' is too long");
	if (rc == 0)
		memcpy(c->object, object, strlen(object) + 1);
	if (rc == 0)
		rc = json_get_hex(o, "content_id", c->content_id, CONTENT_ID, err);
	if (rc == 0)
		rc = json_get_hex(o, "first", c->first, CONTENT_ID, err);
	return rc < 0 ? rc : decision_decode(&c->decision, o, err);
}

bool
conflict_name_parse(const char *relative, char object[OBJECT_NAME_MAX], uint8_t content_id[CONTENT_ID], const char **suffix)
{
	const char *name = relative + strlen(FOLDER), *slash;
	char hex[2 * CONTENT_ID + 1];

	if (!str_starts(relative, FOLDER) || (slash = strrchr(name, '/')) == NULL || slash == name ||
	    (size_t)(slash - name) >= OBJECT_NAME_MAX || strlen(slash + 1) < 2 * CONTENT_ID)
		return false;
	memcpy(object, name, (size_t)(slash - name));
	object[slash - name] = '\0';
	memcpy(hex, slash + 1, 2 * CONTENT_ID);
	hex[2 * CONTENT_ID] = '\0';
	*suffix = slash + 1 + 2 * CONTENT_ID;
	return hex[strspn(hex, "0123456789abcdef")] == '\0' && str_from_hex(hex, content_id, CONTENT_ID) &&
	       (**suffix == '\0' || strcmp(*suffix, LAYOUT_RESOLVED) == 0 || strcmp(*suffix, LAYOUT_RELEASED) == 0);
}

int
conflict_read_record(struct conflict_record *out, struct repository *r, const char *object,
    const uint8_t content_id[CONTENT_ID], const char *suffix, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	char name[OBJECT_NAME_MAX];
	int rc = layout_conflict_record(name, object, content_id, suffix, err);

	if (rc == 0)
		rc = stored_open(&s, r, name, OBJECT_RECORD, err);
	if (rc == 0)
		rc = conflict_record_decode(out, s->clear, err);
	if (rc == 0 && (strcmp(out->object, object) != 0 || memcmp(out->content_id, content_id, CONTENT_ID) != 0))
		rc = err_set(err, ERR_CORRUPT, 0, "'%s' is of another conflict", name);
	return rc;
}

struct lister {
	struct conflict_set *set;
	size_t skip; /* bytes of a key in front of the relative name */
};

static int
take_key(const struct store_entry *e, void *arg, struct err *err)
{
	struct lister *l = arg;
	struct conflict one = {.stored = e->stat.size}, *more;
	const char *suffix;

	if (!conflict_name_parse(e->key + l->skip, one.object, one.content_id, &suffix) || *suffix != '\0')
		return 0;
	if (l->set->n == CONFLICTS_MAX)
		return err_set(err, ERR_CORRUPT, 0, "more than %d conflicts", CONFLICTS_MAX);
	more = realloc(l->set->list, (l->set->n + 1) * sizeof(*more));
	if (more == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for conflicts");
	l->set->list = more;
	more[l->set->n++] = one;
	return 0;
}

static int
by_name(const void *a, const void *b)
{
	const struct conflict *x = a, *y = b;
	int order = strcmp(x->object, y->object);

	return order != 0 ? order : memcmp(x->content_id, y->content_id, CONTENT_ID);
}

/* Is there such a record? A damaged one is none: then the conflict is loud again. */
static int
look_for(struct conflict *c, struct repository *r, const char *suffix, bool *there, struct err *err)
{
	struct conflict_record record;
	int rc = conflict_read_record(&record, r, c->object, c->content_id, suffix, err);

	*there = rc == 0;
	if (rc == 0)
		c->record = record;
	return rc == ERR_NOT_FOUND || rc == ERR_CORRUPT || rc == ERR_AUTH ? 0 : rc;
}

int
conflict_set_read(struct conflict_set *set, struct repository *r, struct err *err)
{
	struct lister l = {.set = set};
	char prefix[STORE_KEY_MAX];
	int rc = layout_key(prefix, r->cluster_name, FOLDER, err);

	*set = (struct conflict_set){0};
	l.skip = strlen(prefix) - strlen(FOLDER);
	if (rc == 0)
		rc = store_list(r->store, prefix, take_key, &l, err);
	if (set->n > 0)
		qsort(set->list, set->n, sizeof(*set->list), by_name);
	for (size_t i = 0; rc == 0 && i < set->n; i++) {
		struct conflict *c = &set->list[i];

		rc = look_for(c, r, LAYOUT_RELEASED, &c->released, err);
		if (rc == 0)
			rc = look_for(c, r, LAYOUT_RESOLVED, &c->resolved, err);
	}
	if (rc == 0)
		return 0;
	conflict_set_free(set);
	return err_wrap(err, "conflicts of repository '%s'", r->name);
}

void
conflict_set_free(struct conflict_set *set)
{
	free(set->list);
	*set = (struct conflict_set){0};
}
