#include "ops/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define FILE_MAX 4096

static int
path_of(const struct op *op, char **out, struct err *err)
{
	*out = str_printf("%s/stopped/%s.json", op->config->state_directory, op->cluster->name);
	return *out != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for a path");
}

static int
read_decision(const char *path, struct decision *d, struct err *err)
{
	BUF_AUTO struct buf text = {.max = FILE_MAX};
	JSON_AUTO json_t *o = NULL;
	int rc = fs_read_file(path, FILE_MAX, &text, err);

	if (rc == 0)
		rc = json_read(&o, buf_text(&text), text.len, path, err);
	return rc < 0 ? rc : decision_decode(d, o, err);
}

int
stop_check(const struct op *op, struct decision *d, struct err *err)
{
	FREE_AUTO char *path = NULL;
	char text[DECISION_TEXT];
	struct decision own = {0};
	struct err why;
	int rc = path_of(op, &path, err);

	if (rc < 0)
		return rc;
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_IO, errno, "look for '%s'", path);
	rc = read_decision(path, &own, &why);
	if (rc == ERR_NOT_FOUND) /* started again in this moment */
		return 0;
	if (rc < 0)
		(void)snprintf(own.reason, sizeof(own.reason), "not known, '%.200s' cannot be read: %.200s", path, why.msg);
	decision_describe(&own, text);
	if (d != NULL)
		*d = own;
	err_set(err, ERR_REFUSED, 0, "archiving of cluster '%s' is stopped on this host %s", op->cluster->name, text);
	return err_hint(err, "the server keeps its WAL meanwhile; when the reason is gone: pgcairn start");
}

static int
write_decision(const char *path, const struct decision *d, struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	BUF_AUTO struct buf text = {.max = FILE_MAX};
	FREE_AUTO char *dir = strdup(path);
	int rc = decision_encode(d, o, err);

	if (rc == 0 && dir == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (rc == 0)
		rc = json_write(o, &text, err);
	if (rc < 0)
		return rc;
	*strrchr(dir, '/') = '\0';
	rc = fs_make_dirs(dir, 0700, err);
	return rc < 0 ? rc : fs_write_file(path, text.data, text.len, 0600, FS_CREATE_ONLY, err);
}

int
stop_archiving(const struct op *op, const char *reason, struct decision *d, bool *changed, struct err *err)
{
	FREE_AUTO char *path = NULL;
	int rc = decision_make(d, reason, err); /* before the user changes: it says who */

	if (rc == 0)
		rc = op_become_state_owner(op, err);
	if (rc == 0)
		rc = path_of(op, &path, err);
	if (rc == 0)
		rc = write_decision(path, d, err);
	*changed = rc == 0;
	if (rc != ERR_EXISTS)
		return rc;
	rc = stop_check(op, d, err);
	if (rc == ERR_REFUSED) /* whoever stopped it may have been killed before that was durable */
		rc = fs_settle(path, err);
	else if (rc == 0)
		rc = ERR_NOT_FOUND;
	return rc == ERR_NOT_FOUND ? err_set(err, ERR_RETRY, 0, "it was started again meanwhile") : rc;
}

int
start_archiving(const struct op *op, bool *changed, struct err *err)
{
	FREE_AUTO char *path = NULL;
	int rc = op_become_state_owner(op, err);

	*changed = false;
	if (rc == 0)
		rc = path_of(op, &path, err);
	if (rc < 0)
		return rc;
	*changed = unlink(path) == 0;
	if (!*changed && errno != ENOENT)
		return err_set(err, ERR_IO, errno, "remove '%s'", path);
	/* whoever removed it may have been killed before that was durable; without the directory nobody ever stopped it */
	rc = fs_fsync_parent_at(AT_FDCWD, path, err);
	return !*changed && rc == ERR_NOT_FOUND ? 0 : rc;
}
