#include "ops/survey.h"

static int
look_at(const struct op *op, const struct config_repository *c, survey_look *look, void *arg, struct err *err)
{
	REPOSITORY_AUTO struct repository *r = NULL;
	int rc = op_open_repository(op, c, NULL, &r, err);

	if (rc == 0)
		rc = look(r, c->name, arg, err);
	if (rc == 0)
		rc = repository_confirm(r, err);
	if (rc == ERR_IO || rc == ERR_RETRY || rc == ERR_NOT_FOUND)
		err_hint(
		    err, "is its file system mounted? one that is gone for good: state = lost in [repository:%s]", c->name);
	return rc;
}

int
survey_run(struct survey *s, const struct op *op, survey_look *look, void *arg, struct err *err)
{
	const struct config *cfg = op->config;
	struct err last = {.kind = ERR_CONFIG, .msg = "no active repository is configured"};

	*s = (struct survey){.silent = calloc(cfg->n_repositories + 1, sizeof(*s->silent))};
	if (s->silent == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		struct err why = {0};
		int rc;

		if (c->state == CONFIG_REPOSITORY_LOST)
			continue;
		rc = look_at(op, c, look, arg, &why);
		if (rc == 0) {
			s->n_heard++;
			continue;
		}
		last = why;
		if (rc == ERR_NOMEM || rc == ERR_BUG)
			break;
		s->silent[s->n_silent++] = (struct survey_silent){.repository = c->name, .err = why};
	}
	if (s->n_heard > 0 && last.kind != ERR_NOMEM && last.kind != ERR_BUG)
		return 0;
	if (err != NULL)
		*err = last;
	return last.kind;
}

void
survey_free(struct survey *s)
{
	free(s->silent);
	*s = (struct survey){0};
}

void
survey_tell(const struct survey *s, const struct op *op)
{
	for (size_t i = 0; i < s->n_silent; i++) {
		struct err err = s->silent[i].err;

		err_wrap(&err, "repository '%s' is silent, and what it has is not shown", s->silent[i].repository);
		log_err(op->log, LOG_WARN, &err);
	}
}
