/*
 * A cluster with its repositories, keys and configuration in a directory of its own (in TMPDIR), made by the real init: what
 * the tests of repo and ops stand on. The cluster is the one whose WAL lies in tests/fixtures/wal.
 */
#ifndef PGCAIRN_TESTS_WORLD_H
#define PGCAIRN_TESTS_WORLD_H

#include "check.h"
#include "config/config.h"
#include "ops/op.h"

struct world {
	char dir[128];
	size_t n; /* repositories: a, b, c */
	struct config *config;
	struct log log; /* to nowhere */
	struct op op;
	uint64_t sysid;
};

struct world_options {
	size_t repositories; /* 0: one */
	const char *cluster; /* lines of [cluster:c], behind pgdata */
	const char *control; /* the fixture of pg_control; NULL: control-main */
	const char *more;    /* sections behind all others; [archive] acknowledge = 1 when NULL and there are several */
};

/* Files alone: configuration and data directory. world_init makes repositories and keys. */
void world_make(struct world *w, const struct world_options *o);
void world_init(struct world *w);
void world_open(struct world *w, const struct world_options *o); /* both */
void world_close(struct world *w);
int world_teardown(void **state); /* of a test whose state is a world from calloc */

/* A path below dir, in a buffer that the next but three calls use again. */
const char *world_path(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A file of the fixtures, its folder there in front, as the server would have it in pg_wal. Its path. */
const char *world_wal_file(struct world *w, const char *name);
/* The same, archived by the real code; what it returns. */
int world_archive(struct world *w, const char *name, struct err *err);
void world_archive_all(struct world *w, const char *const *names, size_t n);

/* A backup of three files that begins with segment first (of 1 MiB) and is consistent a little behind it. */
void world_backup_of(struct world *w, uint64_t sysid, const char *label, timeline_t timeline, uint64_t first);
void world_backup(struct world *w, const char *label, timeline_t timeline, uint64_t first); /* of its only system */

struct repository *world_repository(struct world *w, const char *name);
struct writer *world_writer(struct world *w);
struct fanout *world_fanout(struct world *w, const struct writer *writer);
struct keyring *world_keyring(struct world *w);

/* How many objects lie below a prefix relative to the cluster's folder. */
unsigned world_count(struct world *w, const char *repository, const char *prefix);
/* The first of them, relative; fails when there is none. A buffer as of world_path. */
const char *world_first(struct world *w, const char *repository, const char *prefix);

/* The file of an object, for damage. */
const char *world_object(struct world *w, const char *repository, const char *relative);
/* One bit of a file. at < 0 counts from its end. */
void world_flip(const char *path, long at);

#endif
