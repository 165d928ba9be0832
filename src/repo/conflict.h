/*
 * Other content that came under a name that was taken. It is kept as conflict/OBJECT/CONTENTID, and somebody decides: records
 * beside it say that the first copy is the right one (.resolved), and that the server that brought the other may go on all the
 * same (.released). Nothing is ever overwritten, so the first copy stays in service whatever is decided.
 */
#ifndef PGCAIRN_REPO_CONFLICT_H
#define PGCAIRN_REPO_CONFLICT_H

#include "repo/decision.h"
#include "repo/repository.h"

#define CONFLICTS_MAX 100000

/* What is decided about one content. */
struct conflict_record {
	char object[OBJECT_NAME_MAX];                      /* relative name of the one in service */
	uint8_t content_id[CONTENT_ID], first[CONTENT_ID]; /* of the one that came too late, of the one in service */
	struct decision decision;
};

struct conflict {
	char object[OBJECT_NAME_MAX];
	uint8_t content_id[CONTENT_ID];
	uint64_t stored; /* bytes */
	bool resolved, released;
	struct conflict_record record; /* with resolved */
};

struct conflict_set {
	struct conflict *list; /* by name */
	size_t n;
};

int conflict_record_encode(const struct conflict_record *c, json_t *o, struct err *err);
int conflict_record_decode(struct conflict_record *c, const json_t *o, struct err *err);

/* "conflict/OBJECT/CONTENTID" and what stands behind it ("", ".resolved" or ".released"); false for any other name. */
bool conflict_name_parse(
    const char *relative, char object[OBJECT_NAME_MAX], uint8_t content_id[CONTENT_ID], const char **suffix);

/*
 * ERR_NOT_FOUND: nothing is decided. ERR_CORRUPT, ERR_AUTH: a record that says something else than its place, or of a stranger:
 * as if there were none.
 */
int conflict_read_record(struct conflict_record *out, struct repository *r, const char *object,
    const uint8_t content_id[CONTENT_ID], const char *suffix, struct err *err);

/* All of a repository. An error means that it could not be read. */
int conflict_set_read(struct conflict_set *set, struct repository *r, struct err *err);
void conflict_set_free(struct conflict_set *set);

static inline void
scope_conflict_set(struct conflict_set *set)
{
	conflict_set_free(set);
}
#define CONFLICT_SET_AUTO SCOPE(scope_conflict_set)

#endif
