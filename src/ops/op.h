/*
 * What every verb works with: the configuration, one cluster of it, where to log, and how to open repositories and keys as the
 * configuration says. A verb is one file in ops/; it returns errors as values and leaves exit codes and printing to its caller.
 */
#ifndef PGCAIRN_OPS_OP_H
#define PGCAIRN_OPS_OP_H

#include "base/log.h"
#include "config/config.h"
#include "ops/guards.h"
#include "repo/keyring.h"
#include "repo/writer.h"

struct op {
	const struct config *config;
	const struct config_cluster *cluster;
	const struct log *log;
	struct worker_pool *pool; /* NULL: everything on the caller's thread */
	/*
	 * NULL: an operation of a repository takes as long as it takes. Else one that hangs is given up (ops/guards.h), and a
	 * thread stays behind in it: only a process that another one watches may want that, since it may not be able to end.
	 */
	struct guards *guards;
	bool guards_open_only; /* they watch the opening, and no operation after it: see guards.h for what that spares */
};

/* Reports how far long work is; done and total in bytes, total 0 when not known. Both members may be NULL. */
struct op_progress {
	void (*update)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

/* Opened with the id and the first signer that this host has pinned. */
int op_open_repository(
    const struct op *op, const struct config_repository *c, const char *expected_id, struct repository **out, struct err *err);

/* A repository that is written to: checked against the writer's keys where one is given. */
int op_open_target(
    const struct op *op, const struct config_repository *c, const struct writer *w, struct repository **out, struct err *err);

/* One cluster, whatever the repository: a name alone does not make two the same. ERR_CONFIG when it is not. */
int op_same_cluster(const struct op *op, const struct fanout *f, struct err *err);

/*
 * Every active repository, checked against the writer's keys where one is given. One that does not open is a failed target and
 * logged as a warning; the last error comes back only when none opens.
 */
int op_open_fanout(const struct op *op, const struct writer *w, struct fanout **out, struct err *err);

/* ERR_CONFIG when the policy is not met by the targets that are done; the message names those that are not. */
int op_acknowledged(const struct op *op, const struct fanout *f, struct err *err);

/* encryption = none is said by every verb that writes or reads data. */
void op_warn_unencrypted(const struct op *op);

int op_open_writer(const struct op *op, struct writer **out, struct err *err);

/* With the configured identity; a missing identity file is an empty ring, other trouble with it an error. */
int op_open_keyring(const struct op *op, struct keyring **out, struct err *err);

/* Started by root, go on as the owner of PGDATA: what is made in a repository must be the server's. Needs pgdata. */
int op_become_owner(const struct op *op, struct err *err);

/* The same as the owner of the state directory: for what is decided there. ERR_CONFIG with a hint when there is none yet. */
int op_become_state_owner(const struct op *op, struct err *err);

/* ERR_CONFIG with a hint when the cluster has no pgdata. */
int op_need_pgdata(const struct op *op, struct err *err);

/* Where this host remembers the id of a repository. A new string, NULL when memory is out. */
char *op_pin_path(const struct op *op, const char *repository);

#endif
