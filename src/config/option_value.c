/*
 * One value: text to field, field to text. Fields are reached by offset, so the type in the row must be the type of the
 * field; the table is the one place to look at for that.
 */
#include <inttypes.h>
#include <string.h>

#include "base/scope.h"
#include "base/str.h"
#include "config/config.h"
#include "config/option.h"
#include "config/suggest.h"

#define BLANKS " \t"
#define WORDS_MAX 64

/* Enum fields are written as int, whatever their own type is called. */
_Static_assert(sizeof(enum log_level) == sizeof(int), "enum fields are not int");

static void *
field_of(const struct option *o, void *object)
{
	return (char *)object + o->offset;
}

static const void *
const_field_of(const struct option *o, const void *object)
{
	return (const char *)object + o->offset;
}

static void
words_clear(struct config_words *words)
{
	for (size_t i = 0; i < words->n; i++)
		free(words->words[i]);
	free(words->words);
	*words = (struct config_words){0};
}

void
option_clear(const struct option *o, void *object)
{
	void *field = field_of(o, object);

	if (o->type == OPTION_STRING || o->type == OPTION_PATH) {
		free(*(char **)field);
		*(char **)field = NULL;
	} else if (o->type == OPTION_WORDS) {
		words_clear(field);
	}
}

/* The start of every refusal; a secret is not repeated. */
static int
refuse(const struct option *o, const char *text, const char *why, struct err *err)
{
	if (o->secret)
		return err_set(err, ERR_CONFIG, 0, "%s: the value is %s", o->key, why);
	return err_set(err, ERR_CONFIG, 0, "%s: '%.200s' is %s", o->key, text, why);
}

static int
parse_text(const struct option *o, char **field, const char *text, struct err *err)
{
	char *copy;

	if (o->type == OPTION_STRING && strlen(text) < o->lo)
		return err_set(err, ERR_CONFIG, 0, "%s: the value is missing", o->key);
	if (o->type == OPTION_PATH && text[0] != '/') {
		refuse(o, text, "not an absolute path", err);
		return err_hint(err, "write it from the root, without quotes");
	}
	if (o->type == OPTION_PATH && (strstr(text, " #") != NULL || strstr(text, "\t#") != NULL)) {
		refuse(o, text, "not a path", err);
		return err_hint(err, "a comment behind a value begins with a blank and ';', not '#'");
	}
	copy = strdup(text);
	if (copy == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %s", o->key);
	free(*field);
	*field = copy;
	return 0;
}

static int
parse_bool(const struct option *o, bool *field, const char *text, struct err *err)
{
	static const char *const yes[] = {"on", "yes", "true"}, *const no[] = {"off", "no", "false"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*field = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	refuse(o, text, "not a boolean", err);
	return err_hint(err, "write on or off");
}

static bool
in_range(const struct option *o, uint64_t v)
{
	return v >= o->lo && (o->hi == 0 || v <= o->hi);
}

static int
parse_integer(const struct option *o, uint64_t *field, const char *text, struct err *err)
{
	uint64_t v;

	if (!str_to_u64(text, 0, UINT64_MAX, &v))
		refuse(o, text, "not a whole number", err);
	else if (!in_range(o, v))
		refuse(o, text, "out of range", err);
	else {
		*field = v;
		return 0;
	}
	if (o->hi == 0)
		return err_hint(err, "a number from %" PRIu64, o->lo);
	return err_hint(err, "a number from %" PRIu64 " to %" PRIu64, o->lo, o->hi);
}

static int
parse_size(const struct option *o, uint64_t *field, const char *text, struct err *err)
{
	uint64_t v;

	if (!str_to_size(text, &v)) {
		refuse(o, text, "not a size", err);
		return err_hint(err, "a number of bytes, or one with kB, MB, GB or TB: 16MB");
	}
	if (!in_range(o, v))
		return refuse(o, text, "out of range", err);
	*field = v;
	return 0;
}

/* In the largest unit that it is a whole number of. */
static void
format_duration(char *out, size_t size, uint64_t ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && (ms == 0 || ms % units[i].ms != 0))
		i++;
	(void)snprintf(out, size, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
}

static int
parse_duration(const struct option *o, int64_t *field, const char *text, struct err *err)
{
	int64_t v;

	if (!str_to_duration_ms(text, &v)) {
		refuse(o, text, "not a duration", err);
		return err_hint(err, "a number with ms, s, min, h, d or w: 90s");
	}
	if (!in_range(o, (uint64_t)v)) {
		char lo[32], hi[32];

		format_duration(lo, sizeof(lo), o->lo);
		format_duration(hi, sizeof(hi), o->hi);
		refuse(o, text, "out of range", err);
		return o->hi == 0 ? err_hint(err, "%s at least", lo) : err_hint(err, "from %s to %s", lo, hi);
	}
	*field = v;
	return 0;
}

static int
parse_enum(const struct option *o, int *field, const char *text, struct err *err)
{
	char choice[128] = "";
	struct suggest s = suggest_for(text);
	size_t at = 0;

	for (int i = 0; o->words[i] != NULL; i++) {
		if (strcmp(o->words[i], text) == 0) {
			*field = i;
			return 0;
		}
		suggest_offer(&s, o->words[i]);
		at += (size_t)snprintf(choice + at, sizeof(choice) - at, "%s%s", i > 0 ? ", " : "", o->words[i]);
		if (at >= sizeof(choice))
			at = sizeof(choice) - 1;
	}
	refuse(o, text, "none of its words", err);
	if (suggest_best(&s) != NULL)
		return err_hint(err, "did you mean '%s'? one of: %s", suggest_best(&s), choice);
	return err_hint(err, "one of: %s", choice);
}

/* Blanks may stand around a comma and instead of one; a comma stands between two words. */
static int
split_words(const struct option *o, const char *text, struct config_words *words, struct err *err)
{
	const char *p = text + strspn(text, BLANKS);

	while (*p != '\0') {
		size_t len = strcspn(p, BLANKS ",");

		if (len == 0)
			return refuse(o, text, "not a list of words: there is a comma too many", err);
		if (words->n == WORDS_MAX)
			return refuse(o, text, "too long a list", err);
		words->words[words->n] = strndup(p, len);
		if (words->words[words->n] == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %s", o->key);
		words->n++;
		p += len;
		p += strspn(p, BLANKS);
		if (*p == ',') {
			p++;
			p += strspn(p, BLANKS);
			if (*p == '\0')
				return refuse(o, text, "not a list of words: there is a comma too many", err);
		}
	}
	if (words->n == 0)
		return err_set(err, ERR_CONFIG, 0, "%s: the value is missing", o->key);
	return 0;
}

static int
parse_words(const struct option *o, struct config_words *field, const char *text, struct err *err)
{
	struct config_words words = {.words = calloc(WORDS_MAX, sizeof(char *))};
	int rc;

	if (words.words == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %s", o->key);
	rc = split_words(o, text, &words, err);
	if (rc < 0) {
		words_clear(&words);
		return rc;
	}
	words_clear(field);
	*field = words;
	return 0;
}

int
option_parse(const struct option *o, void *object, const char *text, struct err *err)
{
	void *field = field_of(o, object);

	switch (o->type) {
	case OPTION_STRING:
	case OPTION_PATH:
		return parse_text(o, field, text, err);
	case OPTION_BOOL:
		return parse_bool(o, field, text, err);
	case OPTION_SIZE:
		return parse_size(o, field, text, err);
	case OPTION_DURATION:
		return parse_duration(o, field, text, err);
	case OPTION_INTEGER:
		return parse_integer(o, field, text, err);
	case OPTION_ENUM:
		return parse_enum(o, field, text, err);
	case OPTION_WORDS:
		return parse_words(o, field, text, err);
	}
	return err_set(err, ERR_BUG, 0, "%s has no type", o->key);
}

/* That there is none is no secret. */
static bool
text_is_empty(const struct option *o, const void *field)
{
	const char *text;

	if (o->type != OPTION_STRING && o->type != OPTION_PATH)
		return false;
	text = *(char *const *)field;
	return text == NULL || text[0] == '\0';
}

/* 16MB rather than 16777216, where nothing is lost by it. */
static int
format_size(uint64_t v, struct buf *out, struct err *err)
{
	static const char *const units[] = {"", "kB", "MB", "GB", "TB"};
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && v != 0 && v % 1024 == 0) {
		v /= 1024;
		i++;
	}
	return buf_printf(out, err, "%" PRIu64 "%s", v, units[i]);
}

static int
format_words(const struct config_words *words, struct buf *out, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < words->n; i++)
		rc = buf_printf(out, err, "%s%s", i > 0 ? ", " : "", words->words[i]);
	return rc;
}

int
option_format(const struct option *o, const void *object, struct buf *out, struct err *err)
{
	const void *field = const_field_of(o, object);
	bool unset = o->preset == NULL; /* zero then says that nothing was given */
	char text[32];

	if (text_is_empty(o, field))
		return 0;
	if (o->secret)
		return buf_printf(out, err, "(hidden)");
	switch (o->type) {
	case OPTION_STRING:
	case OPTION_PATH:
		return buf_printf(out, err, "%s", *(char *const *)field);
	case OPTION_BOOL:
		return buf_printf(out, err, "%s", *(const bool *)field ? "on" : "off");
	case OPTION_SIZE:
		return format_size(*(const uint64_t *)field, out, err);
	case OPTION_DURATION:
		if (unset && *(const int64_t *)field == 0)
			return 0;
		format_duration(text, sizeof(text), (uint64_t) * (const int64_t *)field);
		return buf_printf(out, err, "%s", text);
	case OPTION_INTEGER:
		if (unset && *(const uint64_t *)field == 0)
			return 0;
		return buf_printf(out, err, "%" PRIu64, *(const uint64_t *)field);
	case OPTION_ENUM:
		return buf_printf(out, err, "%s", o->words[*(const int *)field]);
	case OPTION_WORDS:
		return format_words(field, out, err);
	}
	return err_set(err, ERR_BUG, 0, "%s has no type", o->key);
}
