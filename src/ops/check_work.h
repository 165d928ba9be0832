/* What the parts of check share. For them only. */
#ifndef PGCAIRN_OPS_CHECK_WORK_H
#define PGCAIRN_OPS_CHECK_WORK_H

#include "ops/check.h"
#include "ops/info.h"

struct check {
	const struct op *op;
	const struct check_options *options;
	struct info info;
	struct check_result *result;
	bool failed; /* memory is out */
};

/* remedy NULL or "": none. repository "": none. */
void check_add(struct check *c, enum check_severity severity, const char *name, const char *repository, const char *remedy,
    const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* An error, with its hint as the remedy. */
void check_add_err(
    struct check *c, enum check_severity severity, const char *name, const char *repository, const struct err *err);

/* "3 h 20 min" for people */
void check_format_age(char *out, size_t size, int64_t seconds);

void check_repositories(struct check *c);

/* Needs libpq: the server, the proof, the backlog. */
void check_server(struct check *c);

#endif
