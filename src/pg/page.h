/*
 * Data pages: PostgreSQL's checksum, and which files consist of such pages.
 *
 * Follows src/include/storage/checksum_impl.h (the same algorithm in 14 to 19), bufpage.h and relpath.c, for the usual 8 KiB
 * pages in segments of 1 GiB; a caller checks with pg_control that the cluster is built so, and that checksums are on. Pages
 * are read in the byte order of this machine, as PostgreSQL writes them.
 */
#ifndef PGCAIRN_PG_PAGE_H
#define PGCAIRN_PG_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/lsn.h"

#define PG_PAGE_BYTES 8192
#define PG_SEGMENT_PAGES 131072 /* of one file of a relation */

enum page_state {
	PAGE_OK,
	PAGE_NEW,   /* all zero: added to the relation, never written */
	PAGE_NEWER, /* wrong checksum, but written since the backup began: perhaps torn, and WAL holds a whole image */
	PAGE_BAD,
};

/* The checksum that the page should carry; what it carries itself does not count. The pointer needs no alignment. */
uint16_t page_checksum(const uint8_t page[PG_PAGE_BYTES], uint32_t blkno);

lsn_t page_lsn(const uint8_t page[PG_PAGE_BYTES]);

/*
 * blkno is absolute within the fork. start_lsn: where the backup began. max_lsn: a position that no page can be beyond, so that
 * garbage in the LSN's place is not taken for a recent write; 0 when none is known. A page whose header says new (pd_upper is
 * 0) is PAGE_NEW when it is all zero, else PAGE_BAD.
 */
enum page_state page_check(const uint8_t page[PG_PAGE_BYTES], uint32_t blkno, lsn_t start_lsn, lsn_t max_lsn);

enum page_fork { PAGE_FORK_MAIN, PAGE_FORK_FSM, PAGE_FORK_VM, PAGE_FORK_INIT };

struct page_file {
	uint32_t relation; /* the file's number (relfilenode) */
	enum page_fork fork;
	uint32_t segment;
	uint32_t first_block; /* within the fork: segment * PG_SEGMENT_PAGES */
};

/*
 * Is this a file of checksummed pages? The path is as in a backup: base/5/123_vm.1, global/1260,
 * pg_tblspc/16400/PG_15_.../5/123, or PG_15_.../5/123 as in a tablespace's own archive. Names are strict: no leading zeros, no
 * segment ".0". False for all else, and for temporary relations (t3_123): a dead session leaves them half-written, and the
 * server does not send them.
 */
bool page_relation_path(const char *path, struct page_file *out);

#endif
