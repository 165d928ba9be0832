/*
 * conflict: two contents came under one name of WAL. The first is in service, the other is kept beside it, and the server that
 * brought it cannot archive on: usually it is no member of the cluster any more (a split brain, a copy that kept its settings).
 *
 * To keep the first is to write the decision down: info and check fall silent, and the losing server still may not go on, until
 * it is re-initialised. With release it may: archiving answers 0 for exactly that content, of which nothing more is stored.
 * To put the other in service cannot be done under the same name, since nothing is ever overwritten; the error says the ways.
 */
#ifndef PGCAIRN_OPS_CONFLICT_H
#define PGCAIRN_OPS_CONFLICT_H

#include "ops/survey.h"
#include "repo/conflict.h"

/* One of the two contents, as its object's clear part and signature say. */
struct conflict_side {
	bool known; /* it could be read; else why */
	struct err why;
	uint8_t content_id[CONTENT_ID];
	uint64_t size;   /* plain bytes */
	char signer[64]; /* the enrolled name of the host */
	bool is_segment; /* what follows is of segments */
	lsn_t start, last_record, end;
	uint64_t records, commits;
	int64_t first_time_us, last_time_us; /* with commits */
};

struct conflict_view {
	const char *repository; /* borrowed from the configuration */
	struct conflict conflict;
	struct conflict_side first, other; /* filled by show alone */
	bool compared;                     /* the bytes could be read: */
	bool same;                         /* and do not differ */
	uint64_t parts_at;                 /* first byte that differs */
};

struct conflict_views {
	struct conflict_view *list;
	size_t n;
	struct survey survey; /* who was silent: what is only there is not in the list */
};

/* Those of every active repository that answers; an error when none does. object: relative or file name of one; NULL: all.
 * ERR_NOT_FOUND when an object was named and nothing came under its name a second time, ERR_RETRY when it may have come to one
 * that is silent. */
int conflict_list(const struct op *op, const char *object, struct conflict_views *out, struct err *err);

/* The same, with both sides; where the identity is on this host, also where their bytes part. */
int conflict_show(const struct op *op, const char *object, struct conflict_views *out, struct err *err);
void conflict_views_free(struct conflict_views *v);

struct conflict_choice {
	const char *object;
	const char *content; /* 32 hex digits: one of several others; NULL: all of them, or the only one */
	const char *reason;
	bool keep_other, release, dry_run;
};

/* What was decided, for every content that is concerned. ERR_REFUSED for keep_other, and where the repositories do not have the
 * same content in service. */
int conflict_resolve(const struct op *op, const struct conflict_choice *c, struct conflict_views *out, struct err *err);

/* The bytes of one side into a new file: content "first", or as above. Needs the identity. */
int conflict_export(const struct op *op, const char *object, const char *content, const char *path, struct err *err);

/*
 * For archive: was our content decided against? The targets where it was released are done then, all others are not; their
 * number. *record is filled and *decided set where anything was decided.
 */
size_t conflict_accepts(
    struct fanout *f, const char *object, const uint8_t content_id[CONTENT_ID], bool *decided, struct conflict_record *record);

#endif
