/*
 * Files of WAL that were given up: archiving refuses them, and somebody decided that it goes on without them. The bytes are
 * kept as they were found (gaps/.../bytes, a quarantine object), and a signed record beside them, written last, says what, who
 * and why. A whole segment that was given up breaks every restorable window there, until a good copy of it is archived.
 */
#ifndef PGCAIRN_REPO_GAP_H
#define PGCAIRN_REPO_GAP_H

#include "repo/decision.h"
#include "repo/repository.h"

#define GAPS_MAX 10000
#define GAP_REFUSAL_MAX 512

struct gap_record {
	uint64_t sysid;
	struct wal_name name;
	uint8_t content_id[CONTENT_ID];
	uint64_t size;                 /* of the file as it was found */
	lsn_t start, end;              /* of the segment that the name says */
	char refused[GAP_REFUSAL_MAX]; /* what archiving said */
	struct decision decision;
	bool damaged; /* the record could not be read: only name and content id are known, decision.reason says why */
};

struct gap_set {
	struct gap_record *list;
	size_t n;
};

int gap_record_encode(const struct gap_record *g, json_t *o, struct err *err);
/* ERR_CORRUPT for what is missing, of another type, or too long. */
int gap_record_decode(struct gap_record *g, const json_t *o, struct err *err);

/* sysid, name and content id of "gaps/SYSID/FILE/CONTENTID/record"; false for any other name. */
bool gap_name_parse(const char *relative, struct gap_record *g);

/*
 * Adds what the repository has of this system: of one file, or with name NULL of all. One that is there already is not added
 * again. A record that is damaged, or of a signer who is not enrolled, is one all the same: a gap that is not understood must
 * not look like none. An error means that the repository could not be read.
 */
int gap_set_read(struct gap_set *set, struct repository *r, uint64_t sysid, const struct wal_name *name, struct err *err);
void gap_set_free(struct gap_set *set);

static inline void
scope_gap_set(struct gap_set *set)
{
	gap_set_free(set);
}
#define GAP_SET_AUTO SCOPE(scope_gap_set)

#endif
