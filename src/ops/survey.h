/*
 * A look at every active repository in turn, for reports: one that does not open, or fails on the way, is silent and hides no
 * other. Whoever reports says which were silent: what is only there would look like nothing.
 */
#ifndef PGCAIRN_OPS_SURVEY_H
#define PGCAIRN_OPS_SURVEY_H

#include "ops/op.h"

struct survey_silent {
	const char *repository; /* borrowed from the configuration */
	struct err err;
};

struct survey {
	struct survey_silent *silent; /* in the order of the configuration */
	size_t n_silent;
	size_t n_heard;
};

/*
 * look is called with each repository that opens, which is confirmed behind it; what it has noted by then stays. 0 when at
 * least one was heard; else the error of the last silent one. ERR_NOMEM and ERR_BUG end it at once.
 */
typedef int survey_look(struct repository *r, const char *name, void *arg, struct err *err);
int survey_run(struct survey *s, const struct op *op, survey_look *look, void *arg, struct err *err);
void survey_free(struct survey *s); /* all zero afterwards */

/* Each silent one as a warning. */
void survey_tell(const struct survey *s, const struct op *op);

#endif
