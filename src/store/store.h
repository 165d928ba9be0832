/*
 * A store holds named, immutable blobs and knows nothing of PostgreSQL: a directory now, buckets and SFTP folders later.
 *
 * Keys are relative paths of 1 to STORE_KEY_MAX bytes: at most STORE_KEY_DEPTH segments of 1 to STORE_SEGMENT_MAX bytes out of
 * [A-Za-z0-9._+=@-], separated by single '/', no segment "." or "..", none that begins with '.'; the first is not "tmp" and not
 * "lost+found", which a directory keeps for itself. A key that is not so is ERR_BUG in store_key_check, which every driver
 * calls. No key lies below another ("a" and "a/b"): where a store notices, that is ERR_CORRUPT.
 *
 * get     ranged read; see store_get. ERR_NOT_FOUND only when the store itself answered that there is no such blob and
 *         the store is still the one that was opened; every doubt is ERR_IO, ERR_AUTH or ERR_RETRY.
 * put     create-only. The sink's finish publishes the blob whole and durable, or returns ERR_EXISTS (the name is taken:
 *         nothing changed) or another error (nothing visible changed). sink_free without finish leaves nothing behind.
 * settle  make a blob that is already visible durable as well (its writer may have died between publishing and fsync).
 * list    every key below prefix ("" for all), in byte order of whole keys; prefix ends in '/' or is "". each() returning
 *         non-zero ends the walk and is the result. Blobs that appear or vanish meanwhile may or may not be seen.
 * list_names  the same for who wants the keys alone: what stat says is not defined. May be NULL: list does it.
 * stat    size and time of upload. ERR_NOT_FOUND as with get.
 * remove  ERR_NOT_FOUND when absent.
 *
 * A store handle may be used by several threads at once.
 */
#ifndef PGCAIRN_STORE_STORE_H
#define PGCAIRN_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "stream/stream.h"

#define STORE_KEY_MAX 512
#define STORE_SEGMENT_MAX 255 /* what file systems take */
#define STORE_KEY_DEPTH 16

struct store;

struct store_stat {
	uint64_t size;
	int64_t modified_us; /* since 1970; never used for order */
};

struct store_entry {
	const char *key; /* borrowed, valid during the call */
	struct store_stat stat;
};
typedef int store_each(const struct store_entry *e, void *arg, struct err *err);

/* What the store really enforces, as far as it was probed. */
struct store_caps {
	bool create_only; /* a put never replaces */
	bool
	    writer_can_delete; /* these credentials can remove or overwrite what they wrote: protects against loss, not theft */
};

struct store_ops {
	int (*get)(struct store *s, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err);
	int (*get_tail)(struct store *s, const char *key, void *data, size_t len, size_t *got, uint64_t *size, struct err *err);
	int (*put)(struct store *s, const char *key, struct sink **out, struct err *err);
	int (*settle)(struct store *s, const char *key, struct err *err);
	int (*list)(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err);
	int (*list_names)(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err);
	int (*stat)(struct store *s, const char *key, struct store_stat *out, struct err *err);
	int (*remove)(struct store *s, const char *key, struct err *err);
	int (*caps)(struct store *s, struct store_caps *out, struct err *err);
	int (*space)(
	    struct store *s, uint64_t *free_bytes, uint64_t *total_bytes, struct err *err); /* ERR_NOT_FOUND: not known */
	void (*close)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	const char *url; /* for messages; owned by the driver, without secrets */
};

/* Bytes offset .. offset+len of the blob into data; *got < len only when the blob ends there. offset past the end gives 0. */
static inline int
store_get(struct store *s, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	return s->ops->get(s, key, offset, data, len, got, err);
}

/* The last len bytes (all of a shorter blob), and the size of the whole, in one request. */
static inline int
store_get_tail(struct store *s, const char *key, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	return s->ops->get_tail(s, key, data, len, got, size, err);
}

static inline int
store_put(struct store *s, const char *key, struct sink **out, struct err *err)
{
	return s->ops->put(s, key, out, err);
}

static inline int
store_settle(struct store *s, const char *key, struct err *err)
{
	return s->ops->settle(s, key, err);
}

static inline int
store_list(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err)
{
	return s->ops->list(s, prefix, each, arg, err);
}

/* For who looks at names alone: a directory of a million is listed in a third of the time. What stat says then is not defined.
 */
static inline int
store_list_names(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err)
{
	return s->ops->list_names != NULL ? s->ops->list_names(s, prefix, each, arg, err)
					  : s->ops->list(s, prefix, each, arg, err);
}

static inline int
store_stat(struct store *s, const char *key, struct store_stat *out, struct err *err)
{
	return s->ops->stat(s, key, out, err);
}

static inline int
store_remove(struct store *s, const char *key, struct err *err)
{
	return s->ops->remove(s, key, err);
}

static inline int
store_caps(struct store *s, struct store_caps *out, struct err *err)
{
	return s->ops->caps(s, out, err);
}

/* ERR_NOT_FOUND where the store has no such notion. */
static inline int
store_space(struct store *s, uint64_t *free_bytes, uint64_t *total_bytes, struct err *err)
{
	return s->ops->space(s, free_bytes, total_bytes, err);
}

static inline void
store_close(struct store *s)
{
	if (s != NULL)
		s->ops->close(s);
}

static inline void
scope_store(struct store **s)
{
	store_close(*s);
}
#define STORE_AUTO SCOPE(scope_store)

/* ERR_BUG unless key is well formed; with prefix set, unless it is "" or a well-formed key and a '/'. */
int store_key_check(const char *key, bool prefix, struct err *err);

/* Put a small blob in one call: 0, ERR_EXISTS, or another error. */
int store_put_bytes(struct store *s, const char *key, const void *data, size_t len, struct err *err);

/*
 * Open the store of a URL: "file:///path", where %20 stands for a blank as in any URL. create: make the directory when it is
 * missing. ERR_CONFIG for a scheme we do not know.
 */
int store_open(struct store **out, const char *url, bool create, struct err *err);

#endif
