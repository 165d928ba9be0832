/*
 * One line that shows how far a long work is, on a terminal; elsewhere a log line now and then. It is a courtesy: nothing
 * here fails, and where memory is out there is no progress. Every function takes NULL. One thread may use it.
 */
#ifndef PGCAIRN_CLI_PROGRESS_H
#define PGCAIRN_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/scope.h"

struct progress;

struct progress_options {
	int fd;                /* usually 2; a line is drawn when it is a terminal */
	const char *label;     /* borrowed: "backup 20260102-030405F" */
	const struct log *log; /* where fd is no terminal: a line at info every 30 s; may be NULL */
	bool disabled;         /* --quiet: draw and log nothing */
};

struct progress *progress_new(const struct progress_options *options);

/* Bytes; total 0: not known. Cheap: at most five times a second something is drawn. */
void progress_update(struct progress *p, uint64_t done, uint64_t total);

/* The same as the callback of a struct op_progress, whose arg is the progress. */
void progress_show(void *progress, uint64_t done, uint64_t total);

/* Wipe the line before something else is written there; the next update draws it again. */
void progress_clear(struct progress *p);

/* Wipes the line. */
void progress_free(struct progress *p);

static inline void
scope_progress(struct progress **p)
{
	progress_free(*p);
}
#define PROGRESS_AUTO SCOPE(scope_progress)

#endif
