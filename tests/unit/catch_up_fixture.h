/* A world whose repository b was away while WAL was archived to the others, and stores in it that fail when they are told to.
 */
#ifndef PGCAIRN_TESTS_CATCH_UP_FIXTURE_H
#define PGCAIRN_TESTS_CATCH_UP_FIXTURE_H

#include "chain_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/catch_up.h"
#include "repo/stored.h"
#include "repo/wal_object.h"

#define LAGGING_OBJECTS 8

enum mood_call { MOOD_PUT, MOOD_WRITE, MOOD_FINISH, MOOD_LIST, MOOD_GET, MOOD_STAT, MOOD_CALLS };

struct lagging {
	struct world w;
	struct repository *target, *sources[3];
	size_t n_sources;
	struct catch_up *c;
	struct writer *writer; /* once something was synthesized */
	/* the caller's side of a round */
	bool stops;
	unsigned stop_after, asked;
	const char *plant; /* this file appears at the target just before its turn */
	bool plant_other;  /* with other content */
	struct err told;   /* the last trouble */
	char told_repository[64], told_relative[OBJECT_NAME_MAX];
};

void lagging_open(struct lagging *l, size_t repositories);
void lagging_close(struct lagging *l);

int run_round(struct lagging *l, const struct catch_up_round *like, struct catch_up_result *r, struct err *err);
struct catch_up_result must_round(struct lagging *l, const struct catch_up_round *like);
void must_be_level(const struct catch_up_result *r);

/* Every object of the repository is opened, decrypted and read. */
void must_read_all(struct lagging *l, const char *repository);
/* Under each name of WAL, a and b have the same content. */
void must_be_the_same(struct lagging *l);
bool has(struct lagging *l, const char *repository, const char *file);
void damage(struct lagging *l, const char *repository, const char *file, int how);
void restore_from(struct lagging *l, const char *repository, const char *file); /* what damage has put aside */

void empty(struct lagging *l, const char *repository); /* of WAL and keys */
/* A whole object of a segment or a history with other bytes than a server would write, in a or b. */
void synthesize(struct lagging *l, const char *repository, const struct wal_name *name, const char *bytes);
void synthesize_as(struct lagging *l, const char *repository, uint8_t kind, const char *relative, const char *bytes);

/* Calls behind the next so many fail with this kind; 0: none does. One mood a repository. */
void mood_set(struct repository *r, enum mood_call c, int kind, unsigned after);

#endif
