/*
 * replicate: one round of catching up (ops/catch_up.h) by hand, from the other repositories of the configuration. WAL, and what
 * is recorded about it; base backups are not copied yet.
 *
 * A repository that hangs is given up, and the rest is done without it; the process then cannot end before it answers.
 */
#ifndef PGCAIRN_OPS_REPLICATE_H
#define PGCAIRN_OPS_REPLICATE_H

#include "ops/catch_up.h"

#define REPLICATE_TROUBLES 1000 /* that are kept one by one; more are counted */

struct replicate_options {
	const char *to;
	const char *const *from; /* names; n_from 0: all others that are active */
	size_t n_from;
	bool dry_run;
	struct op_progress progress; /* in bytes, of what lacks */
};

struct replicate_trouble {
	char repository[LAYOUT_LABEL_MAX];
	char object[OBJECT_NAME_MAX]; /* "": the repository as a whole */
	struct err err;
};

struct replicate_result {
	struct catch_up_result wal;
	struct replicate_trouble *list;
	size_t n;
};

/*
 * ERR_CONFIG for a name that is not in the configuration, or is lost. A source that does not open is a trouble; the target's
 * error, or that no source could be asked, is the result's. result is to be freed whatever comes back.
 */
int replicate_run(const struct op *op, const struct replicate_options *o, struct replicate_result *result, struct err *err);
void replicate_result_free(struct replicate_result *r);

#endif
