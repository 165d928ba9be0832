/*
 * Broadly, not deeply: a file that is included at several depths is read at the smallest, where the limit cuts off least. Paths
 * are compared as text, since the server too takes a relative name from the path by which it opened the file that has it.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "pg/conf_include.h"
#include "pg/path.h"

struct place {
	char *path;
	unsigned depth;
};

struct walk {
	const struct conf_visitor *v;
	struct place *places;
	size_t n, cap, at; /* at: the one that is read */
};

/* Takes over path, also when it fails. */
static int
queue(struct walk *w, char *path, struct err *err)
{
	FREE_AUTO char *mine = path;
	unsigned depth = w->n == 0 ? 0 : w->places[w->at].depth + 1;

	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->places[i].path, path) == 0)
			return 0;
	if (depth > CONF_DEPTH_MAX)
		return 0;
	if (w->n == CONF_FILES_MAX)
		return err_set(err, ERR_CONFIG, 0, "more than %d configuration files are included, '%s' is one more",
		    CONF_FILES_MAX, path);
	if (w->n == w->cap) {
		size_t cap = w->cap == 0 ? 16 : 2 * w->cap;
		struct place *more = realloc(w->places, cap * sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for a list of files");
		w->places = more;
		w->cap = cap;
	}
	w->places[w->n++] = (struct place){STEAL(mine), depth};
	return 0;
}

struct listing {
	struct walk *w;
	const char *dir;
};

/* The server's choice of names; it takes them in this order too. A directory of such a name is no file. */
static int
take_listed(const char *name, void *arg, struct err *err)
{
	const struct listing *l = arg;
	struct stat st;
	char *path;

	if (name[0] == '.' || !str_ends(name, ".conf"))
		return 0;
	path = str_printf("%s/%s", l->dir, name);
	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		free(path);
		return 0;
	}
	return queue(l->w, path, err);
}

static int
take_directory(struct walk *w, const char *dir, struct err *err)
{
	struct listing l = {w, dir};
	struct stat st;

	/* one that cannot be listed: whoever starts the server is told by the server */
	return stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && access(dir, R_OK | X_OK) == 0
		   ? fs_list_dir(dir, take_listed, &l, err)
		   : 0;
}

static int
take_directive(const struct conf_include *i, void *arg, struct err *err)
{
	struct walk *w = arg;
	const char *from = w->places[w->at].path;
	FREE_AUTO char *to =
	    i->value[0] == '/' ? strdup(i->value) : str_printf("%.*s/%s", (int)(strrchr(from, '/') - from), from, i->value);
	int rc = to != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for a path");

	if (rc == 0 && i->value[0] != '/') /* the server does so too: a circle through ".." is one */
		path_collapse(to);
	if (rc == 0 && w->v->directive != NULL)
		rc = w->v->directive(from, i, &to, w->v->arg, err);
	if (rc < 0 || to == NULL)
		return rc;
	if (i->kind == CONF_INCLUDE_DIR)
		return take_directory(w, to, err);
	if (i->kind == CONF_INCLUDE_IF_EXISTS && access(to, F_OK) < 0 && errno == ENOENT)
		return 0;
	return queue(w, STEAL(to), err);
}

static int
read_place(struct walk *w, struct err *err)
{
	BUF_AUTO struct buf text = {.max = CONF_FILE_MAX};
	/* the list may move while the file is read; what a path points to stays */
	const char *path = w->places[w->at].path;
	struct stat st;
	int rc = 0;

	if (w->at > 0 && w->v->file != NULL)
		rc = w->v->file(path, w->v->arg, err);
	if (rc < 0 || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return rc;
	rc = fs_read_file(path, CONF_FILE_MAX, &text, err);
	if (rc < 0)
		return rc == ERR_NOMEM ? rc : 0;
	return conf_includes(buf_text(&text), text.len, take_directive, w, err);
}

int
conf_walk(const char *path, const struct conf_visitor *v, struct err *err)
{
	struct walk w = {.v = v};
	char *first = strdup(path);
	int rc = first != NULL ? queue(&w, first, err) : err_set(err, ERR_NOMEM, 0, "out of memory for a path");

	for (; rc == 0 && w.at < w.n; w.at++)
		rc = read_place(&w, err);
	for (size_t i = 0; i < w.n; i++)
		free(w.places[i].path);
	free(w.places);
	return rc;
}
