#include "ops/restore_includes.h"

#include <limits.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/restore_files.h"
#include "pg/conf_include.h"
#include "pg/path.h"

struct check {
	struct restore_host *host;
	const char *pgdata;
};

/* Where the restore has put what lay at an absolute path of the original; NULL when the backup does not have it. */
static int
restored_place(const struct check *c, const char *path, char **out, struct err *err)
{
	FREE_AUTO char *plain = strdup(path), *place = NULL;

	*out = NULL;
	if (plain == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	path_collapse(plain);
	place = str_printf("%s/" RESTORE_CONFIG "%s", c->pgdata, plain);
	if (place == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (access(place, F_OK) == 0)
		*out = STEAL(place);
	return 0;
}

static void
warn_elsewhere(const struct check *c, const char *file, const struct conf_include *i, const char *place)
{
	const char *word = conf_include_word(i->kind);
	struct err *w = restore_host_warn(c->host);

	if (w == NULL)
		return;
	err_set(w, ERR_CONFIG, 0,
	    "'%s' line %u still names the original's place: %s '%s'. The server reads what is there, and does not start when "
	    "nothing is",
	    file, i->line, word, i->value);
	if (place != NULL)
		err_hint(w, "before the first start write there: %s '%s'", word, place);
	else
		err_hint(w, "it is not in the backup: before the first start take the line out, or put there what it needs");
}

static void
warn_nowhere(const struct check *c, const char *file, const struct conf_include *i, const char *path)
{
	struct err *w = restore_host_warn(c->host);

	if (w == NULL)
		return;
	err_set(w, ERR_NOT_FOUND, 0, "'%s' line %u leads to nothing, and the server does not start: %s '%s'", file, i->line,
	    conf_include_word(i->kind), i->value);
	if (i->kind == CONF_INCLUDE_DIR)
		err_hint(w, "before the first start take the line out, or: mkdir -p '%s'", path);
	else
		err_hint(w, "it is not in the backup: before the first start take the line out, or make '%s'", path);
}

/* Goes on in the restored file, as the server will when the line is changed. */
static int
check_directive(const char *file, const struct conf_include *i, char **leads_to, void *arg, struct err *err)
{
	const struct check *c = arg;
	FREE_AUTO char *real = NULL, *place = NULL;
	int rc;

	if (fs_real_path(*leads_to, &real, NULL) == 0 && fs_is_inside(real, c->pgdata)) {
		if (i->kind != CONF_INCLUDE_IF_EXISTS && access(*leads_to, F_OK) < 0)
			warn_nowhere(c, file, i, *leads_to);
		return 0;
	}
	rc = restored_place(c, *leads_to, &place, err);
	if (rc < 0)
		return rc;
	warn_elsewhere(c, file, i, place);
	free(*leads_to);
	*leads_to = STEAL(place);
	return 0;
}

/* The file that the server starts from, below PGDATA. */
static int
first_file(const struct restore_entries *e, char *out, size_t size, struct err *err)
{
	for (size_t i = 0; i < e->n; i++)
		if (strcmp(e->list[i].setting, "config_file") == 0)
			return restore_path(&e->list[i], out, size, err);
	return str_copy(out, size, "postgresql.conf", "path", err);
}

void
restore_includes_check(struct restore_host *h, const char *pgdata, const struct restore_entries *e)
{
	FREE_AUTO char *real = NULL, *top = NULL;
	struct check c = {.host = h};
	const struct conf_visitor v = {.directive = check_directive, .arg = &c};
	struct err err = {0}, *w;
	char first[PATH_MAX];
	int rc = fs_real_path(pgdata, &real, &err);

	c.pgdata = real;
	if (rc == 0)
		rc = first_file(e, first, sizeof(first), &err);
	if (rc == 0 && (top = str_printf("%s/%s", real, first)) == NULL)
		rc = err_set(&err, ERR_NOMEM, 0, "out of memory for a path");
	if (rc == 0)
		rc = conf_walk(top, &v, &err);
	if (rc < 0 && (w = restore_host_warn(h)) != NULL)
		*w = err;
}
