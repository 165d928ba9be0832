/*
 * What the server wants archived: the names in pg_wal/archive_status that end in .ready, and word of each that comes or goes,
 * from inotify. The directory is read as a whole only at the start, after an overflow, and when the caller says so.
 */
#ifndef PGCAIRN_AGENT_READY_H
#define PGCAIRN_AGENT_READY_H

#include <stdbool.h>

#include "base/err.h"
#include "base/scope.h"

enum ready_event {
	READY_CAME,
	READY_GONE, /* archived, or removed */
	READY_LOST, /* words were lost: read the directory again; name is "" */
	READY_ENDS, /* the directory is gone: open it anew; name is "" */
};

struct ready;
typedef void ready_each(enum ready_event event, const char *name, void *arg);

/* ERR_NOT_FOUND while there is no such directory. */
int ready_open(struct ready **out, const char *pgdata, struct err *err);
void ready_close(struct ready *r); /* NULL is fine */

static inline void
scope_ready(struct ready **r)
{
	ready_close(*r);
}
#define READY_AUTO SCOPE(scope_ready)

/* Readable when there are words. */
int ready_fd(const struct ready *r);

/* Take the words that are there; does not wait. */
int ready_take(struct ready *r, ready_each *each, void *arg, struct err *err);

/* Every name that is there now, as READY_CAME, in no order. */
int ready_scan(struct ready *r, ready_each *each, void *arg, struct err *err);

#endif
