/* Lines to sections and values; see config_reader.h. What the settings say together is config_check.c. */
#include "config/config_reader.h"

#include <ini.h>
#include <string.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/scope.h"
#include "base/str.h"
#include "config/config_places.h"
#include "config/option.h"

#define BLANKS " \t"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

void *
config_object(struct config *cfg, const struct config_section *s)
{
	if (s->kind == OPTION_CLUSTER)
		return &cfg->clusters[s->index];
	if (s->kind == OPTION_REPOSITORY)
		return &cfg->repositories[s->index];
	return cfg;
}

static int
set_presets(enum option_section kind, void *object, struct err *err)
{
	size_t n;
	const struct option *rows = option_rows(&n);

	for (size_t i = 0; i < n; i++) {
		int rc;

		if (rows[i].section != kind || rows[i].preset == NULL ||
		    strncmp(rows[i].preset, OPTION_STATE_PREFIX, strlen(OPTION_STATE_PREFIX)) == 0)
			continue;
		rc = option_parse(&rows[i], object, rows[i].preset, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
config_reader_new(struct config_reader **out, struct err *err)
{
	struct config_reader *r = calloc(1, sizeof(*r));
	int rc = 0;

	if (r != NULL)
		r->cfg = calloc(1, sizeof(*r->cfg));
	if (r == NULL || r->cfg == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for the configuration");
	for (int i = 0; rc == 0 && i < OPTION_SECTIONS; i++)
		if (!option_section_is_named((enum option_section)i))
			rc = set_presets((enum option_section)i, r->cfg, err);
	if (rc < 0) {
		config_reader_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void
config_reader_free(struct config_reader *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n_sections; i++)
		free(r->sections[i].file);
	free(r->sections);
	free(r->main_file);
	config_free(r->cfg);
	free(r);
}

static bool
name_is_valid(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t n = strlen(name);

	return n >= 1 && n <= CONFIG_NAME_MAX && strchr(first, name[0]) != NULL &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == n;
}

/* Room for one more element of a growing array, zeroed. NULL when memory is out; the array is as it was. */
static void *
grow(void *array, size_t n, size_t size)
{
	char *p = reallocarray(array, n + 1, size);

	if (p != NULL)
		memset(p + n * size, 0, size);
	return p;
}

/* A new cluster or repository at the end of its array, with its name and presets. */
static int
new_object(struct config *cfg, struct config_section *s, const char *name, struct err *err)
{
	char *copy;

	if (!option_section_is_named(s->kind))
		return 0;
	copy = strdup(name);
	if (copy == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a section");
	if (s->kind == OPTION_CLUSTER) {
		struct config_cluster *p = grow(cfg->clusters, cfg->n_clusters, sizeof(*p));

		if (p != NULL) {
			cfg->clusters = p;
			s->index = cfg->n_clusters++;
			p[s->index].name = STEAL(copy);
		}
	} else {
		struct config_repository *p = grow(cfg->repositories, cfg->n_repositories, sizeof(*p));

		if (p != NULL) {
			cfg->repositories = p;
			s->index = cfg->n_repositories++;
			p[s->index].name = STEAL(copy);
		}
	}
	if (copy != NULL) {
		free(copy);
		return err_set(err, ERR_NOMEM, 0, "out of memory for a section");
	}
	return set_presets(s->kind, config_object(cfg, s), err);
}

static const char *
object_name(const struct config *cfg, const struct config_section *s)
{
	if (s->kind == OPTION_CLUSTER)
		return cfg->clusters[s->index].name;
	return s->kind == OPTION_REPOSITORY ? cfg->repositories[s->index].name : "";
}

static int
open_section(struct config_reader *r, enum option_section kind, const char *name, struct err *err)
{
	struct config_section *p, *s;
	int rc;

	for (size_t i = 0; i < r->n_sections; i++) {
		s = &r->sections[i];
		if (s->kind != kind || strcmp(object_name(r->cfg, s), name) != 0)
			continue;
		err_set(err, ERR_CONFIG, 0, "section [%s%s%s] is there already, at %s:%u", option_section_name(kind),
		    *name != '\0' ? ":" : "", name, s->file, s->line);
		return err_hint(err, "put its keys together into one section");
	}
	if (r->n_sections == CONFIG_SECTIONS_MAX)
		return err_set(err, ERR_CONFIG, 0, "there are more than %d sections", CONFIG_SECTIONS_MAX);
	p = grow(r->sections, r->n_sections, sizeof(*p));
	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a section");
	r->sections = p;
	s = &p[r->n_sections];
	s->kind = kind;
	s->line = r->line;
	s->file = strdup(r->file);
	if (s->file == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a section");
	rc = new_object(r->cfg, s, name, err);
	if (rc < 0) {
		free(s->file);
		return rc;
	}
	r->n_sections++;
	r->now = s;
	return 0;
}

/* "[kind]" or "[kind:name]", then nothing but a comment. line is without blanks at its front. */
static int
section_line(struct config_reader *r, char *line, struct err *err)
{
	char *end = strchr(line, ']'), *colon, *rest;
	const char *kind_name = line + 1, *nearest;
	enum option_section kind;

	if (end == NULL)
		return err_set(err, ERR_CONFIG, 0, "a section line without ']'");
	rest = end + 1 + strspn(end + 1, BLANKS);
	if (*rest != '\0' && (*rest != ';' || rest == end + 1)) {
		err_set(err, ERR_CONFIG, 0, "something stands behind a section's ']'");
		return err_hint(err, "a comment begins with a blank and ';'; keys stand on lines of their own");
	}
	*end = '\0';
	colon = strchr(line, ':');
	if (colon != NULL)
		*colon++ = '\0';
	if (!option_section_find(kind_name, &kind, &nearest)) {
		err_set(err, ERR_CONFIG, 0, "unknown section [%.60s]", kind_name);
		return nearest != NULL ? err_hint(err, "did you mean [%s]?", nearest) : ERR_CONFIG;
	}
	if (!option_section_is_named(kind) && colon != NULL)
		return err_set(err, ERR_CONFIG, 0, "section [%s] has no name behind it", kind_name);
	if (option_section_is_named(kind) && colon == NULL)
		return err_set(err, ERR_CONFIG, 0, "section [%s] needs a name: [%s:NAME]", kind_name, kind_name);
	if (colon != NULL && !name_is_valid(colon)) {
		err_set(err, ERR_CONFIG, 0, "'%.80s' is not a name for a %s", colon, kind_name);
		return err_hint(
		    err, "a-z, 0-9, '_', '.' and '-', beginning with a letter or digit, at most %d bytes", CONFIG_NAME_MAX);
	}
	return open_section(r, kind, colon != NULL ? colon : "", err);
}

/* A line that inih would misread, or a section line, which it would half read. size is its buffer's. */
static int
check_line(struct config_reader *r, const char *line, size_t len, size_t size, struct err *err)
{
	size_t limit = size - 2 < CONFIG_LINE_MAX ? size - 2 : CONFIG_LINE_MAX; /* its newline and NUL */
	size_t front = strspn(line, BLANKS);
	FREE_AUTO char *copy = NULL;

	if (len > limit) {
		err_set(err, ERR_CONFIG, 0, "the line has %zu bytes, more than the %zu that can be read", len, limit);
		return err_hint(err, "shorten it; long connection settings fit a libpq service file (conninfo = service=NAME)");
	}
	if (front > 0) {
		err_set(err, ERR_CONFIG, 0, "the line begins with a blank");
		return err_hint(err, "values cannot go on on the next line; begin keys and sections in the first column");
	}
	if (*line != '[')
		return 0;
	copy = strdup(line);
	if (copy == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a line");
	return section_line(r, copy, err);
}

/* What inih calls for its next line, like fgets: one whole line each time, NULL at the end and after an error. */
static char *
next_line(char *out, int size, void *arg)
{
	struct config_reader *r = arg;
	const char *line = r->rest;
	size_t len = strcspn(line, "\n");
	FREE_AUTO char *copy = NULL;

	if (*line == '\0' || r->rc < 0 || size < 4)
		return NULL;
	r->rest += line[len] == '\n' ? len + 1 : len;
	r->line++;
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (strchr(";#\r\n", line[strspn(line, BLANKS)]) != NULL) { /* nothing, or a comment of any length */
		memcpy(out, "\n", 2);
		return out;
	}
	copy = strndup(line, len);
	if (copy == NULL)
		r->rc = err_set(r->err, ERR_NOMEM, 0, "out of memory for a line");
	else
		r->rc = check_line(r, copy, len, (size_t)size, r->err);
	if (r->rc < 0)
		return NULL;
	memcpy(out, copy, len);
	memcpy(out + len, "\n", 2);
	return out;
}

static int
set_value(struct config_reader *r, const char *key, const char *value, struct err *err)
{
	struct config_section *s = r->now;
	const char *nearest;
	const struct option *o;
	size_t row, n;
	int rc;

	if (s == NULL) {
		err_set(err, ERR_CONFIG, 0, "key '%.60s' stands before the first section", key);
		return err_hint(err, "put it below a line like [pgcairn]");
	}
	o = option_find(s->kind, key, &nearest);
	if (o == NULL) {
		err_set(err, ERR_CONFIG, 0, "unknown key '%.60s' in section [%s]", key, option_section_name(s->kind));
		return nearest != NULL ? err_hint(err, "did you mean '%s'?", nearest) : ERR_CONFIG;
	}
	row = (size_t)(o - option_rows(&n));
	if (s->lines[row] != 0)
		return err_set(err, ERR_CONFIG, 0, "key '%s' is there already, on line %u", key, s->lines[row]);
	if (*value == ';') { /* "key =;x": a value to inih, a comment to most readers */
		err_set(err, ERR_CONFIG, 0, "%s: the value begins with ';'", key);
		return err_hint(err, "a comment begins with a blank and ';'");
	}
	rc = option_parse(o, config_object(r->cfg, s), value, err);
	if (rc == 0)
		s->lines[row] = r->line;
	return rc;
}

/* What inih calls for a key and its value. Its section is not used: it would be cut at 49 bytes. */
static int
take_value(void *arg, const char *section, const char *key, const char *value)
{
	struct config_reader *r = arg;

	(void)section;
	if (r->rc == 0)
		r->rc = set_value(r, key, value, r->err);
	return r->rc == 0;
}

/* Bytes that have no place in a text. *line is set to the first one's. */
static const char *
bad_bytes(const char *text, size_t len, unsigned *line)
{
	*line = 1;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n')
			++*line;
		else if (c == '\0')
			return "a NUL byte";
		else if ((c < ' ' && c != '\t' && !(c == '\r' && i + 1 < len && text[i + 1] == '\n')) || c == 127)
			return "a control character";
	}
	return NULL;
}

static int
check_bytes(const char *file, const char *text, size_t len, struct err *err)
{
	unsigned line;
	const char *bad;
	int rc;

	if (len > CONFIG_FILE_MAX)
		return err_set(err, ERR_CONFIG, 0, "%s: the file is larger than %zu bytes", file, CONFIG_FILE_MAX);
	bad = bad_bytes(text, len, &line);
	if (bad != NULL)
		return err_set(err, ERR_CONFIG, 0, "%s:%u: %s in the line", file, line, bad);
	line = 1;
	for (const char *p = text, *end = text + len; p < end; line++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((newline != NULL ? newline : end) - p);

		if (n > CONFIG_LINE_MAX)
			return err_set(
			    err, ERR_CONFIG, 0, "%s:%u: the line has %zu bytes, more than %d", file, line, n, CONFIG_LINE_MAX);
		rc = json_check_utf8(p, n, err);
		if (rc < 0)
			return rc == ERR_NOMEM ? rc : err_set(err, ERR_CONFIG, 0, "%s:%u: the line is not UTF-8", file, line);
		p += n + 1;
	}
	return 0;
}

int
config_reader_add(struct config_reader *r, const char *file, const void *text, size_t len, struct err *err)
{
	FREE_AUTO char *copy = NULL;
	int rc, bad;

	rc = check_bytes(file, text, len, err);
	if (rc < 0)
		return rc;
	r->cfg->digest = XXH3_64bits_withSeed(text, len, r->cfg->digest);
	copy = strndup(text, len);
	if (r->main_file == NULL)
		r->main_file = strdup(file);
	if (copy == NULL || r->main_file == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for '%s'", file);
	r->file = file;
	r->rest = str_starts(copy, BYTE_ORDER_MARK) ? copy + strlen(BYTE_ORDER_MARK) : copy;
	r->line = 0;
	r->now = NULL;
	r->err = err;
	bad = ini_parse_stream(next_line, r, take_value, r);
	if (bad > 0 && (r->rc == 0 || (unsigned)bad < r->line)) {
		r->line = (unsigned)bad;
		r->rc = err_set(err, ERR_CONFIG, 0, "not a 'key = value' line");
	} else if (bad < 0 && r->rc == 0) {
		r->rc = err_set(err, ERR_NOMEM, 0, "out of memory for '%s'", file);
	}
	if (r->rc < 0)
		err_wrap(err, "%s:%u", file, r->line);
	return r->rc;
}
