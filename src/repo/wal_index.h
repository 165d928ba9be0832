/*
 * The index over WAL: one signed object says of a row of segments what would otherwise be read out of each of them. Its clear
 * part tells the row as one (wal_run), its frames every segment's clear part, a line each. All of that stands in the clear in
 * the segments themselves, so an index is not encrypted.
 *
 * It is a cache of facts that can be proved again, and nothing depends on it: what is missing, damaged, of an unknown signer or
 * contradicts the names of segments is passed over, and the segments are read. It makes no segment exist. It speaks of one
 * repository alone, whose id is in its name: another repository may hold other content under a segment's name, and of that it
 * says nothing.
 *
 * Rows do not cross a multiple of WAL_INDEX_SEGMENTS: so every host cuts them alike and needs no state. The epochs of the keys
 * would be no better a cut: they differ between hosts, begin anew with each backup, and without encryption there are none.
 */
#ifndef PGCAIRN_REPO_WAL_INDEX_H
#define PGCAIRN_REPO_WAL_INDEX_H

#include "pg/wal_run.h"
#include "repo/stored.h"

#define WAL_INDEX_SEGMENTS 1024
#define WAL_INDEX_LINE_MAX ((size_t)64 << 10)

struct wal_index_name {
	timeline_t timeline;
	uint64_t first; /* segment */
	uint32_t n;     /* 1 to WAL_INDEX_SEGMENTS */
};

/* Where those of one system lie, of this repository: relative, with '/'. */
int wal_index_folder(char out[OBJECT_NAME_MAX], const char *repository_id, uint64_t sysid, struct err *err);
int wal_index_relative(char out[OBJECT_NAME_MAX], const char *repository_id, uint64_t sysid, const struct wal_index_name *name,
    uint32_t segment_size, struct err *err);

/* The last part of such a name; false when it cannot be one. */
bool wal_index_name_parse(const char *file, uint32_t segment_size, struct wal_index_name *out);

/* Some segments of a row: their numbers in it, from 0 on, in order. Zero is empty. */
struct wal_index_places {
	uint16_t *list;
	size_t n;
};

struct wal_index {
	struct wal_run run;
	uint8_t (*keys)[OBJECT_KEY_ID]; /* every epoch key that the row was written under */
	size_t n_keys;
	struct wal_index_places spills; /* end in a record that may be a target's and goes on behind them */
	struct wal_index_places points; /* hold restore points */
};

/*
 * One more segment. *added is false when it cannot be told together with those before it (wal_run_add), and x is as it was.
 * The run of the first one must be as wal_run_init makes it.
 */
int wal_index_add(
    struct wal_index *x, const struct wal_summary *s, const uint8_t key_id[OBJECT_KEY_ID], bool *added, struct err *err);

int wal_index_encode(const struct wal_index *x, json_t *clear, struct err *err);
/* ERR_CORRUPT unless it is of this row. */
int wal_index_decode(struct wal_index *x, const json_t *clear, const struct wal_index_name *name, uint32_t segment_size,
    uint64_t sysid, struct err *err);
void wal_index_free(struct wal_index *x); /* all zero afterwards */
#define WAL_INDEX_AUTO SCOPE(wal_index_free)

/* Open and decode; *object is for wal_index_rows. Errors as stored_open. */
int wal_index_open(struct wal_index *x, struct stored **object, struct repository *r, uint64_t sysid,
    const struct wal_index_name *name, uint32_t segment_size, struct err *err);

struct wal_index_row {
	uint64_t segno;
	uint8_t key_id[OBJECT_KEY_ID]; /* zero: not encrypted */
	const json_t *clear;           /* of the segment */
	struct wal_summary *summary;   /* what it says */
};

/* All of them in order. each() returning an error ends it and is the result. */
int wal_index_rows(struct stored *object, const struct wal_index_name *name,
    int (*each)(const struct wal_index_row *row, void *arg, struct err *err), void *arg, struct err *err);

/* The lines of frames, from a text in pieces: what wal_index_rows does with what it reads. For it, and for who has the text. */
struct wal_index_parser;
int wal_index_parser_new(struct wal_index_parser **out, const struct wal_index_name *name,
    int (*each)(const struct wal_index_row *row, void *arg, struct err *err), void *arg, struct err *err);
int wal_index_parser_feed(struct wal_index_parser *p, const void *data, size_t len, struct err *err);
int wal_index_parser_finish(struct wal_index_parser *p, struct err *err); /* ERR_CORRUPT when rows are missing */
void wal_index_parser_free(struct wal_index_parser *p);

static inline void
scope_wal_index_parser(struct wal_index_parser **p)
{
	wal_index_parser_free(*p);
}
#define WAL_INDEX_PARSER_AUTO SCOPE(scope_wal_index_parser)

/* An index that is made: rows one after the other, then it is put. */
struct wal_index_draft {
	struct wal_index_name name;
	struct wal_index index;
	struct buf rows;
};
void wal_index_draft_begin(struct wal_index_draft *d, timeline_t timeline, uint64_t first);
void wal_index_draft_free(struct wal_index_draft *d); /* all zero afterwards */
#define WAL_INDEX_DRAFT_AUTO SCOPE(wal_index_draft_free)

/* One more segment, opened, with what its clear part says. When *added is false the next draft may begin with it. */
int wal_index_draft_add(
    struct wal_index_draft *d, const struct stored *segment, const struct wal_summary *summary, bool *added, struct err *err);

/* ERR_EXISTS when another host was faster. */
int wal_index_put(struct wal_index_draft *d, struct repository *r, uint64_t sysid, uint8_t codec,
    const struct signing_key *signer, struct err *err);

#endif
