/*
 * gap: the way out for a file of WAL that archiving refuses, which loses nothing. Its bytes go into quarantine in every
 * repository that the acknowledge policy asks for, with a signed record of who gave it up and why; from then on archiving
 * answers 0 for exactly that content under that name. Recovery never gets these bytes: it stops there, and the restorable
 * windows do, until the next base backup. A good copy that is archived under the name later closes the gap.
 */
#ifndef PGCAIRN_OPS_GAP_H
#define PGCAIRN_OPS_GAP_H

#include "ops/archive_source.h"
#include "ops/survey.h"
#include "repo/gap.h"

struct gap_options {
	const char *segment; /* a path, or the name of a file in pg_wal */
	const char *reason;
	bool dry_run;
};

struct gap_result {
	struct gap_record record;
	size_t stored;  /* repositories that got it now */
	size_t existed; /* repositories that had it already */
};

/*
 * ERR_REFUSED when the file is fine, is not this server's, or is a timeline's history; ERR_CONFIG for a name that no server
 * uses; else as archive_file.
 */
int gap_record(const struct op *op, const struct gap_options *o, struct gap_result *result, struct err *err);

/* What one repository has. */
struct gap_row {
	struct gap_record record;
	const char *repository; /* borrowed from the configuration */
	bool healed;            /* a good copy lies under the name there */
};

struct gap_rows {
	struct gap_row *list;
	size_t n;
	struct survey survey; /* who was silent: a gap that is not seen would look like none */
};

/* Of every active repository that answers; an error when none does. */
int gap_list(const struct op *op, struct gap_rows *rows, struct err *err);
void gap_rows_free(struct gap_rows *rows);

/*
 * For archive: marks the targets that have exactly this content as given up, durable, and fills found. The number of them; 0
 * also when it cannot be told.
 */
size_t gap_accepts(const struct op *op, struct fanout *f, struct archive_source *source, const struct secret *comparison,
    struct gap_record *found);

#endif
