/* All cells stand in one buffer, each with its NUL: widths are known only at the end. */
#include "cli/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define CELL_MAX 512

struct table {
	const struct table_column *columns;
	size_t n_columns;
	size_t n_cells;
	struct buf cells;
};

int
table_new(struct table **out, const struct table_column *columns, size_t n, struct err *err)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a table");
	t->columns = columns;
	t->n_columns = n;
	*out = t;
	return 0;
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	buf_free(&t->cells);
	free(t);
}

/* ASCII's, and those of UTF-8 from U+0080 to U+009F. */
static void
hide_controls(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';
		else if (*p < ' ' || *p == 127)
			*p = '?';
	}
}

int
table_cell(struct table *t, struct err *err, const char *fmt, ...)
{
	char text[CELL_MAX];
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		return err_set(err, ERR_BUG, 0, "a table's cell is longer than %d bytes", CELL_MAX - 1);
	hide_controls(text);
	rc = buf_append(&t->cells, text, (size_t)n + 1, err);
	if (rc == 0)
		t->n_cells++;
	return rc;
}

/* Characters, as far as UTF-8 tells: bytes that go on in a character do not count. */
static size_t
width_of(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static int
print_cell(const struct table *t, size_t column, const char *text, size_t width, struct buf *out, struct err *err)
{
	int pad = (int)(width - width_of(text));
	bool last = column + 1 == t->n_columns;

	if (t->columns[column].align == TABLE_RIGHT)
		return buf_printf(out, err, "%*s%s%s", pad, "", text, last ? "\n" : "  ");
	return buf_printf(out, err, "%s%*s%s", text, last ? 0 : pad, "", last ? "\n" : "  ");
}

int
table_print(const struct table *t, struct buf *out, struct err *err)
{
	FREE_AUTO size_t *widths = calloc(t->n_columns + 1, sizeof(*widths));
	const char *cell = (const char *)t->cells.data;
	int rc = 0;

	if (widths == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a table");
	if (t->n_columns == 0 || t->n_cells % t->n_columns != 0)
		return err_set(err, ERR_BUG, 0, "a table's last row has %zu cells of %zu", t->n_cells, t->n_columns);
	for (size_t i = 0; i < t->n_columns; i++)
		widths[i] = width_of(t->columns[i].title);
	for (size_t i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1)
		if (width_of(cell) > widths[i % t->n_columns])
			widths[i % t->n_columns] = width_of(cell);
	for (size_t i = 0; rc == 0 && i < t->n_columns; i++)
		rc = print_cell(t, i, t->columns[i].title, widths[i], out, err);
	cell = (const char *)t->cells.data;
	for (size_t i = 0; rc == 0 && i < t->n_cells; i++, cell += strlen(cell) + 1)
		rc = print_cell(t, i % t->n_columns, cell, widths[i % t->n_columns], out, err);
	return rc;
}
