/*
 * Somebody decided something that tools cannot: to stop archiving, to give a segment up, which of two contents is right. Who,
 * when and why is kept with every such decision, and shown wherever it has an effect.
 */
#ifndef PGCAIRN_REPO_DECISION_H
#define PGCAIRN_REPO_DECISION_H

#include "base/json.h"

#define DECISION_REASON_MAX 512 /* NUL included */
#define DECISION_BY_MAX 128

struct decision {
	int64_t time_us;
	char by[DECISION_BY_MAX]; /* user@host */
	char reason[DECISION_REASON_MAX];
};

/* Now, by whoever runs this process (behind sudo: who called it). ERR_CONFIG for a reason that is empty, too long, or not one
 * line of UTF-8. */
int decision_make(struct decision *d, const char *reason, struct err *err);

/* The members time, by and reason of o. */
int decision_encode(const struct decision *d, json_t *o, struct err *err);
/* ERR_CORRUPT when one is missing or does not fit. */
int decision_decode(struct decision *d, const json_t *o, struct err *err);

/* "since 2026-01-31T14:59:00Z, by postgres@db1: REASON" */
#define DECISION_TEXT (DECISION_REASON_MAX + DECISION_BY_MAX + 64)
void decision_describe(const struct decision *d, char out[DECISION_TEXT]);

#endif
