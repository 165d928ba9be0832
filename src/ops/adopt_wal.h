/* The WAL side of adopt: is the timeline free, and what of it has the archive still to get? */
#ifndef PGCAIRN_OPS_ADOPT_WAL_H
#define PGCAIRN_OPS_ADOPT_WAL_H

#include "ops/adopt.h"
#include "pg/control.h"

/*
 * No repository has anything of the copy's timeline, and this host never saw its history file. A copy does not archive, so what
 * is there is another server's: ERR_REFUSED. A selected repository that does not open is an error.
 */
int adopt_wal_require_free(
    const struct op *op, const struct fetch_options *repositories, const struct control *control, struct err *err);

/* Fills segments and complete: the timeline's finished segments in pg_wal, from the one that holds the fork. */
int adopt_wal_count(const char *pgdata, const struct control *control, struct adopt_result *result, struct err *err);

/* Have the server archive them, and the history file: a durable .ready for each. Repeating it changes nothing. */
int adopt_wal_mark(const char *pgdata, const struct control *control, const struct adopt_result *result, struct err *err);

#endif
