#include "ops/restore_config.h"

#include <limits.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/restore_files.h"
#include "pg/conf_include.h"

static int
make_dir(const struct conf_include *i, void *arg, struct err *err)
{
	const char *file = arg;
	FREE_AUTO char *dir = NULL;

	if (i->kind != CONF_INCLUDE_DIR || i->value[0] == '/')
		return 0;
	dir = str_printf("%.*s/%s", (int)(strrchr(file, '/') - file), file, i->value);
	return dir != NULL ? fs_make_dirs(dir, 0700, err) : err_set(err, ERR_NOMEM, 0, "out of memory for a path");
}

static int
dirs_of_file(char *path, struct err *err)
{
	BUF_AUTO struct buf text = {.max = CONF_FILE_MAX};
	int rc = fs_read_file(path, CONF_FILE_MAX, &text, err);

	return rc < 0 ? rc : conf_includes(buf_text(&text), text.len, make_dir, path, err);
}

int
restore_config_dirs(const char *pgdata, const struct restore_entries *e, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < e->n; i++) {
		const struct restore_entry *one = &e->list[i];
		FREE_AUTO char *path = NULL;

		if (one->kind != MANIFEST_CONFIG || !str_ends(one->path, ".conf"))
			continue;
		path = str_printf("%s/" RESTORE_CONFIG "%s", pgdata, one->path);
		rc = path != NULL ? dirs_of_file(path, err) : err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	}
	return rc;
}

int
restore_config_sync(int root, const struct restore_entries *e, struct err *err)
{
	char path[PATH_MAX];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < e->n; i++) {
		if (e->list[i].kind != MANIFEST_CONFIG)
			continue;
		rc = restore_path(&e->list[i], path, sizeof(path), err);
		if (rc == 0)
			rc = fs_fsync_parent_at(root, path, err);
	}
	return rc;
}

void
restore_program_path(unsigned major, const char *name, char *out, size_t size)
{
	(void)snprintf(out, size, "/usr/lib/postgresql/%u/bin/%s", major, name);
	if (access(out, X_OK) < 0)
		(void)snprintf(out, size, "%s", name);
}

/* "-c name=value", quoted for the shell that pg_ctl starts the server with. */
static int
override(const char *name, const char *value, void *arg, struct err *err)
{
	struct buf *b = arg;
	FREE_AUTO char *word = str_printf("%s=%s", name, value), *quoted = word != NULL ? str_shell_quote(word) : NULL;

	if (quoted == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a command");
	return buf_printf(b, err, "%s-c %s", b->len > 0 ? " " : "", quoted);
}

int
restore_overrides(const char *pgdata, const struct restore_entries *e,
    int (*each)(const char *name, const char *value, void *arg, struct err *err), void *arg, struct err *err)
{
	char path[PATH_MAX];
	bool any = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < e->n; i++) {
		const struct restore_entry *one = &e->list[i];
		FREE_AUTO char *value = NULL;

		if (one->setting[0] == '\0' || restore_skips(one))
			continue;
		rc = restore_path(one, path, sizeof(path), err);
		if (rc < 0)
			break;
		value = str_printf("%s/%s", pgdata, path);
		rc = value != NULL ? each(one->setting, value, arg, err)
				   : err_set(err, ERR_NOMEM, 0, "out of memory for a path");
		any = true;
	}
	/* what the original's file says about places would lead to the original */
	if (rc == 0 && any)
		rc = each("data_directory", pgdata, arg, err);
	return rc == 0 && any ? each("external_pid_file", "", arg, err) : rc;
}

int
restore_start_command(const char *pgdata, unsigned major, const struct restore_entries *e, char **out, struct err *err)
{
	FREE_AUTO char *dir = str_shell_quote(pgdata), *log = NULL, *quoted = NULL,
		       *log_path = str_printf("%s/startup.log", pgdata);
	BUF_AUTO struct buf overrides = {0};
	char pg_ctl[64];
	int rc = restore_overrides(pgdata, e, override, &overrides, err);

	restore_program_path(major, "pg_ctl", pg_ctl, sizeof(pg_ctl));
	if (rc < 0)
		return rc;
	log = log_path != NULL ? str_shell_quote(log_path) : NULL;
	quoted = overrides.len > 0 ? str_shell_quote(buf_text(&overrides)) : NULL;
	if (dir != NULL && log != NULL && (overrides.len == 0 || quoted != NULL))
		*out = str_printf(
		    "%s -D %s -l %s%s%s start", pg_ctl, dir, log, quoted != NULL ? " -o " : "", quoted != NULL ? quoted : "");
	else
		*out = NULL;
	return *out != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for a command");
}
