/*
 * Will the restored server start on this host, and mean the same? What is known before somebody starts it: limits that the
 * original raised and the configuration lacks, libraries that are not installed, another C library that sorts otherwise.
 * Nothing of this stops a restore: the operator decides, and is told with the lines to write.
 */
#ifndef PGCAIRN_OPS_RESTORE_HOST_H
#define PGCAIRN_OPS_RESTORE_HOST_H

#include "ops/plan.h"
#include "ops/restore_entries.h"
#include "pg/limits.h"

struct restore_host {
	struct server_limits needed; /* by pg_control and by the WAL up to the target */
	bool has_configured;
	struct server_limits configured; /* as the server will read them; a restore knows it, a dry run does not */
	const char *collation;           /* "same", "differs", "unknown" */
	struct err *warnings;            /* message and remedy */
	size_t n_warnings;
};

void restore_host_free(struct restore_host *h);

/* A warning more; one that finds no memory is dropped. */
struct err *restore_host_warn(struct restore_host *h);

/* What the backup and the WAL say: limits, from pg_control's bytes and the plan's links. */
int restore_host_limits(struct restore_host *h, const struct plan *plan, const uint8_t *control, size_t len, struct err *err);

/* Collation versions of the backup, as its manifest's sealed part has them (NULL: it does not), against this host's. */
void restore_host_collation(struct restore_host *h, const json_t *sealed);

/*
 * Ask the server program of this major how it would read the configuration of the restored directory: everything but
 * pg_control is there. Compares limits and looks for libraries.
 */
void restore_host_settings(struct restore_host *h, const char *pgdata, unsigned major, const struct restore_entries *e);

#endif
