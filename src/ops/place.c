#include "ops/place.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/file.h"

#define FILE_SCHEME "file://"

/* ERR_REFUSED when one contains the other. */
static int
apart(const char *a, const char *what_a, const char *b, const char *what_b, struct err *err)
{
	FREE_AUTO char *real_a = NULL, *real_b = NULL;
	int rc = fs_real_path(a, &real_a, err);

	if (rc == 0)
		rc = fs_real_path(b, &real_b, err);
	if (rc < 0)
		return rc;
	if (!fs_is_inside(real_a, real_b) && !fs_is_inside(real_b, real_a))
		return 0;
	err_set(err, ERR_REFUSED, 0, "%s '%s' and %s '%s' lie inside one another", what_a, a, what_b, b);
	return err_hint(err, "what destroys one would destroy the other; choose another place");
}

struct tablespaces {
	const char *pgdata, *repository;
};

static int
check_tablespace(const char *name, void *arg, struct err *err)
{
	const struct tablespaces *t = arg;
	FREE_AUTO char *path = str_printf("%s/pg_tblspc/%s", t->pgdata, name);

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	return apart(t->repository, "repository", path, "tablespace", err);
}

/* The device of the nearest directory that exists. */
static int
device_of(const char *path, dev_t *out, struct err *err)
{
	FREE_AUTO char *at = strdup(path);
	struct stat st;

	if (at == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	while (stat(at, &st) < 0) {
		char *slash = strrchr(at, '/');

		if (errno != ENOENT || slash == NULL)
			return err_set(err, ERR_IO, errno, "stat '%s'", at);
		if (slash == at)
			slash++;
		*slash = '\0';
	}
	*out = st.st_dev;
	return 0;
}

int
place_check(const struct op *op, const struct config_repository *c, bool *same_device, struct err *err)
{
	const char *pgdata = op->cluster->pgdata;
	FREE_AUTO char *links = NULL, *path = NULL, *wal = NULL;
	struct tablespaces t = {.pgdata = pgdata};
	dev_t a, b;
	int rc;

	*same_device = false;
	if (!str_starts(c->url, FILE_SCHEME))
		return 0;
	rc = store_file_url_path(&path, c->url, err);
	if (rc < 0)
		return rc;
	t.repository = path;
	rc = apart(path, "repository", op->config->state_directory, "the state directory", err);
	if (rc < 0 || pgdata == NULL)
		return rc;
	rc = apart(path, "repository", pgdata, "PGDATA", err);
	wal = str_printf("%s/pg_wal", pgdata); /* often a link to a disk of its own */
	if (rc == 0 && wal != NULL)
		rc = apart(path, "repository", wal, "pg_wal", err);
	links = str_printf("%s/pg_tblspc", pgdata);
	if (rc == 0 && links != NULL)
		rc = fs_list_dir(links, check_tablespace, &t, err);
	if (rc == ERR_NOT_FOUND)
		rc = 0;
	if (rc == 0)
		rc = device_of(path, &a, err);
	if (rc == 0)
		rc = device_of(pgdata, &b, err);
	if (rc == 0)
		*same_device = a == b;
	return rc;
}

/* In the place of the original it may be, where that is gone; below it, it would be part of it. */
static int
outside_original(const struct op *op, const char *target, struct err *err)
{
	FREE_AUTO char *real = NULL, *original = NULL;
	int rc = op->cluster->pgdata == NULL ? 0 : fs_real_path(target, &real, err);

	if (rc == 0 && op->cluster->pgdata != NULL)
		rc = fs_real_path(op->cluster->pgdata, &original, err);
	if (rc < 0 || original == NULL || strcmp(real, original) == 0 || !fs_is_inside(real, original))
		return rc;
	err_set(err, ERR_REFUSED, 0, "the target '%s' lies in the original's PGDATA '%s'", target, original);
	return err_hint(err, "choose a place outside of it");
}

int
place_check_target(const struct op *op, const char *pgdata, struct err *err)
{
	int rc = apart(pgdata, "the target", op->config->state_directory, "the state directory", err);

	if (rc == 0)
		rc = outside_original(op, pgdata, err);
	for (size_t i = 0; rc == 0 && i < op->config->n_repositories; i++) {
		const struct config_repository *c = &op->config->repositories[i];
		FREE_AUTO char *path = NULL;

		if (!str_starts(c->url, FILE_SCHEME))
			continue;
		rc = store_file_url_path(&path, c->url, err);
		if (rc == 0)
			rc = apart(pgdata, "the target", path, "repository", err);
	}
	return rc;
}
