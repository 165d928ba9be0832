/*
 * backup_label and the .backup history file that a primary archives when a backup stops. Follows build_backup_content and
 * read_backup_label in src/backend/access/transam/ of PostgreSQL 14 to 18.
 *
 * The server reads backup_label with strict line ends; a file that it would misread is refused here. Never write one: pass
 * the server's bytes on as they are.
 */
#ifndef PGCAIRN_PG_LABEL_H
#define PGCAIRN_PG_LABEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "pg/lsn.h"

#define LABEL_TEXT_MAX 1025 /* what PostgreSQL allows, and a NUL */
#define LABEL_FILE_MAX 8192

struct label {
	lsn_t start_lsn;
	char start_segment[25];
	lsn_t checkpoint_lsn;
	bool from_standby;
	char start_time[64]; /* as the server prints it, in its log_timezone: for people */
	char text[LABEL_TEXT_MAX];
	timeline_t start_timeline;

	bool has_stop; /* a .backup file */
	lsn_t stop_lsn;
	char stop_segment[25];
	char stop_time[64];
	timeline_t stop_timeline;

	bool incremental; /* 17 and later: cannot be started, only combined */
	lsn_t incremental_lsn;
	timeline_t incremental_timeline;
};

/* ERR_CORRUPT names the line. Unknown lines behind the known ones are passed over. */
int label_parse(struct label *out, const char *data, size_t len, struct err *err);

#endif
