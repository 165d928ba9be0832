#include "base/json.h"

#include <inttypes.h>

#include "base/str.h"

int
json_read(json_t **out, const void *text, size_t len, const char *what, struct err *err)
{
	json_error_t e;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);

	if (j == NULL)
		return err_set(err, ERR_CORRUPT, 0, "%s is not JSON: %s at byte %d", what, e.text, e.position);
	if (!json_is_object(j)) {
		json_decref(j);
		return err_set(err, ERR_CORRUPT, 0, "%s is not a JSON object", what);
	}
	*out = j;
	return 0;
}

static int
wrong(struct err *err, const char *member, const char *want)
{
	return err_set(err, ERR_CORRUPT, 0, "member '%s' is missing or not %s", member, want);
}

int
json_get_str(const json_t *o, const char *member, const char **out, struct err *err)
{
	const char *s = json_string_value(json_object_get(o, member));

	if (s == NULL)
		return wrong(err, member, "a string");
	*out = s;
	return 0;
}

int
json_get_i64(const json_t *o, const char *member, int64_t *out, struct err *err)
{
	const json_t *v = json_object_get(o, member);

	if (!json_is_integer(v))
		return wrong(err, member, "a whole number");
	*out = json_integer_value(v);
	return 0;
}

int
json_get_u64(const json_t *o, const char *member, uint64_t lo, uint64_t hi, uint64_t *out, struct err *err)
{
	int64_t v;
	int rc = json_get_i64(o, member, &v, err);

	if (rc < 0)
		return rc;
	if (v < 0 || (uint64_t)v < lo || (uint64_t)v > hi)
		return err_set(err, ERR_CORRUPT, 0, "member '%s' is %" PRId64 ", outside its range", member, v);
	*out = (uint64_t)v;
	return 0;
}

int
json_get_bool(const json_t *o, const char *member, bool *out, struct err *err)
{
	const json_t *v = json_object_get(o, member);

	if (!json_is_boolean(v))
		return wrong(err, member, "true or false");
	*out = json_is_true(v);
	return 0;
}

int
json_get_array(const json_t *o, const char *member, json_t **out, struct err *err)
{
	json_t *v = json_object_get(o, member);

	if (!json_is_array(v))
		return wrong(err, member, "an array");
	*out = v;
	return 0;
}

int
json_get_hex(const json_t *o, const char *member, uint8_t *out, size_t len, struct err *err)
{
	const char *s;
	int rc = json_get_str(o, member, &s, err);

	if (rc < 0)
		return rc;
	if (strlen(s) != 2 * len || !str_from_hex(s, out, len))
		return wrong(err, member, "hex of the right length");
	return 0;
}

bool
json_has(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);

	return v != NULL && !json_is_null(v);
}

static int
append(const char *text, size_t len, void *arg)
{
	return buf_append(arg, text, len, NULL);
}

static int
dump(const json_t *o, size_t flags, struct buf *out, struct err *err)
{
	if (o == NULL || json_dump_callback(o, append, out, flags | JSON_PRESERVE_ORDER) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory while writing JSON");
	return 0;
}

int
json_write(const json_t *o, struct buf *out, struct err *err)
{
	return dump(o, JSON_COMPACT, out, err);
}

int
json_write_indented(const json_t *o, struct buf *out, struct err *err)
{
	return dump(o, JSON_INDENT(2) | JSON_REAL_PRECISION(6), out, err);
}

int
json_set_hex(json_t *o, const char *member, const uint8_t *data, size_t len)
{
	char text[2 * 64 + 1];

	if (len > 64)
		return -1;
	str_to_hex(text, data, len);
	return json_object_set_new(o, member, json_string(text));
}
