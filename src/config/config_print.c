/* The settings in force, as INI and as JSON. Both show values as one would write them, and mask the same secrets. */
#include <jansson.h>
#include <string.h>

#include "base/scope.h"
#include "config/config.h"
#include "config/option.h"

static const void *
nth_object(const struct config *cfg, enum option_section kind, size_t i, const char **name)
{
	*name = NULL;
	if (kind == OPTION_CLUSTER && i < cfg->n_clusters) {
		*name = cfg->clusters[i].name;
		return &cfg->clusters[i];
	}
	if (kind == OPTION_REPOSITORY && i < cfg->n_repositories) {
		*name = cfg->repositories[i].name;
		return &cfg->repositories[i];
	}
	return option_section_is_named(kind) || i > 0 ? NULL : cfg;
}

static int
print_ini_section(enum option_section kind, const void *object, const char *name, struct buf *out, struct err *err)
{
	size_t n;
	const struct option *rows = option_rows(&n);
	int rc = buf_printf(out, err, "%s[%s%s%s]\n", out->len > 0 ? "\n" : "", option_section_name(kind),
	    name != NULL ? ":" : "", name != NULL ? name : "");

	for (size_t i = 0; rc == 0 && i < n; i++) {
		BUF_AUTO struct buf value = {0};

		if (rows[i].section != kind)
			continue;
		rc = option_format(&rows[i], object, &value, err);
		if (rc == 0 && value.len == 0)
			rc = buf_printf(out, err, "; %s is not set\n", rows[i].key);
		else if (rc == 0)
			rc = buf_printf(out, err, "%s = %s\n", rows[i].key, buf_text(&value));
	}
	return rc;
}

static int
print_ini(const struct config *cfg, struct buf *out, struct err *err)
{
	for (int kind = 0; kind < OPTION_SECTIONS; kind++) {
		const char *name;
		const void *object;

		for (size_t i = 0; (object = nth_object(cfg, (enum option_section)kind, i, &name)) != NULL; i++) {
			int rc = print_ini_section((enum option_section)kind, object, name, out, err);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int
out_of_memory(struct err *err)
{
	return err_set(err, ERR_NOMEM, 0, "out of memory for JSON");
}

static int
fill_json(json_t *to, enum option_section kind, const void *object, struct err *err)
{
	size_t n;
	const struct option *rows = option_rows(&n);

	for (size_t i = 0; i < n; i++) {
		BUF_AUTO struct buf value = {0};
		int rc;

		if (rows[i].section != kind)
			continue;
		rc = option_format(&rows[i], object, &value, err);
		if (rc < 0)
			return rc;
		if (json_object_set_new(to, rows[i].key, value.len > 0 ? json_string(buf_text(&value)) : json_null()) < 0)
			return out_of_memory(err);
	}
	return 0;
}

/* {"pgcairn": {...}, "cluster": [{"name": ..., ...}], ...} */
static int
add_json_section(const struct config *cfg, json_t *root, enum option_section kind, struct err *err)
{
	bool named = option_section_is_named(kind);
	json_t *list = named ? json_array() : NULL; /* borrowed once it is in root */
	const char *name;
	const void *object;

	if (named && json_object_set_new(root, option_section_name(kind), list) < 0)
		return out_of_memory(err);
	for (size_t i = 0; (object = nth_object(cfg, kind, i, &name)) != NULL; i++) {
		json_t *one = json_object();
		int rc;

		if (named && json_object_set_new(one, "name", json_string(name)) < 0) {
			json_decref(one);
			return out_of_memory(err);
		}
		rc = named ? json_array_append_new(list, one) : json_object_set_new(root, option_section_name(kind), one);
		rc = rc < 0 ? out_of_memory(err) : fill_json(one, kind, object, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
append_json(const char *data, size_t len, void *out)
{
	return buf_append(out, data, len, NULL) < 0 ? -1 : 0;
}

static int
print_json(const struct config *cfg, struct buf *out, struct err *err)
{
	json_t *root = json_object();
	int rc = root == NULL ? out_of_memory(err) : 0;

	for (int kind = 0; rc == 0 && kind < OPTION_SECTIONS; kind++)
		rc = add_json_section(cfg, root, (enum option_section)kind, err);
	if (rc == 0 && json_dump_callback(root, append_json, out, JSON_INDENT(2)) < 0)
		rc = out_of_memory(err);
	json_decref(root);
	return rc < 0 ? rc : buf_append(out, "\n", 1, err);
}

int
config_print(const struct config *cfg, struct buf *out, bool json, struct err *err)
{
	return json ? print_json(cfg, out, err) : print_ini(cfg, out, err);
}
