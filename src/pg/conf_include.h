/*
 * The include directives of PostgreSQL's configuration files, as src/backend/utils/misc/guc-file.l and conffiles.c read them.
 * The server tells which files set something; a file that sets nothing is told by nobody, and without it the server does not
 * start.
 */
#ifndef PGCAIRN_PG_CONF_INCLUDE_H
#define PGCAIRN_PG_CONF_INCLUDE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define CONF_FILE_MAX ((size_t)4 << 20) /* bytes of one file; what lies behind is not looked at */
#define CONF_VALUE_MAX 1024             /* the server's own limit on a path (MAXPGPATH) */
#define CONF_DEPTH_MAX 10               /* as in the server, which refuses to start beyond it */
#define CONF_FILES_MAX 4096             /* of one walk */

enum conf_include_kind { CONF_INCLUDE, CONF_INCLUDE_IF_EXISTS, CONF_INCLUDE_DIR };

struct conf_include {
	enum conf_include_kind kind;
	unsigned line;              /* from 1 */
	char value[CONF_VALUE_MAX]; /* without quotes and escapes */
};

/* Each include directive of a file's text, in order. A line that the server would not read is passed over. */
int conf_includes(const char *text, size_t len, int (*each)(const struct conf_include *, void *arg, struct err *err), void *arg,
    struct err *err);

/* As it is written in a file. */
const char *conf_include_word(enum conf_include_kind kind);

struct conf_visitor {
	/*
	 * A directive of the file at path (NULL: no matter). *leads_to is the absolute path that it names: a new string, which
	 * the visitor may replace by another, or free and set to NULL, so that it is not followed.
	 */
	int (*directive)(const char *path, const struct conf_include *i, char **leads_to, void *arg, struct err *err);
	/* A file that is included, before it is read (NULL: no matter): it may be missing, or no file. */
	int (*file)(const char *path, void *arg, struct err *err);
	void *arg;
};

/*
 * From the file at path (absolute) through everything that it includes, each path once. What cannot be read is passed over, and
 * so is what lies deeper than the server goes. ERR_CONFIG beyond CONF_FILES_MAX.
 */
int conf_walk(const char *path, const struct conf_visitor *v, struct err *err);

#endif
