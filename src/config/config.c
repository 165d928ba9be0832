/* A config as others see it: found, loaded, asked and freed. The files' text is read by config_reader.c. */
#include "config/config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/scope.h"
#include "base/str.h"
#include "base/worker.h"
#include "build-config.h"
#include "config/config_reader.h"
#include "config/option.h"
#include "config/suggest.h"

#define THREADS_DEFAULT_MAX 16 /* one server's stream gives no work to more, and each holds some 8 MiB in a restore */

const char *
config_default_path(void)
{
	const char *path = clock_env("PGCAIRN_CONFIG");

	return path != NULL && path[0] != '\0' ? path : PGCAIRN_SYSCONFDIR "/pgcairn/pgcairn.conf";
}

/* Whoever may write the settings may send the backups elsewhere, unencrypted. */
static int
refuse_world_writable(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_CONFIG, errno, "'%s' cannot be looked at", path);
	if ((st.st_mode & S_IWOTH) == 0)
		return 0;
	err_set(err, ERR_CONFIG, 0, "every user of this host may write '%s', and so decide where backups go", path);
	return err_hint(err, "chmod o-w '%s'", path);
}

static int
add_file(struct config_reader *r, const char *path, struct err *err)
{
	BUF_AUTO struct buf text = {.max = 2 * CONFIG_FILE_MAX};
	int rc = refuse_world_writable(path, err);

	if (rc < 0)
		return rc;
	rc = fs_read_file(path, CONFIG_FILE_MAX, &text, err);
	if (rc == ERR_NOT_FOUND) {
		err_set(err, ERR_CONFIG, 0, "there is no configuration file '%s'", path);
		return err_hint(err, "create it, or name another with --config or $PGCAIRN_CONFIG");
	}
	if (rc == ERR_CORRUPT)
		return err_set(err, ERR_CONFIG, 0, "%s: the file is larger than %zu bytes", path, CONFIG_FILE_MAX);
	if (rc < 0)
		return rc;
	return config_reader_add(r, path, buf_text(&text), text.len, err);
}

struct more_files {
	struct config_reader *reader;
	const char *directory;
};

static int
add_named(const char *name, void *arg, struct err *err)
{
	struct more_files *m = arg;
	FREE_AUTO char *path = NULL;

	if (name[0] == '.' || !str_ends(name, ".conf"))
		return 0;
	path = str_printf("%s/%s", m->directory, name);
	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	return add_file(m->reader, path, err);
}

/* A missing conf.d is an empty one. */
static int
add_directory(struct config_reader *r, const char *main_file, struct err *err)
{
	const char *slash = strrchr(main_file, '/');
	int above = slash != NULL ? (int)(slash - main_file) + 1 : 0;
	FREE_AUTO char *path = str_printf("%.*sconf.d", above, main_file);
	struct more_files m = {r, path};
	struct stat st;
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (stat(path, &st) < 0 && errno == ENOENT)
		return 0;
	rc = refuse_world_writable(path, err);
	if (rc == 0)
		rc = fs_list_dir(path, add_named, &m, err);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

int
config_load(struct config **out, const char *path, struct err *err)
{
	struct config_reader *r = NULL;
	struct err unwanted;
	int rc;

	if (err == NULL)
		err = &unwanted;
	rc = config_reader_new(&r, err);
	if (rc == 0)
		rc = add_file(r, path, err);
	if (rc == 0)
		rc = add_directory(r, path, err);
	if (rc == 0)
		rc = config_reader_finish(r, out, err);
	config_reader_free(r);
	return rc;
}

static void
clear_rows(enum option_section kind, void *object)
{
	size_t n;
	const struct option *rows = option_rows(&n);

	for (size_t i = 0; i < n; i++)
		if (rows[i].section == kind)
			option_clear(&rows[i], object);
}

void
config_free(struct config *cfg)
{
	if (cfg == NULL)
		return;
	for (size_t i = 0; i < cfg->n_clusters; i++) {
		clear_rows(OPTION_CLUSTER, &cfg->clusters[i]);
		free(cfg->clusters[i].name);
	}
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		clear_rows(OPTION_REPOSITORY, &cfg->repositories[i]);
		free(cfg->repositories[i].name);
	}
	for (int i = 0; i < OPTION_SECTIONS; i++)
		if (!option_section_is_named((enum option_section)i))
			clear_rows((enum option_section)i, cfg);
	free(cfg->clusters);
	free(cfg->repositories);
	free(cfg->acknowledge.named);
	free(cfg);
}

static int
no_cluster(const struct config *cfg, const char *name, struct err *err)
{
	struct suggest s = suggest_for(name != NULL ? name : "");
	struct err unwanted;
	char names[400] = "";
	size_t at = 0;

	if (err == NULL)
		err = &unwanted;
	for (size_t i = 0; i < cfg->n_clusters; i++) {
		suggest_offer(&s, cfg->clusters[i].name);
		if (at < sizeof(names))
			at +=
			    (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i > 0 ? ", " : "", cfg->clusters[i].name);
	}
	if (cfg->n_clusters == 0) {
		err_set(err, ERR_CONFIG, 0, "the configuration has no [cluster:NAME] section");
		err_hint(err, "add one with the pgdata and conninfo of the cluster");
	} else if (name == NULL) {
		err_set(err, ERR_CONFIG, 0, "there are several clusters: %s", names);
		err_hint(err, "choose one with --cluster NAME");
	} else {
		err_set(err, ERR_CONFIG, 0, "there is no [cluster:%.80s]; there is: %s", name, names);
		if (suggest_best(&s) != NULL)
			err_hint(err, "did you mean '%s'?", suggest_best(&s));
	}
	return ERR_CONFIG;
}

int
config_cluster(const struct config *cfg, const char *name, const struct config_cluster **out, struct err *err)
{
	if (name == NULL && cfg->n_clusters == 1) {
		*out = &cfg->clusters[0];
		return 0;
	}
	for (size_t i = 0; name != NULL && i < cfg->n_clusters; i++) {
		if (strcmp(cfg->clusters[i].name, name) == 0) {
			*out = &cfg->clusters[i];
			return 0;
		}
	}
	return no_cluster(cfg, name, err);
}

const struct config_repository *
config_repository(const struct config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->n_repositories; i++)
		if (strcmp(cfg->repositories[i].name, name) == 0)
			return &cfg->repositories[i];
	return NULL;
}

int
config_threads(const struct config *cfg)
{
	return cfg->threads != 0 ? (int)cfg->threads : worker_default_threads(THREADS_DEFAULT_MAX);
}
