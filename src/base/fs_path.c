/*
 * Paths without links. realpath(3) ends at the first part that is missing and calls a link to nowhere missing too; a check
 * such as "the repository does not lie inside PGDATA" needs the answer before the directory is made, so the walk is ours.
 */
#include "base/fs.h"

#include <errno.h>
#include <limits.h>

#include "base/str.h"

#define LINKS_MAX 40 /* as in the kernel */

struct walk {
	char done[PATH_MAX]; /* resolved: "" stands for the root */
	char todo[PATH_MAX]; /* what is still to be looked at */
	int links;
	bool missing; /* done does not exist, so nothing below it can be a link */
};

/* done ends in a link: its target goes in front of what is left. */
static int
follow(struct walk *w, size_t before, struct err *err)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlink(w->done, target, sizeof(target) - 1);

	if (n < 0)
		return err_set(err, fs_kind(errno), errno, "read the link '%s'", w->done);
	if (++w->links > LINKS_MAX)
		return err_set(err, ERR_CORRUPT, ELOOP, "resolve '%s'", w->done);
	target[n] = '\0';
	memcpy(rest, w->todo, strlen(w->todo) + 1);
	if ((size_t)snprintf(w->todo, sizeof(w->todo), "%s/%s", target, rest) >= sizeof(w->todo))
		return err_set(err, ERR_IO, ENAMETOOLONG, "resolve '%s'", w->done);
	w->done[target[0] == '/' ? 0 : before] = '\0';
	return 0;
}

/* Take the next part off todo. */
static int
step(struct walk *w, struct err *err)
{
	size_t skip = strspn(w->todo, "/"), n = strcspn(w->todo + skip, "/"), len = strlen(w->done);
	char part[NAME_MAX + 1];
	struct stat st;

	if (n > NAME_MAX)
		return err_set(err, ERR_IO, ENAMETOOLONG, "resolve '%s'", w->todo);
	memcpy(part, w->todo + skip, n);
	part[n] = '\0';
	memmove(w->todo, w->todo + skip + n, strlen(w->todo + skip + n) + 1);
	if (n == 0 || strcmp(part, ".") == 0)
		return 0;
	if (strcmp(part, "..") == 0) {
		char *slash = strrchr(w->done, '/');

		if (slash != NULL)
			*slash = '\0';
		w->missing = false; /* looked up again below */
		return 0;
	}
	if (len + n + 2 > sizeof(w->done))
		return err_set(err, ERR_IO, ENAMETOOLONG, "resolve '%s/%s'", w->done, part);
	w->done[len] = '/';
	memcpy(w->done + len + 1, part, n + 1);
	if (w->missing)
		return 0;
	if (lstat(w->done, &st) < 0) {
		if (errno != ENOENT)
			return err_set(err, fs_kind(errno), errno, "look up '%s'", w->done);
		w->missing = true;
		return 0;
	}
	return S_ISLNK(st.st_mode) ? follow(w, len, err) : 0;
}

int
fs_real_path(const char *path, char **out, struct err *err)
{
	FREE_AUTO struct walk *w = calloc(1, sizeof(*w));
	char *text;

	if (w == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory to resolve '%s'", path);
	if (*path == '\0')
		return err_set(err, ERR_CONFIG, 0, "an empty path");
	if (*path != '/') {
		if (getcwd(w->done, sizeof(w->done)) == NULL)
			return err_set(err, fs_kind(errno), errno, "get the working directory");
		if (strcmp(w->done, "/") == 0)
			w->done[0] = '\0';
	}
	if (strlen(path) >= sizeof(w->todo))
		return err_set(err, ERR_IO, ENAMETOOLONG, "resolve '%s'", path);
	memcpy(w->todo, path, strlen(path) + 1);
	while (w->todo[0] != '\0') {
		int rc = step(w, err);

		if (rc < 0)
			return rc;
	}
	text = strdup(w->done[0] == '\0' ? "/" : w->done);
	if (text == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory to resolve '%s'", path);
	*out = text;
	return 0;
}

bool
fs_is_inside(const char *inner, const char *outer)
{
	size_t n = strlen(outer);

	if (strcmp(outer, "/") == 0)
		return inner[0] == '/';
	return str_starts(inner, outer) && (inner[n] == '\0' || inner[n] == '/');
}
