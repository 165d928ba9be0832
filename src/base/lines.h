/* Text that comes in pieces, taken line by line; the line that is not complete yet is all that is kept. */
#ifndef PGCAIRN_BASE_LINES_H
#define PGCAIRN_BASE_LINES_H

#include "base/buf.h"

struct lines {
	struct buf rest;  /* of which the end has not come yet; rest.max is the longest line that is taken */
	const char *what; /* names the text in errors */
	int (*take)(const char *line, size_t len, void *arg, struct err *err); /* without the newline; not 0 ends it */
	void *arg;
};

/* ERR_CORRUPT for a line that is too long; what take() returned when that is not 0. */
int lines_feed(struct lines *l, const void *data, size_t len, struct err *err);

#endif
