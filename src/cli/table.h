/*
 * A table for people: columns as wide as their widest cell, two blanks between them, a line of titles on top.
 *
 * Cells are filled one after the other, row by row. Names in them may come from a repository that others write to, so control
 * characters, which a terminal would obey, are shown as '?'.
 */
#ifndef PGCAIRN_CLI_TABLE_H
#define PGCAIRN_CLI_TABLE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"

struct table;

struct table_column {
	const char *title;
	enum { TABLE_LEFT, TABLE_RIGHT } align;
};

/* The columns are borrowed. */
int table_new(struct table **out, const struct table_column *columns, size_t n, struct err *err);
void table_free(struct table *t); /* NULL is fine */

int table_cell(struct table *t, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ERR_BUG when the last row is not full. Without any row nothing but the titles. */
int table_print(const struct table *t, struct buf *out, struct err *err);

static inline void
scope_table(struct table **t)
{
	table_free(*t);
}
#define TABLE_AUTO SCOPE(scope_table)

#endif
