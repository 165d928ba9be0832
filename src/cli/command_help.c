/* The help texts, from the rows that parse. Two columns, wrapped at words; nothing is wider than a hundred columns. */
#include <string.h>

#include "cli/command_table.h"

#define WIDTH 100
#define LEFT_MAX 36 /* a longer left side gets a line of its own */

/* text from column on, at words; the lines that follow are indented to the same column. */
static int
wrap(struct buf *out, size_t column, const char *text, struct err *err)
{
	size_t at = column;
	int rc = 0;

	while (rc == 0 && *text != '\0') {
		size_t len = strcspn(text, " ");

		if (at > column && at + 1 + len > WIDTH) {
			rc = buf_printf(out, err, "\n%*s", (int)column, "");
			at = column;
		} else if (at > column) {
			rc = buf_append(out, " ", 1, err);
			at++;
		}
		if (rc == 0)
			rc = buf_append(out, text, len, err);
		at += len;
		text += len;
		text += strspn(text, " ");
	}
	return rc < 0 ? rc : buf_append(out, "\n", 1, err);
}

/* The left side is what out holds since start. */
static int
right_side(struct buf *out, size_t start, size_t column, const char *text, struct err *err)
{
	size_t used = out->len - start;
	int rc;

	if (used + 2 > column)
		rc = buf_printf(out, err, "\n%*s", (int)column, "");
	else
		rc = buf_printf(out, err, "%*s", (int)(column - used), "");
	return rc < 0 ? rc : wrap(out, column, text, err);
}

static int
words(const struct cli_option *o, struct buf *out, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && o->words[i] != NULL; i++)
		rc = buf_printf(out, err, "%s%s", i > 0 ? "|" : " ", o->words[i]);
	return rc;
}

/* "  -n, --name VALUE..." */
static int
left_side(const struct cli_option *o, struct buf *out, struct err *err)
{
	int rc = o->letter != 0 ? buf_printf(out, err, "  -%c, --%s", o->letter, o->name)
				: buf_printf(out, err, "      --%s", o->name);

	if (rc == 0 && o->type == CLI_WORD && o->value_name == NULL)
		rc = words(o, out, err);
	else if (rc == 0 && o->type != CLI_FLAG)
		rc = buf_printf(out, err, " %s",
		    o->value_name != NULL     ? o->value_name
		    : o->type == CLI_INT      ? "N"
		    : o->type == CLI_DURATION ? "TIME"
					      : "TEXT");
	if (rc == 0 && o->repeatable)
		rc = buf_append(out, "...", 3, err);
	return rc;
}

static int
widest_option(const struct cli_option *o, size_t *width, struct err *err)
{
	for (; o != NULL && o->name != NULL; o++) {
		BUF_AUTO struct buf left = {0};
		int rc = left_side(o, &left, err);

		if (rc < 0)
			return rc;
		if (left.len > *width && left.len <= LEFT_MAX)
			*width = left.len;
	}
	return 0;
}

static int
options(const struct cli_option *rows, const char *title, size_t column, struct buf *out, struct err *err)
{
	int rc;

	if (rows == NULL || rows->name == NULL)
		return 0;
	rc = buf_printf(out, err, "\n%s:\n", title);
	for (; rc == 0 && rows->name != NULL; rows++) {
		size_t start = out->len;

		rc = left_side(rows, out, err);
		if (rc == 0)
			rc = right_side(out, start, column, rows->doc, err);
	}
	return rc;
}

static int
verbs(const struct cli_program *p, struct buf *out, struct err *err)
{
	size_t width = 0;
	int rc = buf_printf(out, err, "\nVerbs:\n");

	for (size_t i = 0; i < p->n_verbs; i++)
		if (strlen(p->verbs[i]->name) > width)
			width = strlen(p->verbs[i]->name);
	for (size_t i = 0; rc == 0 && i < p->n_verbs; i++) {
		size_t start = out->len;

		rc = buf_printf(out, err, "  %s", p->verbs[i]->name);
		if (rc == 0)
			rc = right_side(out, start, width + 4, p->verbs[i]->summary, err);
	}
	return rc;
}

static int
head(const struct cli_program *p, const struct cli_verb *v, struct buf *out, struct err *err)
{
	int rc;

	if (v == NULL) {
		rc = buf_printf(out, err, "Usage: %s [options] VERB [options] [arguments]\n\n", p->name);
		return rc < 0 ? rc : wrap(out, 0, p->summary, err);
	}
	rc = buf_printf(out, err, "Usage: %s %s [options]%s%s\n\n", p->name, v->name, v->arguments != NULL ? " " : "",
	    v->arguments != NULL ? v->arguments : "");
	if (rc == 0)
		rc = wrap(out, 0, v->summary, err);
	if (rc == 0 && v->details != NULL)
		rc = buf_append(out, "\n", 1, err);
	if (rc == 0 && v->details != NULL)
		rc = wrap(out, 0, v->details, err);
	return rc;
}

int
cli_help(const struct cli_program *program, const struct cli_verb *verb, struct buf *out, struct err *err)
{
	const struct cli_option *own = verb != NULL ? verb->options : NULL;
	size_t width = 0;
	int rc = head(program, verb, out, err);

	if (rc == 0)
		rc = widest_option(own, &width, err);
	if (rc == 0)
		rc = widest_option(program->options, &width, err);
	if (rc == 0 && verb == NULL)
		rc = verbs(program, out, err);
	if (rc == 0)
		rc = options(own, "Options", width + 2, out, err);
	if (rc == 0)
		rc = options(program->options, verb != NULL ? "Options of every verb" : "Options", width + 2, out, err);
	return rc;
}
