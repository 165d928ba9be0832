#include "pg/conf_include.h"

#include <string.h>
#include <strings.h>

#include "base/scope.h"

static const char *const words[] = {
    [CONF_INCLUDE] = "include", [CONF_INCLUDE_IF_EXISTS] = "include_if_exists", [CONF_INCLUDE_DIR] = "include_dir"};

const char *
conf_include_word(enum conf_include_kind kind)
{
	return words[kind];
}

/* What is left of a line. */
struct rest {
	const char *p;
	const char *end;
};

static void
skip_blanks(struct rest *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

/* The name of a setting: is it one of the three? */
static bool
take_word(struct rest *r, enum conf_include_kind *kind)
{
	const char *from = r->p;

	while (r->p < r->end && is_letter_or_digit(*r->p))
		r->p++;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i]) == (size_t)(r->p - from) && strncasecmp(words[i], from, strlen(words[i])) == 0) {
			*kind = (enum conf_include_kind)i;
			return true;
		}
	return false;
}

/* Behind a backslash: a letter's meaning, up to three octal digits, or the character itself. */
static char
take_escape(struct rest *r)
{
	static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	const char *letter;
	unsigned octal = 0;
	int digits = 0;

	for (; digits < 3 && r->p < r->end && *r->p >= '0' && *r->p <= '7'; digits++)
		octal = octal * 8 + (unsigned)(*r->p++ - '0');
	if (digits > 0)
		return (char)(unsigned char)octal;
	letter = memchr(letters, *r->p, sizeof(letters) - 1);
	r->p++;
	return letter != NULL ? meanings[letter - letters] : r->p[-1];
}

/* In single quotes, a quote doubled or escaped. False when it does not end on this line or is too long. */
static bool
take_quoted(struct rest *r, char out[CONF_VALUE_MAX])
{
	size_t n = 0;

	for (r->p++; r->p < r->end;) {
		char c = *r->p++;

		if (c == '\\' && r->p < r->end)
			c = take_escape(r);
		else if (c == '\'' && r->p < r->end && *r->p == '\'')
			r->p++;
		else if (c == '\'') {
			out[n] = '\0';
			return true;
		}
		if (n + 1 == CONF_VALUE_MAX)
			return false;
		out[n++] = c;
	}
	return false;
}

static bool
take_bare(struct rest *r, char out[CONF_VALUE_MAX])
{
	size_t n = 0;

	while (r->p < r->end && n + 1 < CONF_VALUE_MAX &&
	       (is_letter_or_digit(*r->p) || memchr("-._:/+", *r->p, sizeof("-._:/+") - 1) != NULL))
		out[n++] = *r->p++;
	out[n] = '\0';
	return n > 0;
}

static bool
parse_line(struct rest r, struct conf_include *out)
{
	skip_blanks(&r);
	if (!take_word(&r, &out->kind))
		return false;
	skip_blanks(&r);
	if (r.p < r.end && *r.p == '=') {
		r.p++;
		skip_blanks(&r);
	}
	if (r.p == r.end || !(*r.p == '\'' ? take_quoted(&r, out->value) : take_bare(&r, out->value)))
		return false;
	skip_blanks(&r);
	return (r.p == r.end || *r.p == '#') && out->value[0] != '\0';
}

int
conf_includes(const char *text, size_t len, int (*each)(const struct conf_include *, void *arg, struct err *err), void *arg,
    struct err *err)
{
	struct conf_include one = {0};
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < len;) {
		const char *line = text + at, *end = memchr(line, '\n', len - at);

		if (end == NULL)
			end = text + len;
		one.line++;
		if (parse_line((struct rest){line, end}, &one))
			rc = each(&one, arg, err);
		at += (size_t)(end - line) + 1;
	}
	return rc;
}
