#include "repo/fanout.h"

struct fanout_sink {
	struct sink sink; /* first */
	struct fanout *f;
	struct sink **next; /* one a target; NULL: not written to */
};

int
fanout_new(struct fanout **out, size_t n, struct err *err)
{
	FANOUT_AUTO struct fanout *f = calloc(1, sizeof(*f));

	if (f != NULL)
		f->targets = calloc(n + 1, sizeof(*f->targets));
	if (f == NULL || f->targets == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %zu repositories", n);
	f->n = n;
	*out = STEAL(f);
	return 0;
}

void
fanout_free(struct fanout *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; f->targets != NULL && i < f->n; i++)
		repository_free(f->targets[i].repo);
	free(f->targets);
	free(f);
}

size_t
fanout_alive(const struct fanout *f)
{
	size_t alive = 0;

	for (size_t i = 0; i < f->n; i++)
		alive += !f->targets[i].failed;
	return alive;
}

struct repository *
fanout_first(const struct fanout *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!f->targets[i].failed)
			return f->targets[i].repo;
	return NULL;
}

void
fanout_fail(struct fanout *f, size_t i, const struct err *why)
{
	f->targets[i].failed = true;
	f->targets[i].done = false;
	f->targets[i].err = *why;
	err_wrap(&f->targets[i].err, "repository '%s'", f->targets[i].name);
}

/* 0 while somebody is left, else the last error. */
static int
somebody_left(const struct fanout *f, const struct err *last, struct err *err)
{
	if (fanout_alive(f) > 0)
		return 0;
	if (err != NULL)
		*err = *last;
	return last->kind;
}

/*
 * Is this target still written to? One that has failed in the meantime, at another object perhaps, lacks something that this
 * object may rely on (a manifest on its packs): what was written to it so far must never become visible.
 */
static bool
still_open(struct fanout_sink *s, size_t i, struct err *why)
{
	if (s->next[i] == NULL)
		return false;
	if (!s->f->targets[i].failed)
		return true;
	*why = s->f->targets[i].err;
	sink_free(STEAL(s->next[i]));
	return false;
}

static int
fanout_sink_write(struct sink *sink, const void *data, size_t len, struct err *err)
{
	struct fanout_sink *s = (struct fanout_sink *)sink;
	struct err one = {.kind = ERR_BUG};
	size_t open = 0;

	for (size_t i = 0; i < s->f->n; i++) {
		if (!still_open(s, i, &one))
			continue;
		if (sink_write(s->next[i], data, len, &one) < 0) {
			fanout_fail(s->f, i, &one);
			sink_free(STEAL(s->next[i]));
			continue;
		}
		open++;
	}
	if (open > 0)
		return 0;
	if (err != NULL)
		*err = one;
	return one.kind;
}

static int
fanout_sink_finish(struct sink *sink, struct err *err)
{
	struct fanout_sink *s = (struct fanout_sink *)sink;
	struct err one = {.kind = ERR_BUG};

	for (size_t i = 0; i < s->f->n; i++)
		if (still_open(s, i, &one))
			sink_begin_finish(s->next[i]);
	for (size_t i = 0; i < s->f->n; i++) {
		struct fanout_target *t = &s->f->targets[i];
		int rc;

		if (!still_open(s, i, &one))
			continue;
		t->done = t->existed = false; /* they may tell of an object that was finished while this one was open */
		rc = sink_finish(s->next[i], &one);
		if (rc == ERR_EXISTS)
			t->existed = true;
		else if (rc < 0)
			fanout_fail(s->f, i, &one);
		else
			t->done = true;
	}
	return somebody_left(s->f, &one, err);
}

static void
fanout_sink_free(struct sink *sink)
{
	struct fanout_sink *s = (struct fanout_sink *)sink;

	for (size_t i = 0; s->next != NULL && i < s->f->n; i++)
		sink_free(s->next[i]);
	free(s->next);
	free(s);
}

static const struct sink_ops fanout_sink_ops = {fanout_sink_write, fanout_sink_finish, fanout_sink_free};

int
fanout_put(struct fanout *f, const char *relative, const bool *skip, struct sink **out, struct err *err)
{
	struct fanout_sink *s = calloc(1, sizeof(*s));
	SINK_AUTO struct sink *sink = s != NULL ? &s->sink : NULL;
	struct err one = {.kind = ERR_BUG};

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object");
	s->sink.ops = &fanout_sink_ops;
	s->f = f;
	s->next = calloc(f->n + 1, sizeof(*s->next));
	if (s->next == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object");
	for (size_t i = 0; i < f->n; i++) {
		struct fanout_target *t = &f->targets[i];
		char key[STORE_KEY_MAX];
		int rc;

		t->existed = false;
		if (t->failed || (skip != NULL && skip[i]))
			continue;
		t->done = false;
		rc = layout_key(key, t->repo->cluster_name, relative, &one);
		if (rc == 0)
			rc = store_put(t->repo->store, key, &s->next[i], &one);
		if (rc < 0)
			fanout_fail(f, i, &one);
	}
	if (somebody_left(f, &one, err) < 0)
		return one.kind;
	*out = STEAL(sink);
	return 0;
}

int
fanout_put_record(struct fanout *f, const char *relative, uint8_t kind, const json_t *clear, const struct signing_key *signer,
    struct err *err)
{
	struct err one = {.kind = ERR_BUG};

	for (size_t i = 0; i < f->n; i++) {
		struct fanout_target *t = &f->targets[i];
		int rc;

		if (t->failed)
			continue;
		rc = repository_put_record(t->repo, relative, kind, clear, signer, &one);
		t->existed = rc == ERR_EXISTS;
		if (rc == ERR_EXISTS) /* whoever made it may have died before it was durable */
			rc = repository_settle(t->repo, relative, &one);
		if (rc < 0)
			fanout_fail(f, i, &one);
		else
			t->done = true;
	}
	return somebody_left(f, &one, err);
}
