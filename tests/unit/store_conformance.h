/*
 * What every store must do, whatever it is made of. A driver's test gives a factory and runs the whole table; nothing in it
 * knows more than store.h.
 */
#ifndef PGCAIRN_TESTS_STORE_CONFORMANCE_H
#define PGCAIRN_TESTS_STORE_CONFORMANCE_H

#include "store/store.h"

struct store_factory {
	const char *name; /* in the names of the tests */
	void *arg;
	int (*fresh)(struct store_factory *f, struct store **out, struct err *err); /* a new, empty place, opened */
	int (*again)(struct store_factory *f, struct store **out, struct err *err); /* another handle on the same place */
	void (*destroy)(struct store_factory *f); /* the place, after all handles are closed */
	/* what a put that was not finished may have left where no listing shows it; NULL: cannot tell */
	unsigned (*leftovers)(struct store_factory *f);
};

/* Runs the table; how many cases failed. */
int store_conformance(struct store_factory *f);

#endif
