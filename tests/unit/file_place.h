/*
 * A directory of its own for each case of the directory store's tests, with an open store in it. The state of a case begins as
 * a struct place, which says how the store shall publish; setup makes a struct bench of it.
 */
#ifndef PGCAIRN_TESTS_FILE_PLACE_H
#define PGCAIRN_TESTS_FILE_PLACE_H

#include "store/file_internal.h"
#include "store_conformance.h"

struct place {
	struct store_factory factory;
	struct file_options options;
	char dir[64];  /* a new directory of our own */
	char root[96]; /* the repository in it */
};

struct bench {
	struct place place;
	struct store *s;
	bool mounted; /* something on the root, to be unmounted at the end */
};

enum file_call { GET, TAIL, STAT, SETTLE, REMOVE, PUT, CALLS };

struct place place_of(const char *name, enum file_mode mode, bool no_openat2);
int place_again(struct store_factory *f, struct store **out, struct err *err);
unsigned place_leftovers(struct store_factory *f);

int bench_setup(void **state);
int bench_teardown(void **state);
#define BENCH_CASE(fn, place) cmocka_unit_test_prestate_setup_teardown(fn, bench_setup, bench_teardown, place)

char *bench_path(const struct bench *b, const char *name); /* a name below the root; to be freed */
int bench_call(struct store *s, enum file_call c, const char *key, struct err *err);
void bench_put(struct store *s, const char *key);
void bench_must(int rc, const struct err *err);                            /* fails the case with the message */
int bench_ignore(const struct store_entry *e, void *arg, struct err *err); /* for listings */

#endif
