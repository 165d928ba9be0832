/*
 * One line a message on standard error: time, level, text. What the process logs to is decided once by whoever owns main;
 * code below ops logs at debug only. Secrets are never given to it.
 */
#ifndef PGCAIRN_BASE_LOG_H
#define PGCAIRN_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
	enum log_level level; /* most talkative level that is written */
	int fd;               /* where to; a whole line is one write(2) */
	const char *program;  /* named in every line */
};

/* log may be NULL: nothing is written. A message longer than 2 KiB is cut. */
void log_write(const struct log *log, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The error and, on a line of its own, its remedy (err_remedy). */
void log_err(const struct log *log, enum log_level level, const struct err *err);

/* "error", "warning", "info", "debug" to a level; -1 when it is none of them. */
int log_level_parse(const char *word);

#endif
