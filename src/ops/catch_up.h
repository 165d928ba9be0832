/*
 * Brings one repository up to what the others have of a cluster's WAL, in rounds, without any private key.
 *
 * Nothing is written down about what lacks: a round lists what the others have and what the target has, and the difference is
 * the work. So whoever is killed on the way has nothing to repair, and whoever repeats it finds less to do. Memory does not
 * grow with the backlog: names are held for one folder of WAL (256 segments of 16 MB) at a time.
 *
 * Order: the history files of all timelines, then by timeline and segment from the oldest on, with the .backup and .partial
 * files where they stand; each object's epoch key in front of it; then what is recorded about gaps and conflicts. Oldest first,
 * because a repository's restorable window ends at its first hole: each copied segment moves that end. The newest backup's WAL
 * first would help nobody, since a repository has a backup only with the WAL that this backup needs.
 *
 * Never overwritten: other content under a taken name is reported and left alone. An object that one source has damaged is
 * taken from another, and reported. A source that hangs or fails costs itself alone.
 */
#ifndef PGCAIRN_OPS_CATCH_UP_H
#define PGCAIRN_OPS_CATCH_UP_H

#include "codec/content_id.h"
#include "ops/op.h"

struct catch_up_result {
	uint64_t copied, bytes;          /* objects taken from the other repositories, and their stored bytes */
	uint64_t from_server;            /* segments taken from pg_wal instead */
	uint64_t lacking, lacking_bytes; /* what is left */
	int64_t oldest_us;               /* when the oldest of that was stored elsewhere; 0: nothing lacks */
	uint64_t troubles;               /* objects that could not be copied, and sources that could not be asked */
	bool heard_all;                  /* every source was asked: else more may lack */
	bool stopped;                    /* by stop */
	bool no_source;                  /* the error is that no source could be asked, and not the target's */
};

struct catch_up_round {
	struct repository *target;
	struct repository *const *sources;
	size_t n_sources; /* at most 32 */
	bool dry_run;     /* say what lacks, copy nothing */
	bool full;        /* look at everything, also where all was seen complete a while ago */

	/* All of these may be NULL. */
	/*
	 * A segment's bytes from the server itself, as long as it has them: it must be exactly this content. ERR_NOT_FOUND:
	 * take it from a repository; any other error but ERR_CORRUPT, ERR_CONFLICT and ERR_REFUSED is the target's.
	 */
	int (*from_server)(const char *file_name, const uint8_t content_id[CONTENT_ID], void *arg, struct err *err);
	bool (*stop)(void *arg);                                        /* asked in front of every object */
	void (*moved)(const struct catch_up_result *so_far, void *arg); /* behind every object */
	/* relative is "" when it is about the whole repository */
	void (*trouble)(const char *repository, const char *relative, const struct err *why, void *arg);
	void *arg;
};

/* What one round leaves to the next, so that it is cheap: below which folder all was seen complete. For one target. */
struct catch_up;
int catch_up_new(struct catch_up **out, struct err *err);
void catch_up_free(struct catch_up *c);

static inline void
scope_catch_up(struct catch_up **c)
{
	catch_up_free(*c);
}
#define CATCH_UP_AUTO SCOPE(scope_catch_up)

/*
 * 0 when every object was tried; what could not be copied is in the result and was told. An error is the target's (it is full,
 * hangs, is gone), or of all sources: then what is left is not known, or more than the result says.
 */
int catch_up_round(struct catch_up *c, const struct catch_up_round *round, struct catch_up_result *result, struct err *err);

#endif
