/*
 * A manifest's lines, read as their frames come. The signature says who wrote them, not that they are sound: a path that leads
 * out of PGDATA or a run outside its pack is refused here, before anything acts on it.
 */
#include "repo/manifest.h"

#include "base/json.h"
#include "base/lines.h"
#include "base/str.h"
#include "pg/path.h"

struct manifest_parser {
	const struct manifest_head *head;
	int (*each)(const struct manifest_entry *e, void *arg, struct err *err);
	void *arg;
	struct lines text;
	struct manifest_entry entry;
	size_t runs_cap;
	struct manifest_counts counts;
	uint64_t size; /* of the files so far */
	uint64_t n_lines;
	bool ended;
};

void
manifest_parser_free(struct manifest_parser *p)
{
	if (p == NULL)
		return;
	buf_free(&p->text.rest);
	free(p->entry.runs);
	free(p);
}

static int
corrupt(struct err *err, const char *what)
{
	return err_set(err, ERR_CORRUPT, 0, "%s", what);
}

/* The path under name, or in hex under name_hex. False when there is neither, or when it cannot be a path. */
static bool
get_path(const json_t *o, const char *name, char out[MANIFEST_PATH_MAX])
{
	const char *text = json_string_value(json_object_get(o, name));
	char member[32];
	size_t n;

	if (text != NULL) {
		n = strlen(text);
		if (n >= MANIFEST_PATH_MAX)
			return false;
		memcpy(out, text, n + 1);
		return n > 0;
	}
	(void)snprintf(member, sizeof(member), "%s_hex", name);
	text = json_string_value(json_object_get(o, member));
	if (text == NULL)
		return false;
	n = strlen(text) / 2;
	if (n >= MANIFEST_PATH_MAX || !str_from_hex(text, (uint8_t *)out, n) || text[2 * n] != '\0')
		return false;
	out[n] = '\0';
	return n > 0 && strlen(out) == n;
}

static bool
names(const json_t *o, const char *name)
{
	char member[32];

	(void)snprintf(member, sizeof(member), "%s_hex", name);
	return json_has(o, name) || json_has(o, member);
}

/*
 * Below pg_tblspc/OID/ restore follows a link to a place that the manifest names, perhaps as root. The server keeps everything
 * there in PG_...; a name of its own choice could be a file that another program reads.
 */
static bool
path_is_in_pgdata(const char *path)
{
	const char *space = str_starts(path, "pg_tblspc/") ? strchr(path + strlen("pg_tblspc/"), '/') : NULL;

	return path_is_plain(path) && (space == NULL || str_starts(space, "/PG_"));
}

static bool
path_is_absolute(const char *path)
{
	return path[0] == '/' && path_is_plain(path + 1);
}

/* Element i of a run. */
static bool
run_number(const json_t *run, size_t i, uint64_t *out)
{
	const json_t *v = json_array_get(run, i);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

static int
take_run(struct manifest_parser *p, const json_t *o, uint64_t want_offset, struct err *err)
{
	struct manifest_entry *e = &p->entry;
	struct manifest_run *r = &e->runs[e->n_runs];
	uint64_t pack, plain;

	if (json_array_size(o) != 4 || !run_number(o, 0, &r->file_offset) || !run_number(o, 1, &pack) ||
	    !run_number(o, 2, &r->pack_offset) || !run_number(o, 3, &r->length))
		return corrupt(err, "a run is not four numbers");
	if (r->file_offset != want_offset || r->length == 0 || r->length > e->size - want_offset)
		return corrupt(err, "runs do not cover their file in order");
	if (pack >= p->head->n_packs)
		return corrupt(err, "a run names a pack that the backup has not");
	plain = p->head->packs[pack].plain;
	if (r->pack_offset > plain || r->length > plain - r->pack_offset)
		return corrupt(err, "a run points outside its pack");
	r->pack = (uint32_t)pack;
	e->n_runs++;
	return 0;
}

static int
take_runs(struct manifest_parser *p, const json_t *o, struct err *err)
{
	struct manifest_entry *e = &p->entry;
	json_t *list, *one;
	uint64_t offset = 0;
	size_t i;
	int rc = json_get_array(o, "runs", &list, err);

	if (rc < 0)
		return rc;
	if (json_array_size(list) > p->runs_cap) {
		struct manifest_run *more = calloc(json_array_size(list), sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %zu runs", json_array_size(list));
		free(e->runs);
		e->runs = more;
		p->runs_cap = json_array_size(list);
	}
	json_array_foreach(list, i, one)
	{
		rc = take_run(p, one, offset, err);
		if (rc < 0)
			return rc;
		offset += e->runs[i].length;
	}
	return offset == e->size ? 0 : corrupt(err, "runs do not cover their file");
}

/* The setting that named the file to the server: it becomes an option of a restored server's command line. */
static int
take_setting(struct manifest_entry *e, const json_t *o, struct err *err)
{
	const char *name;
	int rc;

	if (!json_has(o, "setting"))
		return 0;
	rc = json_get_str(o, "setting", &name, err);
	if (rc == 0 && strcmp(name, "config_file") != 0 && strcmp(name, "hba_file") != 0 && strcmp(name, "ident_file") != 0)
		rc = corrupt(err, "a configuration file is named by an unknown setting");
	return rc < 0 ? rc : str_copy(e->setting, sizeof(e->setting), name, "setting", err);
}

static int
take_file(struct manifest_parser *p, const json_t *o, struct err *err)
{
	struct manifest_entry *e = &p->entry;
	uint64_t mode = 0, crc = 0;
	int rc = json_get_u64(o, "mode", 0, 07777, &mode, err);

	if (rc == 0)
		rc = json_get_u64(o, "size", 0, INT64_MAX, &e->size, err);
	if (rc == 0)
		rc = json_get_i64(o, "mtime", &e->mtime_s, err);
	if (rc == 0)
		rc = json_get_u64(o, "crc32c", 0, UINT32_MAX, &crc, err);
	if (rc == 0)
		rc = take_setting(e, o, err);
	e->mode = (mode_t)mode;
	e->crc32c = (uint32_t)crc;
	return rc < 0 ? rc : take_runs(p, o, err);
}

static int
take_tablespace(struct manifest_parser *p, const json_t *o, struct err *err)
{
	struct manifest_entry *e = &p->entry;
	uint64_t oid = 0;
	int rc = json_get_u64(o, "tablespace", 1, UINT32_MAX, &oid, err);

	e->kind = MANIFEST_TABLESPACE;
	e->tablespace = (uint32_t)oid;
	p->counts.tablespaces++;
	if (rc == 0 && (!get_path(o, "location", e->path) || e->path[0] != '/'))
		rc = corrupt(err, "a tablespace has no absolute location");
	return rc;
}

static int
take_directory(struct manifest_parser *p, const json_t *o, struct err *err)
{
	uint64_t mode = 0;
	int rc = json_get_u64(o, "mode", 0, 07777, &mode, err);

	p->entry.kind = MANIFEST_DIRECTORY;
	p->entry.mode = (mode_t)mode;
	p->counts.dirs++;
	if (rc == 0 && (!get_path(o, "dir", p->entry.path) || !path_is_in_pgdata(p->entry.path)))
		rc = corrupt(err, "a directory has no plain path in PGDATA");
	return rc;
}

static int
take_plain_file(struct manifest_parser *p, const json_t *o, struct err *err)
{
	p->entry.kind = MANIFEST_FILE;
	p->counts.files++;
	if (!get_path(o, "file", p->entry.path) || !path_is_in_pgdata(p->entry.path))
		return corrupt(err, "a file has no plain path in PGDATA");
	return take_file(p, o, err);
}

static int
take_config(struct manifest_parser *p, const json_t *o, struct err *err)
{
	p->entry.kind = MANIFEST_CONFIG;
	p->counts.configs++;
	if (!get_path(o, "config", p->entry.path) || !path_is_absolute(p->entry.path))
		return corrupt(err, "a configuration file has no absolute path");
	return take_file(p, o, err);
}

static int
take_bad_page(struct manifest_parser *p, const json_t *o, struct err *err)
{
	uint64_t block = 0;
	int rc = json_get_u64(o, "block", 0, UINT32_MAX, &block, err);

	p->entry.kind = MANIFEST_BAD_PAGE;
	p->entry.block = (uint32_t)block;
	p->counts.bad_pages++;
	if (rc == 0 && (!get_path(o, "bad_page", p->entry.path) || !path_is_plain(p->entry.path)))
		rc = corrupt(err, "a bad page has no plain path");
	return rc;
}

/* The last line against what came before it, and against the clear part. */
static int
take_end(struct manifest_parser *p, const json_t *o, struct err *err)
{
	const struct {
		const char *name;
		uint64_t seen;
	} rows[] = {
	    {"dirs", p->counts.dirs},
	    {"files", p->counts.files},
	    {"configs", p->counts.configs},
	    {"tablespaces", p->counts.tablespaces},
	    {"bad_pages", p->counts.bad_pages},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t said;
		int rc = json_get_u64(o, rows[i].name, 0, INT64_MAX, &said, err);

		if (rc < 0)
			return rc;
		if (said != rows[i].seen)
			return err_set(err, ERR_CORRUPT, 0, "it ends with %llu %s, %llu came", (unsigned long long)said,
			    rows[i].name, (unsigned long long)rows[i].seen);
	}
	if (p->counts.files != p->head->files || p->counts.bad_pages != p->head->bad_pages || p->size != p->head->size)
		return corrupt(err, "its clear part counts other files, bytes or bad pages");
	p->ended = true;
	return 0;
}

static int
take_object(struct manifest_parser *p, const json_t *o, struct err *err)
{
	static const struct {
		const char *name;
		int (*take)(struct manifest_parser *p, const json_t *o, struct err *err);
	} kinds[] = {
	    {"file", take_plain_file},
	    {"dir", take_directory},
	    {"bad_page", take_bad_page},
	    {"tablespace", take_tablespace},
	    {"config", take_config},
	    {"end", take_end},
	};
	struct manifest_entry *e = &p->entry;
	struct manifest_run *runs = e->runs;

	if (p->ended)
		return corrupt(err, "a line behind the last one");
	*e = (struct manifest_entry){.runs = runs};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		int rc;

		if (!names(o, kinds[i].name))
			continue;
		rc = kinds[i].take(p, o, err);
		if (rc < 0 || p->ended)
			return rc;
		if (e->kind == MANIFEST_FILE) {
			if (e->size > INT64_MAX - p->size)
				return corrupt(err, "the files have too many bytes");
			p->size += e->size;
		}
		return p->each(e, p->arg, err);
	}
	return corrupt(err, "a line of a kind that this build does not know");
}

static int
take_line(const char *text, size_t len, void *arg, struct err *err)
{
	struct manifest_parser *p = arg;
	JSON_AUTO json_t *o = NULL;
	int rc = json_read(&o, text, len, "the line", err);

	p->n_lines++;
	if (rc == 0)
		rc = take_object(p, o, err);
	return rc < 0 ? err_wrap(err, "line %llu of the manifest", (unsigned long long)p->n_lines) : 0;
}

int
manifest_parser_new(struct manifest_parser **out, const struct manifest_head *head,
    int (*each)(const struct manifest_entry *e, void *arg, struct err *err), void *arg, struct err *err)
{
	struct manifest_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a manifest");
	p->head = head;
	p->each = each;
	p->arg = arg;
	p->text = (struct lines){.rest.max = MANIFEST_LINE_MAX, .what = "the manifest", .take = take_line, .arg = p};
	*out = p;
	return 0;
}

int
manifest_parser_feed(struct manifest_parser *p, const void *data, size_t len, struct err *err)
{
	return lines_feed(&p->text, data, len, err);
}

int
manifest_parser_finish(struct manifest_parser *p, struct err *err)
{
	return p->ended && p->text.rest.len == 0 ? 0 : corrupt(err, "the manifest ends before its last line");
}

static int
feed(const void *data, size_t len, void *arg, struct err *err)
{
	return manifest_parser_feed(arg, data, len, err);
}

int
manifest_read(struct stored *stored, const struct manifest_head *head, struct worker_pool *pool,
    int (*each)(const struct manifest_entry *e, void *arg, struct err *err), void *arg, struct err *err)
{
	MANIFEST_PARSER_AUTO struct manifest_parser *p = NULL;
	int rc = manifest_parser_new(&p, head, each, arg, err);

	if (rc == 0)
		rc = stored_read(stored, pool, feed, p, err);
	if (rc == 0 && (rc = manifest_parser_finish(p, err)) < 0)
		rc = err_wrap(err, "object '%s' in repository '%s'", stored->key, stored->repo->name);
	return rc;
}
