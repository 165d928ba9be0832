/*
 * backup: a base backup of the running cluster, read once, to every repository that is there. docs/architecture.md, "A byte's
 * way".
 *
 * It exists when its manifest does, and the manifest is written last: after the server said that the stream is complete, its
 * own list of files agreed with what came, all packs are durable, and the WAL that makes the backup consistent is there, whole
 * and joined. A repository where any of this fails gets no manifest. Packs that a broken run left are no backup and harm
 * nothing; expire removes them.
 */
#ifndef PGCAIRN_OPS_BACKUP_H
#define PGCAIRN_OPS_BACKUP_H

#include <signal.h>

#include "ops/op.h"
#include "repo/manifest.h"

#define BACKUP_WAL_TIMEOUT_MS ((int64_t)10 * 60 * 1000)
#define BACKUP_BAD_PAGES_KEPT 1000

struct backup_options {
	enum { BACKUP_CHECKPOINT_CONFIGURED, BACKUP_CHECKPOINT_FAST, BACKUP_CHECKPOINT_SPREAD } checkpoint;
	bool has_max_rate;
	uint64_t max_rate;      /* bytes a second, 0: no limit; counts only with has_max_rate */
	bool dry_run;           /* look and connect, take nothing: label, sizes and repositories are estimates */
	int64_t wal_timeout_ms; /* how long to wait for WAL to be archived; 0: BACKUP_WAL_TIMEOUT_MS */
	struct op_progress progress;
	const volatile sig_atomic_t *interrupted; /* set by a signal handler; NULL: never */
};

struct backup_bad_page {
	char *path; /* owned */
	uint32_t block;
};

struct backup_repository {
	const char *name; /* borrowed from the configuration */
	bool complete;    /* has the whole backup */
	struct err err;   /* why not */
};

struct backup_result {
	struct manifest_head head; /* in a dry run without stop and packs; size is the server's estimate, 0 when it gave none */
	uint64_t stored;           /* bytes in each complete repository */
	struct backup_bad_page *bad_pages; /* the first BACKUP_BAD_PAGES_KEPT; head.bad_pages counts all */
	size_t n_bad_pages;
	struct backup_repository *repositories; /* the active ones */
	size_t n_repositories, n_complete;
};

/*
 * 0: at least one repository has the backup; n_complete says whether all have it, head.bad_pages whether it has damaged pages.
 * ERR_REFUSED: another backup of this cluster runs on this host, or the server is not of this cluster. ERR_RETRY: interrupted,
 * or out of time. Free the result in every case.
 */
int backup_run(const struct op *op, const struct backup_options *o, struct backup_result *result, struct err *err);
void backup_result_free(struct backup_result *r);

#endif
