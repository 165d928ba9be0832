/* The keys part of init: which files are made, which must be there. */
#ifndef PGCAIRN_OPS_INIT_KEYS_H
#define PGCAIRN_OPS_INIT_KEYS_H

#include "ops/init.h"

struct init_keys {
	struct signing_key signing;
	struct secret *comparison;
	struct recipients recipients;
	char host[64];
};

/* Nobody knows this cluster: make what does not exist. */
int init_keys_new_cluster(struct init_keys *k, const struct op *op, struct init_result *result, struct err *err);

/* The cluster exists: nothing that reads is made; join makes a signing key and writes down what the repository records. */
int init_keys_existing_cluster(struct init_keys *k, const struct op *op, const struct repository *known, bool join,
    struct init_result *result, struct err *err);

void init_keys_free(struct init_keys *k);

#endif
