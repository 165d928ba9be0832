#include "base/json.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdlib.h>

#include "base/str.h"

/*
 * jansson says "out of memory" in a few places only. Elsewhere it looks like malformed text, and the reader of a long token,
 * when it cannot grow, drops a byte, goes on and ends in an assertion or in memory that is not its own (2.14, lex_save in
 * load.c). So the first allocation that fails while it reads ends the reading by a jump; what it had allocated by then is in a
 * list for that. Everywhere else a failure is noted, for the thread in which it happened.
 */
struct block {
	struct block *prev, *next; /* of those of one reading under way; NULL: no longer or never of one */
} __attribute__((aligned(16)));

struct reading {
	struct block blocks; /* a ring */
	jmp_buf out;
};

static _Thread_local struct reading *reading;
static _Thread_local bool starved;

static void *
noting_malloc(size_t size)
{
	struct block *b = size <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + size) : NULL;

	if (b == NULL) {
		starved = true;
		if (reading != NULL)
			longjmp(reading->out, 1);
		return NULL;
	}
	b->prev = b->next = NULL;
	if (reading != NULL) {
		b->prev = &reading->blocks;
		b->next = reading->blocks.next;
		b->next->prev = b->prev->next = b;
	}
	return b + 1;
}

static void
noting_free(void *p)
{
	struct block *b = (struct block *)p - 1;

	if (p == NULL)
		return;
	if (b->next != NULL) {
		b->prev->next = b->next;
		b->next->prev = b->prev;
	}
	free(b);
}

/* The reading is over: what it made lives on, or goes. */
static void
let_go(struct reading *r, bool keep)
{
	struct block *b = r->blocks.next;

	reading = NULL;
	while (b != &r->blocks) {
		struct block *next = b->next;

		b->prev = b->next = NULL;
		if (!keep)
			free(b);
		b = next;
	}
}

__attribute__((constructor)) static void
take_over_allocation(void)
{
	json_set_alloc_funcs(noting_malloc, noting_free);
}

/* Whether an allocation failed since this was asked last. */
static bool
was_starved(void)
{
	bool was = starved;

	starved = false;
	return was;
}

/* ERR_NOMEM, or 0 and what jansson said. */
static int
load(json_t **out, const void *text, size_t len, json_error_t *e)
{
	struct reading r;

	r.blocks.prev = r.blocks.next = &r.blocks;
	if (setjmp(r.out) != 0) {
		let_go(&r, false);
		return ERR_NOMEM;
	}
	reading = &r;
	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES, e);
	let_go(&r, true);
	return 0;
}

int
json_read(json_t **out, const void *text, size_t len, const char *what, struct err *err)
{
	json_error_t e;
	bool before = was_starved();
	json_t *j = NULL;
	int rc = load(&j, text, len, &e);

	starved = before;
	if (rc < 0)
		return err_set(err, rc, 0, "out of memory while reading %s", what);
	if (j == NULL)
		return err_set(err, ERR_CORRUPT, 0, "%s is not JSON: %s at byte %d", what, e.text, e.position);
	if (!json_is_object(j)) {
		json_decref(j);
		return err_set(err, ERR_CORRUPT, 0, "%s is not a JSON object", what);
	}
	*out = j;
	return 0;
}

json_t *
json_text(const char *text)
{
	json_t *value = json_string(text);
	char *plain = value == NULL ? strdup(text) : NULL;

	if (plain == NULL)
		return value;
	for (char *p = plain; *p != '\0'; p++)
		if ((signed char)*p < 0)
			*p = '?';
	value = json_string(plain);
	free(plain);
	return value;
}

int
json_check_utf8(const char *text, size_t len, struct err *err)
{
	bool before = was_starved();
	JSON_AUTO json_t *j = json_stringn(text, len);

	if (was_starved())
		return err_set(err, ERR_NOMEM, 0, "out of memory for a text");
	starved = before;
	return j != NULL ? 0 : err_set(err, ERR_CORRUPT, 0, "the text is not UTF-8");
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
	if (strlen(s) != 2 * len || strspn(s, "0123456789abcdef") != 2 * len || !str_from_hex(s, out, len))
		return wrong(err, member, "lower-case hex of the right length");
	return 0;
}

bool
json_has(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);

	return v != NULL && !json_is_null(v);
}

/* jansson does not look at what comes of writing a member's name (2.14, do_dump), so a failure is kept here. */
struct writing {
	struct buf *out;
	int rc;
};

static int
append(const char *text, size_t len, void *arg)
{
	struct writing *w = arg;

	if (w->rc == 0)
		w->rc = buf_append(w->out, text, len, NULL);
	return w->rc;
}

static int
dump(const json_t *o, size_t flags, struct buf *out, struct err *err)
{
	struct writing w = {.out = out};

	/* one that failed while the object was put together left something out of it */
	if (was_starved() || o == NULL || json_dump_callback(o, append, &w, flags | JSON_PRESERVE_ORDER) < 0 || w.rc < 0 ||
	    was_starved())
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
	char text[2 * JSON_HEX_MAX + 1];

	if (len > JSON_HEX_MAX)
		return -1;
	str_to_hex(text, data, len);
	return json_object_set_new(o, member, json_string(text));
}
