/*
 * The table of all settings: what parses a value, documents it and prints it are these rows and nothing else.
 *
 * A row belongs to a kind of section. Cluster and repository sections have a name and stand in any number; their offsets
 * count from struct config_cluster and struct config_repository, all others from struct config.
 */
#ifndef PGCAIRN_CONFIG_OPTION_H
#define PGCAIRN_CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum option_type {
	OPTION_STRING,   /* char *; lo is the least length */
	OPTION_PATH,     /* char *; absolute */
	OPTION_BOOL,     /* bool: on, off, yes, no, true, false */
	OPTION_SIZE,     /* uint64_t, bytes */
	OPTION_DURATION, /* int64_t, milliseconds */
	OPTION_INTEGER,  /* uint64_t */
	OPTION_ENUM,     /* an enum that counts from 0 in the order of words */
	OPTION_WORDS,    /* struct config_words: words between commas or blanks */
};

enum option_section {
	OPTION_PGCAIRN,
	OPTION_CLUSTER,
	OPTION_REPOSITORY,
	OPTION_KEYS,
	OPTION_ARCHIVE,
	OPTION_RESTORE,
	OPTION_CHECK,
	OPTION_RETENTION,
	OPTION_SECTIONS,
};

struct option {
	enum option_section section;
	const char *key;
	enum option_type type;
	const char *preset; /* the default as one would write it; NULL: none, the field stays zero */
	const char *doc;    /* one sentence */
	bool secret;        /* never printed, not in errors either */
	bool required;
	size_t offset;
	uint64_t lo, hi;          /* INTEGER, SIZE, DURATION; hi 0: no upper end */
	const char *const *words; /* ENUM; ends with NULL */
};

#define OPTION_ROWS_MAX 64

/* A preset path that begins so lies in the state directory, wherever that is set to. */
#define OPTION_STATE_PREFIX "<state-directory>/"

const struct option *option_rows(size_t *n);

const char *option_section_name(enum option_section section);
bool option_section_is_named(enum option_section section); /* [cluster:NAME], [repository:NAME] */

/* False when there is no such section; *nearest is then what may have been meant, or NULL. */
bool option_section_find(const char *name, enum option_section *out, const char **nearest);

/* NULL when there is no such key; *nearest is then what may have been meant, or NULL. */
const struct option *option_find(enum option_section section, const char *key, const char **nearest);

/*
 * object is the struct that the row's offset counts from. ERR_CONFIG names the key and leaves the field as it was; what the
 * field held before is freed. err is never NULL.
 */
int option_parse(const struct option *o, void *object, const char *text, struct err *err);

/* The value as one would write it, "" when there is none; a secret as "(hidden)". */
int option_format(const struct option *o, const void *object, struct buf *out, struct err *err);

/* What option_parse allocated in this field. */
void option_clear(const struct option *o, void *object);

/* The whole table as markdown, a table a section. */
int option_document(struct buf *out, struct err *err);

#endif
