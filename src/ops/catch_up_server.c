#include "ops/catch_up_server.h"

#include "base/str.h"
#include "ops/archive.h"

/* The target alone; the policy counts all, so the others are there too, and out of it. */
static int
alone(const struct catch_up_server *s, struct fanout **out, struct fanout_target **mine, struct err *err)
{
	const struct config *cfg = s->op->config;
	const struct err not_asked = {.kind = ERR_RETRY, .msg = "not asked"};
	int rc = fanout_new(out, cfg->n_repositories, err);

	if (rc < 0)
		return rc;
	(*out)->n = 0;
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		struct fanout_target *t = &(*out)->targets[(*out)->n];

		if (cfg->repositories[i].state == CONFIG_REPOSITORY_LOST)
			continue;
		t->name = cfg->repositories[i].name;
		if (strcmp(t->name, s->target->name) == 0) {
			t->repo = s->target;
			*mine = t;
			(*out)->n++;
		} else {
			fanout_fail(*out, (*out)->n++, &not_asked);
		}
	}
	return 0;
}

/* What became of it at the target, whatever the policy says to that. */
static int
outcome(const struct fanout_target *t, int rc, struct err *err)
{
	if (t->done)
		return 0;
	if (t->failed) {
		*err = t->err;
		return t->err.kind;
	}
	if (rc == ERR_IO) /* of the file: recycled since it was looked for, or unreadable */
		return err_set(err, ERR_NOT_FOUND, 0, "the server's file cannot be read");
	return rc < 0 ? rc : err_set(err, ERR_BUG, 0, "repository '%s' did not get the segment and did not fail", t->name);
}

int
catch_up_server_segment(
    const struct catch_up_server *s, const char *file_name, const uint8_t content_id[CONTENT_ID], struct err *err)
{
	FREE_AUTO char *path = str_printf("%s/pg_wal/%s", s->op->cluster->pgdata, file_name);
	struct archive_means means = {.writer = s->writer, .slots = s->slots, .content_id = content_id};
	struct fanout_target *mine = NULL;
	FANOUT_AUTO struct fanout *f = NULL;
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (access(path, R_OK) < 0)
		return err_set(err, ERR_NOT_FOUND, 0, "the server has '%s' no more", file_name);
	rc = alone(s, &f, &mine, err);
	if (rc < 0)
		return rc;
	if (mine == NULL)
		return err_set(err, ERR_BUG, 0, "repository '%s' is not of this configuration", s->target->name);
	means.fanout = f;
	rc = outcome(mine, archive_to(s->op, &means, path, file_name, NULL, err), err);
	mine->repo = NULL; /* borrowed */
	return rc;
}
