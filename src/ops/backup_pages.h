/*
 * Page checksums on the way through. A page that fails, and that WAL will not replace, is read again from PGDATA: the server
 * may have been writing it. What stays bad is named; it never ends the backup, because the rest is worth having.
 */
#ifndef PGCAIRN_OPS_BACKUP_PAGES_H
#define PGCAIRN_OPS_BACKUP_PAGES_H

#include "ops/backup_server.h"
#include "pg/page.h"

#define BACKUP_PAGE_TRIES 5
#define BACKUP_PAGE_PAUSE_MS 20
#define BACKUP_PAGE_PATIENCE                                                                                                   \
	100 /* pages that get all tries; behind that one each, so that a rotten disk does not take days                        \
	     */

struct backup_pages {
	struct backup_server *server; /* borrowed */
	lsn_t start;                  /* of the backup */
	lsn_t newest;                 /* where the server was when last asked */
	unsigned suspects;

	/* the current file */
	bool active;
	char path[4096]; /* in PGDATA, absolute */
	struct page_file file;
	uint32_t block; /* the next one, absolute in its fork */
	size_t fill;
	uint32_t *bad; /* blocks */
	size_t n_bad, cap;
	uint8_t page[PG_PAGE_BYTES];
};

void backup_pages_begin(struct backup_pages *p, const char *path); /* relative to PGDATA */
int backup_pages_data(struct backup_pages *p, const uint8_t *bytes, size_t len, struct err *err);
void backup_pages_end(struct backup_pages *p); /* bad and n_bad stay until the next begin */
void backup_pages_free(struct backup_pages *p);

#endif
