/*
 * High-water records: how far a cluster's WAL had come, acknowledged, at a moment, and which repositories held it then. They
 * lie in every repository, so that one whose newest objects were removed, by whoever runs it or by a disk, is found out:
 * without them it looks like one that was always that short.
 *
 * Names are created once and count downwards, timeline first: the newest comes first in a listing, and is found without reading
 * the others. An idle cluster's name is taken already, so it writes none. A record is signed as every object is; what cannot be
 * believed is passed over and counted. Whoever removes the records too, in every repository, is not found out by them.
 *
 * "High-water records" in docs/repository-format.md.
 */
#ifndef PGCAIRN_REPO_HIGH_WATER_H
#define PGCAIRN_REPO_HIGH_WATER_H

#include "repo/writer.h"

#define HIGH_WATER_HOLDERS 32
#define HIGH_WATER_READ_MAX 64 /* records that a reading looks at in one repository */

struct high_water_holder {
	char id[REPOSITORY_ID_TEXT]; /* of the marker */
	char name[LAYOUT_LABEL_MAX]; /* as the host called it that wrote; for messages */
};

struct high_water {
	uint64_t sysid;
	timeline_t timeline;
	lsn_t lsn; /* behind the newest segment */
	int64_t time_us;
	char host[64];
	struct high_water_holder holders[HIGH_WATER_HOLDERS];
	size_t n;
};

/* Position and holders (of the targets of f those where holds[i] is set), now, on this host. */
void high_water_make(
    struct high_water *h, uint64_t sysid, timeline_t timeline, lsn_t lsn, const struct fanout *f, const bool *holds);

/* Into every target that has not failed, durable; one that has a record of this position keeps that one. Errors as
 * fanout_put_record. */
int high_water_write(const struct writer *w, struct fanout *f, const struct high_water *h, struct err *err);

/* True for what ends at this position or behind it, timeline first. */
bool high_water_reached(const struct high_water *h, timeline_t timeline, lsn_t end);
bool high_water_is_held_by(const struct high_water *h, const char *repository_id);

/* The records of one system in one repository, the newest first, until each says false. */
typedef bool high_water_each(const struct high_water *h, void *arg);
struct high_water_reading {
	unsigned read, unbelievable;
	struct err why; /* of the newest that cannot be believed */
};
int high_water_read(struct repository *r, uint64_t sysid, high_water_each *each, void *arg, struct high_water_reading *reading,
    struct err *err);

bool high_water_name_parse(const char *relative, struct high_water *h); /* fills system, timeline and position */
int high_water_encode(const struct high_water *h, json_t *o, struct err *err);
/* ERR_CORRUPT for what is malformed. */
int high_water_decode(struct high_water *h, const json_t *o, struct err *err);
/* A record by its name: ERR_CORRUPT, too, when it speaks of another position than its name. */
int high_water_open(struct high_water *out, struct repository *r, const char *relative, struct err *err);

#endif
