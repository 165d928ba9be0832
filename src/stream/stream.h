/*
 * How bytes travel: from a source, through transforms, into a sink.
 *
 * sink.write   takes all bytes or fails; after a failure only free is called.
 * sink.finish  the only commit: when it returns 0 the bytes are where they belong, durable and visible; called at most once.
 * sink.begin_finish  says that finish comes next, without waiting: what can be done meanwhile begins. May be NULL, and need not
 *              be called; who has several sinks calls it for all before it finishes the first.
 * sink.free    releases; without a successful finish before it, nothing is left visible. Takes NULL through sink_free.
 * source.read  up to cap bytes; *got = 0 only at the end. Fewer than cap does not mean the end.
 *
 * A transform is a sink that owns a next one: its finish finishes next, its free frees next. A concrete stage embeds
 * struct sink (or source) as its first member and casts.
 */
#ifndef PGCAIRN_STREAM_STREAM_H
#define PGCAIRN_STREAM_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scope.h"

struct sink;
struct source;

struct sink_ops {
	int (*write)(struct sink *s, const void *data, size_t len, struct err *err);
	int (*finish)(struct sink *s, struct err *err);
	void (*free)(struct sink *s);
	void (*begin_finish)(struct sink *s);
};
struct sink {
	const struct sink_ops *ops;
};

struct source_ops {
	int (*read)(struct source *s, void *data, size_t cap, size_t *got, struct err *err);
	void (*free)(struct source *s);
};
struct source {
	const struct source_ops *ops;
};

static inline int
sink_write(struct sink *s, const void *data, size_t len, struct err *err)
{
	return s->ops->write(s, data, len, err);
}

static inline int
sink_finish(struct sink *s, struct err *err)
{
	return s->ops->finish(s, err);
}

static inline void
sink_begin_finish(struct sink *s)
{
	if (s->ops->begin_finish != NULL)
		s->ops->begin_finish(s);
}

static inline void
sink_free(struct sink *s)
{
	if (s != NULL)
		s->ops->free(s);
}

static inline int
source_read(struct source *s, void *data, size_t cap, size_t *got, struct err *err)
{
	return s->ops->read(s, data, cap, got, err);
}

static inline void
source_free(struct source *s)
{
	if (s != NULL)
		s->ops->free(s);
}

static inline void
scope_sink(struct sink **s)
{
	sink_free(*s);
}

static inline void
scope_source(struct source **s)
{
	source_free(*s);
}

#define SINK_AUTO SCOPE(scope_sink)
#define SOURCE_AUTO SCOPE(scope_source)

#endif
