/*
 * The header of a WAL page. Follows src/include/access/xlog_internal.h of PostgreSQL 14 to 18, where the layout is the
 * same: 24 bytes on every page, 40 on the first page of a segment. 19 gives the info bits other meanings.
 */
#ifndef PGCAIRN_PG_WAL_PAGE_H
#define PGCAIRN_PG_WAL_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/lsn.h"

#define WAL_PAGE_SHORT 24
#define WAL_PAGE_LONG 40

#define WAL_PAGE_CONTRECORD 0x0001 /* begins with the rest of a record */
#define WAL_PAGE_LONG_HEADER 0x0002
#define WAL_PAGE_REMOVABLE 0x0004 /* says nothing about what is in it */
#define WAL_PAGE_OVERWRITE 0x0008 /* the record that should go on here was given up */
#define WAL_PAGE_INFO_MASK 0x000F

struct wal_page_header {
	uint16_t magic;
	uint16_t info;
	timeline_t timeline;
	lsn_t address;
	uint32_t rem_len; /* bytes of the record that goes on here, to its end */
	/* 0 without the long form */
	uint64_t sysid;
	uint32_t segment_size;
	uint32_t page_size;
};

/* p holds WAL_PAGE_LONG bytes when long_form, else WAL_PAGE_SHORT. Checks nothing. */
void wal_page_parse(const uint8_t *p, bool long_form, struct wal_page_header *out);

/* 14 to 18; 0 for a magic that none of them writes. */
int wal_magic_major(uint16_t magic);
/* True for a number that a later major may well use; everything else is not WAL, or WAL of before 14. */
bool wal_magic_newer(uint16_t magic);

bool wal_page_size_valid(uint32_t size); /* 1 to 64 KiB, a power of two */

#endif
