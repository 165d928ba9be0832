#include "ops/restore_host.h"

#include <limits.h>

#include "base/fs.h"
#include "base/spawn.h"
#include "base/str.h"
#include "ops/restore_config.h"
#include "pg/control.h"

#define ASK_LIMIT_MS 10000
#define OVERRIDES_MAX 16
#define VALUE_MAX ((size_t)64 << 10)

void
restore_host_free(struct restore_host *h)
{
	free(h->warnings);
	*h = (struct restore_host){0};
}

struct err *
restore_host_warn(struct restore_host *h)
{
	struct err *more = realloc(h->warnings, (h->n_warnings + 1) * sizeof(*more));

	if (more == NULL)
		return NULL;
	h->warnings = more;
	more[h->n_warnings] = (struct err){0};
	return &more[h->n_warnings++];
}

int
restore_host_limits(struct restore_host *h, const struct plan *plan, const uint8_t *control, size_t len, struct err *err)
{
	struct control c;
	int rc = control_parse(&c, control, len, err);

	if (rc < 0)
		return err_wrap(err, "backup %s", plan->backup->label);
	h->needed = c.limits;
	for (size_t i = 0; rc == 0 && i <= plan->stop.link;) {
		const struct wal_link *l = wal_chain_link(plan->chain, i);

		if (l->segno + l->n - 1 > plan->chain->first + plan->stop.link) /* a row that recovery leaves inside */
			rc = wal_chain_segment(plan->chain, i, &l, err);
		if (rc == 0)
			server_limits_raise(&h->needed, &l->limits);
		i += l->n;
	}
	return rc;
}

/* The server program, and how it is asked: "-D DIR -C NAME", with what the start command overrides. */
struct program {
	char path[PATH_MAX];
	const char *argv[8 + 2 * OVERRIDES_MAX];
	char *overrides[OVERRIDES_MAX]; /* owned */
	size_t n_overrides, argc;
};

static int
add_override(const char *name, const char *value, void *arg, struct err *err)
{
	struct program *p = arg;
	char *word;

	if (p->n_overrides == OVERRIDES_MAX)
		return err_set(err, ERR_BUG, 0, "more settings are overridden than there are");
	word = str_printf("%s=%s", name, value);
	if (word == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a setting");
	p->overrides[p->n_overrides++] = word;
	p->argv[p->argc++] = "-c";
	p->argv[p->argc++] = word;
	return 0;
}

static void
free_program(struct program *p)
{
	for (size_t i = 0; i < p->n_overrides; i++)
		free(p->overrides[i]);
}

/* One line of what a program says, without its end; an error tells what it said instead. */
static int
ask_program(const char *const argv[], struct buf *out, struct err *err)
{
	BUF_AUTO struct buf errors = {.max = VALUE_MAX};
	int status = 0, rc = spawn_output(argv, ASK_LIMIT_MS, out, &errors, &status, err);

	if (rc == 0 && status != 0)
		rc = err_set(err, ERR_CONFIG, 0, "%.*s", (int)strcspn(buf_text(&errors), "\n"), buf_text(&errors));
	while (out->len > 0 && (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r'))
		out->data[--out->len] = '\0';
	return rc;
}

static int
ask(struct program *p, const char *name, struct buf *out, struct err *err)
{
	buf_reset(out);
	p->argv[4] = name;
	return ask_program(p->argv, out, err);
}

static bool
is_of_major(const char *path, unsigned major)
{
	const char *argv[] = {path, "-V", NULL};
	BUF_AUTO struct buf said = {.max = VALUE_MAX};
	char want[32];

	(void)snprintf(want, sizeof(want), "postgres (PostgreSQL) %u", major);
	return ask_program(argv, &said, NULL) == 0 && str_starts(buf_text(&said), want) &&
	       strchr("0123456789", buf_text(&said)[strlen(want)]) == NULL;
}

static int
prepare(struct program *p, const char *pgdata, unsigned major, const struct restore_entries *e, struct err *err)
{
	restore_program_path(major, "postgres", p->path, sizeof(p->path));
	if (!is_of_major(p->path, major)) {
		err_set(err, ERR_NOT_FOUND, 0,
		    "this host has no PostgreSQL %u where it was looked for: its settings were not checked", major);
		return err_hint(err, "install postgresql-%u, or have its bin directory in PATH", major);
	}
	p->argv[0] = p->path;
	p->argv[1] = "-D";
	p->argv[2] = pgdata;
	p->argv[3] = "-C";
	p->argc = 5;
	return restore_overrides(pgdata, e, add_override, p, err);
}

static void
compare_limits(struct restore_host *h)
{
	for (int i = 0; i < SERVER_LIMITS; i++) {
		const char *name = server_limit_names[i];
		struct err *w;

		if (h->configured.v[i] >= h->needed.v[i] || (w = restore_host_warn(h)) == NULL)
			continue;
		err_set(w, ERR_CONFIG, 0,
		    "%s = %d is less than the %d of the server that wrote the WAL: with hot_standby on PostgreSQL refuses to "
		    "start, or "
		    "pauses on the way",
		    name, h->configured.v[i], h->needed.v[i]);
		err_hint(w, "before the first start: echo \"%s = %d\" >> postgresql.auto.conf", name, h->needed.v[i]);
	}
}

static int
ask_limits(struct restore_host *h, struct program *p, struct err *err)
{
	BUF_AUTO struct buf said = {.max = VALUE_MAX};
	uint64_t n;
	int rc = 0;

	for (int i = 0; rc == 0 && i < SERVER_LIMITS; i++) {
		rc = ask(p, server_limit_names[i], &said, err);
		if (rc == 0 && !str_to_u64(buf_text(&said), 0, INT32_MAX, &n))
			rc = err_set(err, ERR_CONFIG, 0, "%s is '%s'", server_limit_names[i], buf_text(&said));
		if (rc == 0)
			h->configured.v[i] = (int32_t)n;
	}
	h->has_configured = rc == 0;
	if (rc == 0)
		rc = ask(p, "hot_standby", &said, err);
	/* without it PostgreSQL does not compare */
	if (rc == 0 && strcmp(buf_text(&said), "off") != 0)
		compare_limits(h);
	return rc;
}

/* Where $libdir is, by a library that every installation has; "" when it is not found. */
static void
library_directory(const struct program *p, char *out, size_t size)
{
	static const char *const places[] = {"../lib", "../lib/postgresql"};
	FREE_AUTO char *real = NULL;

	out[0] = '\0';
	if (p->path[0] != '/' || fs_real_path(p->path, &real, NULL) < 0)
		return;
	*strrchr(real, '/') = '\0';
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		FREE_AUTO char *known = str_printf("%s/%s/plpgsql.so", real, places[i]);

		if (known == NULL || access(known, F_OK) < 0)
			continue;
		(void)snprintf(out, size, "%s/%s", real, places[i]);
		return;
	}
}

static void
look_for_library(struct restore_host *h, const char *setting, const char *directory, const char *name)
{
	static const char prefix[] = "$libdir/";
	const char *base = str_starts(name, prefix) ? name + strlen(prefix) : name;
	FREE_AUTO char *bare = base[0] == '/' ? strdup(base) : str_printf("%s/%s", directory, base),
		       *full = bare != NULL ? str_printf("%s.so", bare) : NULL;
	struct err *w;

	if (full == NULL || access(bare, F_OK) == 0 || access(full, F_OK) == 0 || (w = restore_host_warn(h)) == NULL)
		return;
	err_set(w, ERR_NOT_FOUND, 0, "%s names '%s', and its library is not installed on this host: %s", setting, name,
	    strcmp(setting, "shared_preload_libraries") == 0 ? "the server does not start" : "nobody can connect");
	err_hint(w, "install the extension's package, or take it out of %s", setting);
}

/* A list of names, each perhaps in double quotes. */
static int
ask_libraries(struct restore_host *h, struct program *p, const char *setting, struct err *err)
{
	BUF_AUTO struct buf said = {.max = VALUE_MAX};
	char directory[PATH_MAX], name[PATH_MAX];
	const char *at;
	int rc = ask(p, setting, &said, err);

	library_directory(p, directory, sizeof(directory));
	if (rc < 0 || said.len == 0 || directory[0] == '\0')
		return rc;
	for (at = buf_text(&said); *(at += strspn(at, ", \"")) != '\0'; at += strcspn(at, ", \"")) {
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ", \""), at);
		look_for_library(h, setting, directory, name);
	}
	return 0;
}

void
restore_host_settings(struct restore_host *h, const char *pgdata, unsigned major, const struct restore_entries *e)
{
	FREE_AUTO struct program *p = calloc(1, sizeof(*p));
	struct err err = {0}, *w;
	int rc = p == NULL ? err_set(&err, ERR_NOMEM, 0, "out of memory") : prepare(p, pgdata, major, e, &err);

	if (rc == 0) {
		rc = ask_limits(h, p, &err);
		if (rc == 0)
			rc = ask_libraries(h, p, "shared_preload_libraries", &err);
		if (rc == 0)
			rc = ask_libraries(h, p, "session_preload_libraries", &err);
		if (rc < 0) {
			err_wrap(&err, "the server does not read its configuration");
			err_hint(&err, "see the file and line that it names; it would not start");
		}
	}
	if (p != NULL)
		free_program(p);
	if (rc < 0 && (w = restore_host_warn(h)) != NULL)
		*w = err;
}
