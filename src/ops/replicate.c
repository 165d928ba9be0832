#include "ops/replicate.h"

#include "base/str.h"

#define SOURCES_MAX 32
#define LIMIT_SHARE                                                                                                            \
	8 /* of [archive] timeout, for one operation of a repository: a source that hangs may not hold the others up */

struct replicate {
	struct op guarded; /* the caller's, with guards */
	const struct op *op;
	const struct replicate_options *options;
	struct replicate_result *result;
	struct repository *target, *sources[SOURCES_MAX];
	size_t n_sources;
	uint64_t unopened;
};

void
replicate_result_free(struct replicate_result *r)
{
	free(r->list);
	*r = (struct replicate_result){0};
}

static void
keep_trouble(const char *repository, const char *relative, const struct err *why, void *arg)
{
	struct replicate_result *r = ((struct replicate *)arg)->result;
	struct replicate_trouble *more;

	if (r->n == REPLICATE_TROUBLES || (more = realloc(r->list, (r->n + 1) * sizeof(*more))) == NULL)
		return; /* it is counted */
	r->list = more;
	more[r->n] = (struct replicate_trouble){.err = *why};
	(void)snprintf(more[r->n].repository, sizeof(more[r->n].repository), "%s", repository);
	(void)snprintf(more[r->n].object, sizeof(more[r->n].object), "%s", relative);
	r->n++;
}

/* Only of a repository that counts: what is lost is not asked. */
static int
find(const struct op *op, const char *name, const struct config_repository **out, struct err *err)
{
	*out = config_repository(op->config, name);
	if (*out == NULL)
		return err_set(err, ERR_CONFIG, 0, "there is no repository '%s' in the configuration", name);
	if ((*out)->state == CONFIG_REPOSITORY_LOST)
		return err_set(err, ERR_CONFIG, 0, "repository '%s' is lost, the configuration says", name);
	return 0;
}

static bool
is_wanted(const struct replicate *r, const struct config_repository *c)
{
	bool named = r->options->n_from == 0;

	for (size_t i = 0; i < r->options->n_from; i++)
		named = named || strcmp(r->options->from[i], c->name) == 0;
	return named && c->state != CONFIG_REPOSITORY_LOST && strcmp(c->name, r->options->to) != 0;
}

static int
open_all(struct replicate *r, struct err *err)
{
	const struct config *cfg = r->op->config;
	const struct config_repository *c;
	struct err why = {.kind = ERR_CONFIG, .msg = "no other repository is configured"};
	int rc = find(r->op, r->options->to, &c, err);

	if (rc == 0)
		rc = op_open_repository(r->op, c, NULL, &r->target, err);
	for (size_t i = 0; rc == 0 && i < r->options->n_from; i++)
		rc = find(r->op, r->options->from[i], &c, err);
	for (size_t i = 0; rc == 0 && i < cfg->n_repositories && r->n_sources < SOURCES_MAX; i++) {
		c = &cfg->repositories[i];
		if (!is_wanted(r, c))
			continue;
		if (op_open_repository(r->op, c, NULL, &r->sources[r->n_sources], &why) == 0) {
			r->n_sources++;
			continue;
		}
		r->unopened++;
		keep_trouble(c->name, "", &why, r);
	}
	if (rc == 0 && r->n_sources == 0) {
		*err = why;
		rc = err_wrap(err, "nothing to copy from to repository '%s'", r->options->to);
	}
	return rc;
}

static void
show(const struct catch_up_result *so_far, void *arg)
{
	const struct op_progress *p = &((struct replicate *)arg)->options->progress;

	if (p->update != NULL)
		p->update(p->arg, so_far->bytes, so_far->bytes + so_far->lacking_bytes);
}

static int
run(struct replicate *r, struct err *err)
{
	const struct catch_up_round round = {
	    .target = r->target,
	    .sources = r->sources,
	    .n_sources = r->n_sources,
	    .dry_run = r->options->dry_run,
	    .moved = show,
	    .trouble = keep_trouble,
	    .arg = r,
	};
	CATCH_UP_AUTO struct catch_up *c = NULL;
	int rc = catch_up_new(&c, err);

	if (rc == 0)
		rc = catch_up_round(c, &round, &r->result->wal, err);
	r->result->wal.troubles += r->unopened;
	if (r->unopened > 0)
		r->result->wal.heard_all = false;
	return rc;
}

int
replicate_run(const struct op *op, const struct replicate_options *o, struct replicate_result *result, struct err *err)
{
	const struct guard_options limits = {
	    .limit_ms = op->config->archive_timeout_ms / LIMIT_SHARE, .stall_ms = op->config->archive_timeout_ms / LIMIT_SHARE};
	struct replicate r = {.guarded = *op, .op = &r.guarded, .options = o, .result = result};
	int rc = op->cluster->pgdata != NULL ? op_become_owner(op, err) : op_become_state_owner(op, err);

	*result = (struct replicate_result){0};
	if (rc == 0)
		rc = guards_new(&r.guarded.guards, op->config, &limits, err);
	if (rc == 0)
		rc = open_all(&r, err);
	if (rc == 0)
		rc = run(&r, err);
	repository_free(r.target);
	for (size_t i = 0; i < r.n_sources; i++)
		repository_free(r.sources[i]);
	guards_free(r.guarded.guards);
	return rc;
}
