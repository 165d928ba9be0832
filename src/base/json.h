/*
 * jansson with our errors: what is read has a cap and must be an object; a missing or mistyped member is ERR_CORRUPT and
 * names the member. Strings that come back are borrowed from the object.
 */
#ifndef PGCAIRN_BASE_JSON_H
#define PGCAIRN_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define JSON_AUTO SCOPE(scope_json)

static inline void
scope_json(json_t **j)
{
	json_decref(*j);
}

/* One JSON object, nothing behind it, no duplicate members. what names it in messages. ERR_NOMEM is never told as ERR_CORRUPT.
 */
int json_read(json_t **out, const void *text, size_t len, const char *what, struct err *err);

int json_get_str(const json_t *o, const char *member, const char **out, struct err *err);
int json_get_u64(const json_t *o, const char *member, uint64_t lo, uint64_t hi, uint64_t *out, struct err *err);
int json_get_i64(const json_t *o, const char *member, int64_t *out, struct err *err);
int json_get_bool(const json_t *o, const char *member, bool *out, struct err *err);
int json_get_array(const json_t *o, const char *member, json_t **out, struct err *err);
/* Lower-case hex of exactly len bytes. */
int json_get_hex(const json_t *o, const char *member, uint8_t *out, size_t len, struct err *err);

/* Whether a member is there and not null. */
bool json_has(const json_t *o, const char *member);

/* A string; of a text that is not UTF-8 only the ASCII, with '?' for the rest. NULL when memory is out. */
json_t *json_text(const char *text);

/* ERR_CORRUPT unless the text is UTF-8. */
int json_check_utf8(const char *text, size_t len, struct err *err);

/*
 * Compact text, members in the order they were added, appended to out. ERR_NOMEM also when memory was out on this thread while
 * the object was put together.
 */
int json_write(const json_t *o, struct buf *out, struct err *err);
/* The same for people: a member a line. */
int json_write_indented(const json_t *o, struct buf *out, struct err *err);

#define JSON_HEX_MAX 128 /* bytes */

/* Add a hex string, of JSON_HEX_MAX bytes at most. Returns 0 or -1 as json_object_set_new does. */
int json_set_hex(json_t *o, const char *member, const uint8_t *data, size_t len);

#endif
