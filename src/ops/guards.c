#include "ops/guards.h"

struct guards {
	const struct config *cfg;
	struct guard *list[]; /* in the order of the configuration */
};

int
guards_new(struct guards **out, const struct config *cfg, const struct guard_options *limits, struct err *err)
{
	struct guards *g = calloc(1, sizeof(*g) + cfg->n_repositories * sizeof(g->list[0]));
	struct guard_options o = *limits;
	int rc = g != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for %zu guards", cfg->n_repositories);

	if (g != NULL)
		g->cfg = cfg;
	for (size_t i = 0; rc == 0 && i < cfg->n_repositories; i++) {
		o.name = cfg->repositories[i].name;
		rc = guard_new(&g->list[i], &o, err);
	}
	if (rc == 0)
		*out = g;
	else
		guards_free(g);
	return rc;
}

void
guards_free(struct guards *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < g->cfg->n_repositories; i++)
		guard_free(g->list[i]);
	free(g);
}

struct guard *
guards_of(const struct guards *g, const struct config_repository *c)
{
	for (size_t i = 0; g != NULL && i < g->cfg->n_repositories; i++)
		if (strcmp(g->cfg->repositories[i].name, c->name) == 0)
			return g->list[i];
	return NULL;
}
