/* What the two halves of the walker share: wal_walker.c reads records, wal_walk_page.c page headers. For them only. */
#ifndef PGCAIRN_PG_WAL_WALK_H
#define PGCAIRN_PG_WAL_WALK_H

#include "pg/wal_page.h"
#include "pg/wal_walker.h"

/* Enough for a prepared transaction's number behind a few lists, when its record crosses pages. */
#define WAL_GATHER 2048

enum wal_phase {
	WAL_PHASE_PAGE,    /* a page header comes next */
	WAL_PHASE_HEAD,    /* the rest of an earlier segment's record */
	WAL_PHASE_PAD,     /* alignment */
	WAL_PHASE_RECORD,  /* a record, or the rest of one */
	WAL_PHASE_ZEROS,   /* behind a switch */
	WAL_PHASE_ENDED,   /* partial: behind the first byte that is not WAL */
	WAL_PHASE_UNKNOWN, /* a major that we do not know */
};

struct wal_walker {
	struct wal_walk_options opt;
	struct wal_summary s;
	enum wal_phase phase;
	bool begun; /* the first page header was accepted */
	bool failed;
	uint64_t fed;   /* bytes so far */
	uint64_t limit; /* bytes that may come in all */
	lsn_t pos, page_end;
	uint32_t head_left, pad;
	lsn_t prev; /* start of the last complete record; 0 not known */

	/* a record that is not there as a whole; rec_have 0: none */
	lsn_t rec_start;
	uint32_t rec_total, rec_have, rec_crc;
	uint8_t rec[WAL_GATHER];

	bool expect_overwrite; /* the next record must say which one was given up */
	lsn_t given_up;        /* start of that one; 0 when it began in an earlier segment */

	size_t hdr_have;
	uint8_t hdr[WAL_PAGE_LONG];
};

/* "what at LSN: text", ERR_CORRUPT */
int wal_walk_bad(struct err *err, const char *what, lsn_t at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The header in w->hdr: judge it and set the phase for what comes behind it. */
int wal_walk_first_page(struct wal_walker *w, struct err *err);
int wal_walk_next_page(struct wal_walker *w, struct err *err);

#endif
