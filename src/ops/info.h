/*
 * info: what is there. Every repository is looked at alone, so that one which does not open, or is damaged, hides no other.
 * Names and clear parts only: no key is needed.
 */
#ifndef PGCAIRN_OPS_INFO_H
#define PGCAIRN_OPS_INFO_H

#include "ops/op.h"
#include "ops/windows.h"
#include "repo/conflict.h"

enum info_state {
	INFO_OK,
	INFO_EMPTY,       /* a repository, but init has not set this cluster up in it */
	INFO_UNREACHABLE, /* or not the one that is expected: err says why */
	INFO_LOST,        /* given up in the configuration: not looked at */
};

struct info_repository {
	const struct config_repository *config; /* borrowed */
	enum info_state state;
	struct err err;          /* of INFO_UNREACHABLE */
	struct repository *repo; /* open; NULL unless INFO_OK or INFO_EMPTY */
	bool has_caps, has_space;
	struct store_caps caps;
	uint64_t free_bytes, total_bytes;
	struct backup_set backups;
	bool *usable; /* by backup: its WAL from start to stop is here */
	struct windows windows;
	struct conflict_set conflicts; /* resolved ones too */
	uint64_t segments;             /* of WAL, all timelines */
	char newest[WAL_NAME_MAX];     /* segment of the newest system and timeline; "" when there is none */
	size_t newest_system;          /* by place in the lineage */
	timeline_t newest_timeline;
	uint64_t newest_segno;
};

struct info {
	struct info_repository *repositories; /* in the order of the configuration */
	size_t n;
	size_t opened;
	bool stopped; /* archiving from this host, by stop */
	struct decision stop;
	struct err stop_unknown; /* kind 0, or why it cannot be told whether it is stopped */
};

/* ERR_NOMEM alone: what is wrong with a repository stands in its row. */
int info_collect(const struct op *op, struct info *out, struct err *err);
void info_free(struct info *info); /* all zero afterwards */

static inline void
scope_info(struct info *info)
{
	info_free(info);
}
#define INFO_AUTO SCOPE(scope_info)

/* "ok", "empty", "unreachable", "lost" */
const char *info_state_name(enum info_state state);

/* The newest whole backup of a repository; NULL when there is none. */
const struct backup_entry *info_newest_backup(const struct info_repository *r);

#endif
