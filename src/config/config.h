/*
 * The settings of a process, from one file and the conf.d/ beside it. What may stand in them is the table in
 * config/option.h; what does not fit it is ERR_CONFIG with "file:line: ..." and a hint. A config is read-only once loaded.
 */
#ifndef PGCAIRN_CONFIG_CONFIG_H
#define PGCAIRN_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/scope.h"

#define CONFIG_NAME_MAX 63 /* of a cluster or repository: [a-z0-9][a-z0-9_.-]{0,62} */

enum config_checkpoint { CONFIG_CHECKPOINT_FAST, CONFIG_CHECKPOINT_SPREAD };
enum config_compression { CONFIG_COMPRESSION_LZ4, CONFIG_COMPRESSION_ZSTD };
enum config_encryption { CONFIG_ENCRYPTION_ON, CONFIG_ENCRYPTION_NONE };
enum config_promote { CONFIG_PROMOTE_REFUSE, CONFIG_PROMOTE_ALLOW };
enum config_repository_state { CONFIG_REPOSITORY_ACTIVE, CONFIG_REPOSITORY_LOST };

struct config_cluster {
	char *name;
	char *pgdata;           /* NULL when it is not set: what needs it says so */
	char *conninfo;         /* "" when it is not set; may hold a password */
	char *primary_conninfo; /* the same, where conninfo leads to a standby */
	uint64_t max_rate;      /* bytes a second, 0: no limit */
	enum config_checkpoint checkpoint;
	enum config_compression wal_compression, backup_compression;
	enum config_encryption encryption;
};

struct config_repository {
	char *name;
	char *url;
	char *id; /* NULL: not pinned */
	enum config_repository_state state;
};

struct config_words {
	char **words;
	size_t n;
};

/* How many repositories must have a segment before PostgreSQL hears that it is archived. */
struct acknowledge {
	enum { ACKNOWLEDGE_ALL, ACKNOWLEDGE_COUNT, ACKNOWLEDGE_NAMES } mode;
	size_t count; /* of active repositories */
	bool *named;  /* by repository index */
};

struct config {
	/* [pgcairn] */
	char *state_directory;
	char *run_directory;
	enum log_level log_level;
	uint64_t threads; /* 0: see config_threads */

	/* [keys] */
	char *recipients_file;
	char *comparison_key;
	char *identity;
	char *signers_file;
	char *signing_key;

	/* [archive], [restore], [check], [retention] */
	struct config_words acknowledge_words; /* as written; acknowledge is what they mean */
	struct acknowledge acknowledge;
	int64_t archive_timeout_ms;
	int64_t restore_timeout_ms;
	uint64_t restore_prefetch; /* bytes, 0: off */
	char *spool_directory;
	enum config_promote promote_without_archive;
	int64_t backup_max_age_ms;
	int64_t archive_max_age_ms;
	int64_t stuck_after_ms;
	int64_t lag_max_age_ms;
	int64_t pg_wal_full_in_ms;
	uint64_t space_warning, space_critical; /* per cent */
	int64_t identity_copy_within_ms, identity_copy_max_age_ms;
	int64_t retention_window_ms; /* 0: nothing is ever deleted */
	uint64_t retention_minimum;  /* 0: not set */

	uint64_t digest; /* of what the files say: processes with the same one follow the same policy; no protection */

	struct config_cluster *clusters; /* in the order of the files */
	size_t n_clusters;
	struct config_repository *repositories; /* at least one, at least one of them active */
	size_t n_repositories;
};

/* $PGCAIRN_CONFIG, else the pgcairn.conf of this build. Borrowed. */
const char *config_default_path(void);

/*
 * The file at path, then conf.d/NAME.conf in the same directory, in byte order. What is wrong with the settings, a missing or
 * a world-writable file among it, is ERR_CONFIG (never ERR_NOT_FOUND, which could be taken for a missing segment); else
 * ERR_IO or ERR_NOMEM.
 */
int config_load(struct config **out, const char *path, struct err *err);

void config_free(struct config *cfg); /* NULL is fine */

static inline void
scope_config(struct config **cfg)
{
	config_free(*cfg);
}
#define CONFIG_AUTO SCOPE(scope_config)

/*
 * The cluster of that name; with NULL the only one there is. ERR_CONFIG, with the names to choose from, when there is no such
 * one or more than one.
 */
int config_cluster(const struct config *cfg, const char *name, const struct config_cluster **out, struct err *err);

/* NULL when there is none of that name. */
const struct config_repository *config_repository(const struct config *cfg, const char *name);

/* Threads for compression and encryption: what is set, or the processors of this host. */
int config_threads(const struct config *cfg);

/* Is a segment that lies durably in these repositories acknowledged? A repository that is lost never counts. */
bool acknowledge_satisfied(const struct config *cfg, const bool done_by_repository_index[]);

/* The settings in force, defaults included, as INI or as JSON. Secrets are masked. */
int config_print(const struct config *cfg, struct buf *out, bool json, struct err *err);

#endif
