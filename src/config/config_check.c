/* What the settings say together, once all files are read. Every refusal still names the line that it is about. */
#include <string.h>

#include "base/scope.h"
#include "base/str.h"
#include "config/config_places.h"

/* Puts the place in front: the key's line where it is set, else the section's. */
static int
at(const struct config_section *s, const char *key, struct err *err)
{
	unsigned line = s->line;
	size_t n;
	const struct option *rows = option_rows(&n);

	for (size_t i = 0; i < n; i++)
		if (rows[i].section == s->kind && strcmp(rows[i].key, key) == 0 && s->lines[i] != 0)
			line = s->lines[i];
	return err_wrap(err, "%s:%u", s->file, line);
}

/* Where the index-th cluster or repository, or the section without a name, begins. NULL when there is none. */
static const struct config_section *
section_of(const struct config_reader *r, enum option_section kind, size_t index)
{
	for (size_t i = 0; i < r->n_sections; i++)
		if (r->sections[i].kind == kind && r->sections[i].index == index)
			return &r->sections[i];
	return NULL;
}

static int
check_required(const struct config_reader *r, struct err *err)
{
	size_t n;
	const struct option *rows = option_rows(&n);

	for (size_t i = 0; i < r->n_sections; i++) {
		const struct config_section *s = &r->sections[i];

		for (size_t row = 0; row < n; row++) {
			if (rows[row].section != s->kind || !rows[row].required || s->lines[row] != 0)
				continue;
			err_set(err, ERR_CONFIG, 0, "%s: the key is missing", rows[row].key);
			err_hint(err, "%s", rows[row].doc);
			return at(s, rows[row].key, err);
		}
	}
	return 0;
}

/* The errors of this one do not repeat the URL where it holds a password. */
static int
check_url(const struct config_repository *p, struct err *err)
{
	const char *colon = p->url + strspn(p->url, "abcdefghijklmnopqrstuvwxyz0123456789+"), *host, *user;

	if (colon == p->url || !str_starts(colon, "://") || strpbrk(p->url, " \t") != NULL) {
		err_set(err, ERR_CONFIG, 0, "url: '%.200s' is not a URL", p->url);
		return err_hint(err, "write it like file:///srv/backup; a comment behind it begins with a blank and ';'");
	}
	host = colon + 3;
	user = memchr(host, '@', strcspn(host, "/"));
	if (user != NULL && memchr(host, ':', (size_t)(user - host)) != NULL) {
		err_set(err, ERR_CONFIG, 0, "url: it holds a password");
		return err_hint(err, "the URL is printed in logs; keep secrets in files that only the owner can read");
	}
	return 0;
}

static size_t
length_without_slashes(const char *url)
{
	size_t n = strlen(url);

	while (n > 0 && url[n - 1] == '/')
		n--;
	return n;
}

/* The key that says so when both are one place: its two names would count as two copies. Else NULL. */
static const char *
same_place(const struct config_repository *a, const struct config_repository *b)
{
	size_t n = length_without_slashes(a->url);

	if (n == length_without_slashes(b->url) && memcmp(a->url, b->url, n) == 0)
		return "url";
	return a->id != NULL && b->id != NULL && strcmp(a->id, b->id) == 0 ? "id" : NULL;
}

static int
check_name(const char *name, struct err *err)
{
	if (strcmp(name, "all") != 0 && name[strspn(name, "0123456789")] != '\0')
		return 0;
	err_set(err, ERR_CONFIG, 0, "a repository cannot have the name '%s'", name);
	return err_hint(err, "acknowledge = %s has a meaning of its own", name);
}

static int
check_repository(const struct config *cfg, const struct config_section *s, struct err *err)
{
	const struct config_repository *p = &cfg->repositories[s->index];
	int rc = check_name(p->name, err);

	if (rc < 0)
		return at(s, "", err);
	rc = check_url(p, err);
	if (rc < 0)
		return at(s, "url", err);
	for (size_t i = 0; i < s->index; i++) {
		const char *key = same_place(&cfg->repositories[i], p);

		if (key == NULL)
			continue;
		err_set(err, ERR_CONFIG, 0, "%s: repository '%s' has the same", key, cfg->repositories[i].name);
		err_hint(err, "two names for one place would count as two copies");
		return at(s, key, err);
	}
	return 0;
}

static int
check_repositories(const struct config_reader *r, struct err *err)
{
	const struct config *cfg = r->cfg;
	bool active = false;

	for (size_t i = 0; i < cfg->n_repositories; i++) {
		int rc = check_repository(cfg, section_of(r, OPTION_REPOSITORY, i), err);

		if (rc < 0)
			return rc;
		active |= cfg->repositories[i].state == CONFIG_REPOSITORY_ACTIVE;
	}
	if (cfg->n_repositories == 0) {
		err_set(err, ERR_CONFIG, 0, "%s: there is no [repository:NAME] section", r->main_file);
		return err_hint(err, "name a place for the backups: [repository:local], url = file:///srv/backup");
	}
	if (!active) {
		err_set(err, ERR_CONFIG, 0, "every repository is lost");
		err_hint(err, "one at least must be active");
		return at(section_of(r, OPTION_REPOSITORY, cfg->n_repositories - 1), "state", err);
	}
	return 0;
}

static int
check_acknowledge(const struct config_reader *r, struct err *err)
{
	const struct config_section *s = section_of(r, OPTION_ARCHIVE, 0);
	int rc = acknowledge_resolve(r->cfg, err);

	if (rc == 0)
		return 0;
	if (s == NULL) /* the key is missing, and so is its section: name the last repository, which made it necessary */
		s = section_of(r, OPTION_REPOSITORY, r->cfg->n_repositories - 1);
	return at(s, "acknowledge", err);
}

/* The presets that lie in the state directory. */
static int
set_state_paths(struct config *cfg, struct err *err)
{
	size_t n;
	const struct option *rows = option_rows(&n);

	for (size_t i = 0; i < n; i++) {
		FREE_AUTO char *path = NULL;
		int rc;

		if (rows[i].preset == NULL || !str_starts(rows[i].preset, OPTION_STATE_PREFIX) ||
		    *(char **)((char *)cfg + rows[i].offset) != NULL)
			continue;
		path = str_printf("%s/%s", cfg->state_directory, rows[i].preset + strlen(OPTION_STATE_PREFIX));
		if (path == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %s", rows[i].key);
		rc = option_parse(&rows[i], cfg, path, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
config_reader_finish(struct config_reader *r, struct config **out, struct err *err)
{
	int rc = check_required(r, err);

	if (rc == 0)
		rc = check_repositories(r, err);
	if (rc == 0)
		rc = check_acknowledge(r, err);
	if (rc == 0)
		rc = set_state_paths(r->cfg, err);
	if (rc == 0)
		*out = STEAL(r->cfg);
	return rc;
}

int
config_parse_text(struct config **out, const char *file, const void *text, size_t len, struct err *err)
{
	struct config_reader *r = NULL;
	int rc = config_reader_new(&r, err);

	if (rc == 0)
		rc = config_reader_add(r, file, text, len, err);
	if (rc == 0)
		rc = config_reader_finish(r, out, err);
	config_reader_free(r);
	return rc;
}
