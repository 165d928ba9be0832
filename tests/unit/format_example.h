/*
 * The worked example at the end of docs/repository-format.md: two objects in hex, the plain text that one of them holds, and
 * the keys. format_example_print makes a new one, to be put in place of the old when the stored form changes;
 * format_example_read takes it back out of the page.
 */
#ifndef PGCAIRN_TESTS_FORMAT_EXAMPLE_H
#define PGCAIRN_TESTS_FORMAT_EXAMPLE_H

#include "base/buf.h"
#include "keys/secret.h"
#include "memory.h"

#define FORMAT_PAGE "docs/repository-format.md"
#define FORMAT_EXAMPLE "## A worked example\n"

struct format_example {
	struct buf page;                 /* all of it */
	const char *text;                /* the example's part of it, borrowed */
	struct memory_blob key, history; /* the two objects */
	struct buf plain;                /* the history's bytes */
	char identity[KEY_TEXT], signer[KEY_TEXT], comparison[KEY_TEXT];
};

/* Fails the test when the page has no example of the form that is printed. */
void format_example_read(struct format_example *out);
void format_example_free(struct format_example *e);

/* A new one, whose page and text stay empty. */
void format_example_make(struct format_example *out);
/* Its blocks as they stand in the page, on standard output. */
void format_example_print(const struct format_example *e);

#endif
