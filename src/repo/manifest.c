/* A manifest's lines, written. Reading them is in manifest_read.c, the clear part in manifest_head.c. */
#include "repo/manifest.h"

#include "base/json.h"
#include "base/str.h"

/* A path under name, or in hex under name_hex when it is not text. */
static int
put_path(json_t *o, const char *name, const char *path)
{
	char hex[2 * MANIFEST_PATH_MAX + 1], member[32];
	json_t *text = json_string(path);

	if (text != NULL)
		return json_object_set_new(o, name, text);
	(void)snprintf(member, sizeof(member), "%s_hex", name);
	str_to_hex(hex, (const uint8_t *)path, strlen(path));
	return json_object_set_new(o, member, json_string(hex));
}

static int
put_number(json_t *o, const char *name, uint64_t v)
{
	return v > INT64_MAX ? -1 : json_object_set_new(o, name, json_integer((json_int_t)v));
}

static int
put_runs(json_t *o, const struct manifest_entry *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < e->n_runs; i++) {
		const struct manifest_run *r = &e->runs[i];
		json_t *one = json_array();

		if (json_array_append_new(one, json_integer((json_int_t)r->file_offset)) < 0 ||
		    json_array_append_new(one, json_integer(r->pack)) < 0 ||
		    json_array_append_new(one, json_integer((json_int_t)r->pack_offset)) < 0 ||
		    json_array_append_new(one, json_integer((json_int_t)r->length)) < 0 || json_array_append(list, one) < 0) {
			json_decref(one);
			json_decref(list);
			return -1;
		}
		json_decref(one);
	}
	return json_object_set_new(o, "runs", list);
}

static int
put_file(json_t *o, const char *name, const struct manifest_entry *e)
{
	if (e->setting[0] != '\0' && json_object_set_new(o, "setting", json_string(e->setting)) < 0)
		return -1;
	if (put_path(o, name, e->path) < 0 || put_number(o, "mode", e->mode) < 0 || put_number(o, "size", e->size) < 0 ||
	    json_object_set_new(o, "mtime", json_integer(e->mtime_s)) < 0 || put_number(o, "crc32c", e->crc32c) < 0)
		return -1;
	return put_runs(o, e);
}

static int
put_entry(json_t *o, const struct manifest_entry *e)
{
	switch (e->kind) {
	case MANIFEST_TABLESPACE:
		return put_number(o, "tablespace", e->tablespace) < 0 ? -1 : put_path(o, "location", e->path);
	case MANIFEST_DIRECTORY:
		return put_path(o, "dir", e->path) < 0 ? -1 : put_number(o, "mode", e->mode);
	case MANIFEST_FILE:
		return put_file(o, "file", e);
	case MANIFEST_CONFIG:
		return put_file(o, "config", e);
	case MANIFEST_BAD_PAGE:
		return put_path(o, "bad_page", e->path) < 0 ? -1 : put_number(o, "block", e->block);
	}
	return -1;
}

static int
append_line(const json_t *o, struct buf *out, struct err *err)
{
	size_t before = out->len;
	int rc = json_write(o, out, err);

	if (rc == 0 && out->len - before > MANIFEST_LINE_MAX)
		rc = err_set(err, ERR_BUG, 0, "a manifest line of %zu bytes", out->len - before);
	if (rc == 0)
		rc = buf_append(out, "\n", 1, err);
	if (rc < 0)
		out->len = before;
	return rc;
}

int
manifest_entry_encode(const struct manifest_entry *e, struct buf *out, struct err *err)
{
	JSON_AUTO json_t *o = json_object();

	if (o == NULL || put_entry(o, e) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a manifest's line");
	return append_line(o, out, err);
}

int
manifest_end_encode(const struct manifest_counts *c, struct buf *out, struct err *err)
{
	JSON_AUTO json_t *o = json_object();

	if (json_object_set_new(o, "end", json_true()) < 0 || put_number(o, "dirs", c->dirs) < 0 ||
	    put_number(o, "files", c->files) < 0 || put_number(o, "configs", c->configs) < 0 ||
	    put_number(o, "tablespaces", c->tablespaces) < 0 || put_number(o, "bad_pages", c->bad_pages) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a manifest's line");
	return append_line(o, out, err);
}
