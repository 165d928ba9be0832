#include "ops/conflict.h"

#include "base/str.h"
#include "ops/conflict_sides.h"
#include "repo/stored.h"

static bool
concerns(const struct conflict *c, const char *object)
{
	const char *slash = strrchr(c->object, '/');

	return object == NULL || strcmp(c->object, object) == 0 || (slash != NULL && strcmp(slash + 1, object) == 0);
}

static int
add_view(struct conflict_views *v, const char *repository, const struct conflict *c, struct err *err)
{
	struct conflict_view *more = realloc(v->list, (v->n + 1) * sizeof(*more));

	if (more == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for conflicts");
	v->list = more;
	more[v->n++] = (struct conflict_view){.repository = repository, .conflict = *c};
	return 0;
}

struct collection {
	struct conflict_views *views;
	const char *object; /* NULL: all */
	struct keyring *ring;
	bool sides;
};

static int
collect(struct repository *r, const char *name, void *arg, struct err *err)
{
	struct collection *c = arg;
	CONFLICT_SET_AUTO struct conflict_set set = {0};
	int rc = conflict_set_read(&set, r, err);

	for (size_t k = 0; rc == 0 && k < set.n; k++) {
		if (!concerns(&set.list[k], c->object))
			continue;
		rc = add_view(c->views, name, &set.list[k], err);
		if (rc == 0 && c->sides)
			conflict_fill_sides(&c->views->list[c->views->n - 1], r, c->ring);
	}
	return rc;
}

static int
not_found(const char *object, const struct survey *s, struct err *err)
{
	if (s->n_silent > 0) {
		err_set(err, ERR_RETRY, 0, "no other content came for '%s' to the repositories that answer; '%s' is silent: %s",
		    object, s->silent[0].repository, s->silent[0].err.msg);
		return err_hint(err, "ask again when it answers");
	}
	err_set(err, ERR_NOT_FOUND, 0, "no other content came for '%s'", object);
	return err_hint(err, "pgcairn conflict list shows what there is");
}

static int
find(const struct op *op, const char *object, struct keyring *ring, bool sides, struct conflict_views *out, struct err *err)
{
	struct collection c = {out, object, ring, sides};
	int rc;

	*out = (struct conflict_views){0};
	rc = survey_run(&out->survey, op, collect, &c, err);
	if (rc == 0 && object != NULL && out->n == 0)
		rc = not_found(object, &out->survey, err);
	if (rc < 0)
		conflict_views_free(out);
	return rc;
}

int
conflict_list(const struct op *op, const char *object, struct conflict_views *out, struct err *err)
{
	return find(op, object, NULL, false, out, err);
}

int
conflict_show(const struct op *op, const char *object, struct conflict_views *out, struct err *err)
{
	KEYRING_AUTO struct keyring *ring = NULL;
	int rc;

	*out = (struct conflict_views){0};
	rc = op_open_keyring(op, &ring, err);
	return rc < 0 ? rc : find(op, object, ring, true, out, err);
}

void
conflict_views_free(struct conflict_views *v)
{
	free(v->list);
	survey_free(&v->survey);
	*v = (struct conflict_views){0};
}

static int
refuse_other(const struct conflict_choice *c, struct err *err)
{
	err_set(err, ERR_REFUSED, 0,
	    "'%s' cannot be replaced: what is stored is never overwritten, and the first copy stays in service", c->object);
	return err_hint(err,
	    "is the other server the true one? stop archiving of the first; then promote the true one to a timeline of its "
	    "own, or "
	    "give it a cluster name of its own ([cluster:OTHER], pgcairn init), and take a base backup. The kept bytes: "
	    "pgcairn "
	    "conflict show %s --output FILE",
	    c->object);
}

static int
matches(const struct conflict_choice *c, const struct conflict_view *v, bool *wanted, struct err *err)
{
	uint8_t id[CONTENT_ID];

	*wanted = c->content == NULL;
	if (c->content == NULL)
		return 0;
	if (strlen(c->content) != 2 * CONTENT_ID || !str_from_hex(c->content, id, CONTENT_ID)) {
		err_set(err, ERR_CONFIG, 0, "'%.100s' is no content id", c->content);
		return err_hint(err, "32 hex digits, as pgcairn conflict show prints them");
	}
	*wanted = memcmp(id, v->conflict.content_id, CONTENT_ID) == 0;
	return 0;
}

/* Only those that the choice is about; one object, one first copy, everywhere the same. */
static int
narrow(const struct conflict_choice *c, struct conflict_views *v, struct err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++) {
		struct conflict_view *one = &v->list[i];
		bool wanted;
		int rc = matches(c, one, &wanted, err);

		if (rc < 0)
			return rc;
		if (strcmp(one->conflict.object, v->list[0].conflict.object) != 0)
			return err_set(err, ERR_CONFIG, 0, "'%s' is the name of several objects: '%s', '%s'", c->object,
			    v->list[0].conflict.object, one->conflict.object);
		if (!one->first.known) {
			*err = one->first.why;
			return err_wrap(err, "the first copy in repository '%s'", one->repository);
		}
		if (memcmp(one->first.content_id, v->list[0].first.content_id, CONTENT_ID) != 0) {
			err_set(err, ERR_REFUSED, 0,
			    "repositories '%s' and '%s' have different content in service under the name '%s'",
			    v->list[0].repository, one->repository, c->object);
			return err_hint(err,
			    "restore from one of them only (--repository NAME), take a backup, and start anew under another "
			    "cluster name");
		}
		if (wanted)
			v->list[n++] = *one;
	}
	v->n = n;
	if (n == 0)
		return err_set(err, ERR_NOT_FOUND, 0, "no content %s came for '%s'", c->content, c->object);
	return 0;
}

static int
put_record(const struct op *op, struct fanout *f, const struct writer *w, const struct conflict_record *r, const char *suffix,
    struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	char name[OBJECT_NAME_MAX];
	int rc = conflict_record_encode(r, o, err);

	if (rc == 0)
		rc = layout_conflict_record(name, r->object, r->content_id, suffix, err);
	if (rc == 0)
		rc = fanout_put_record(f, name, OBJECT_RECORD, o, &w->signing, err);
	return rc < 0 ? rc : op_acknowledged(op, f, err);
}

/* Into every repository, also those where the other content has not come yet: it will be met by the decision. */
static int
record(
    const struct op *op, const struct conflict_choice *c, const struct decision *d, struct conflict_views *v, struct err *err)
{
	WRITER_AUTO struct writer *w = NULL;
	FANOUT_AUTO struct fanout *f = NULL;
	int rc = op_open_writer(op, &w, err), worst;

	if (rc == 0)
		rc = op_open_fanout(op, w, &f, err);
	worst = rc;
	for (size_t i = 0; rc == 0 && i < v->n; i++) { /* all of them, also when too few repositories take the first */
		struct conflict *one = &v->list[i].conflict;
		struct conflict_record r = {.decision = *d};
		int put;

		memcpy(r.object, one->object, sizeof(r.object));
		memcpy(r.content_id, one->content_id, CONTENT_ID);
		memcpy(r.first, v->list[i].first.content_id, CONTENT_ID);
		put = put_record(op, f, w, &r, LAYOUT_RESOLVED, err);
		if (put == 0 && c->release)
			put = put_record(op, f, w, &r, LAYOUT_RELEASED, err);
		if (put == 0 && !one->resolved)
			one->record = r;
		one->resolved |= put == 0;
		one->released |= put == 0 && c->release;
		if (put < 0)
			worst = put;
	}
	return worst;
}

int
conflict_resolve(const struct op *op, const struct conflict_choice *c, struct conflict_views *out, struct err *err)
{
	struct decision d;
	int rc;

	*out = (struct conflict_views){0};
	if (c->keep_other)
		return refuse_other(c, err);
	rc = decision_make(&d, c->reason, err);
	if (rc == 0)
		rc = op_become_owner(op, err);
	if (rc == 0)
		rc = find(op, c->object, NULL, true, out, err);
	if (rc == 0)
		rc = narrow(c, out, err);
	if (rc == 0 && !c->dry_run)
		rc = record(op, c, &d, out, err);
	if (rc < 0)
		conflict_views_free(out);
	return rc;
}

size_t
conflict_accepts(
    struct fanout *f, const char *object, const uint8_t content_id[CONTENT_ID], bool *decided, struct conflict_record *record)
{
	size_t released = 0;

	*decided = false;
	for (size_t i = 0; i < f->n; i++) {
		struct fanout_target *t = &f->targets[i];
		struct conflict_record one;
		char name[OBJECT_NAME_MAX];

		t->done = false;
		if (t->failed)
			continue;
		if (conflict_read_record(&one, t->repo, object, content_id, LAYOUT_RESOLVED, NULL) == 0) {
			*record = one;
			*decided = true;
		}
		if (conflict_read_record(&one, t->repo, object, content_id, LAYOUT_RELEASED, NULL) < 0 ||
		    layout_conflict_record(name, object, content_id, LAYOUT_RELEASED, NULL) < 0 ||
		    repository_settle(t->repo, name, NULL) < 0)
			continue;
		t->done = true;
		released++;
	}
	return released;
}
