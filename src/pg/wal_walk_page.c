/* Page headers for the walker. A header is the only place that says whose WAL this is, so it is judged first. */
#include "pg/wal_walk.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
wal_walk_bad(struct err *err, const char *what, lsn_t at, const char *fmt, ...)
{
	char lsn[LSN_TEXT], text[256];
	va_list ap;

	if (err == NULL)
		return ERR_CORRUPT;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	lsn_format(lsn, at);
	return err_set(err, ERR_CORRUPT, 0, "%s at %s: %s", what, lsn, text);
}

static bool
all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Whose segment is it, and which one? Only with sizes that make sense. */
static int
check_origin(struct wal_walker *w, const struct wal_page_header *h, struct err *err)
{
	const struct wal_walk_options *o = &w->opt;
	char name[WAL_NAME_MAX], real[WAL_NAME_MAX];
	lsn_t start;

	wal_name_format(name, &o->name);
	if (o->sysid != 0 && h->sysid != o->sysid) {
		(void)err_set(
		    err, ERR_REFUSED, 0, "segment %s belongs to system %" PRIu64 ", not to %" PRIu64, name, h->sysid, o->sysid);
		(void)err_hint(err, "another cluster archives here, or this one was made anew by initdb or pg_upgrade");
		return ERR_REFUSED;
	}
	if (o->segment_size != 0 && h->segment_size != o->segment_size)
		return err_set(err, ERR_CORRUPT, 0,
		    "segment %s: the first page says segments of %" PRIu32 " bytes, expected are %" PRIu32, name,
		    h->segment_size, o->segment_size);
	if (!wal_name_fits(&o->name, h->segment_size))
		return err_set(
		    err, ERR_CORRUPT, 0, "segment %s: no such name with segments of %" PRIu32 " bytes", name, h->segment_size);
	start = wal_segment_start(wal_name_segno(&o->name, h->segment_size), h->segment_size);
	if (h->address != start) {
		wal_segment_name(real, h->timeline, h->address / h->segment_size, h->segment_size);
		(void)err_set(err, ERR_CORRUPT, 0, "segment %s: its first page is that of %s", name, real);
		(void)err_hint(err, "a recycled file that was not written to yet, or a file under a wrong name");
		return ERR_CORRUPT;
	}
	w->s.sysid = h->sysid;
	w->s.segment_size = h->segment_size;
	w->s.page_size = h->page_size;
	w->s.start = start;
	w->limit = h->segment_size;
	return 0;
}

static int
check_timeline(struct wal_walker *w, const struct wal_page_header *h, lsn_t at, struct err *err)
{
	if (h->timeline == 0 || h->timeline > w->opt.name.timeline)
		return wal_walk_bad(err, "page", at, "timeline %" PRIu32 " in a segment of timeline %" PRIu32, h->timeline,
		    w->opt.name.timeline);
	if (h->timeline < w->s.last_page_timeline)
		return wal_walk_bad(
		    err, "page", at, "timeline %" PRIu32 " behind timeline %" PRIu32, h->timeline, w->s.last_page_timeline);
	w->s.last_page_timeline = h->timeline;
	return 0;
}

static int
unknown_major(struct wal_walker *w, const struct wal_page_header *h, struct err *err)
{
	char name[WAL_NAME_MAX];
	int rc = 0;

	wal_name_format(name, &w->opt.name);
	if (all_zero(w->hdr, WAL_PAGE_LONG))
		return err_set(err, ERR_CORRUPT, 0, "segment %s: the first page is empty", name);
	if (!wal_magic_newer(h->magic)) {
		(void)err_set(err, ERR_CORRUPT, 0, "segment %s: page magic %04" PRIX16 " is not of PostgreSQL 14 or later",
		    name, h->magic);
		(void)err_hint(err, "the file is not WAL, or it was compressed or encrypted before");
		return ERR_CORRUPT;
	}
	if (wal_segment_size_valid(h->segment_size) && wal_page_size_valid(h->page_size))
		rc = check_origin(w, h, err);
	else
		w->limit = w->opt.segment_size != 0 ? w->opt.segment_size : UINT64_C(1) << 30;
	w->phase = WAL_PHASE_UNKNOWN;
	return rc;
}

/* Where does the first record of this page begin? */
static int
first_continuation(struct wal_walker *w, const struct wal_page_header *h, struct err *err)
{
	bool goes_on = (h->info & WAL_PAGE_CONTRECORD) != 0, given_up = (h->info & WAL_PAGE_OVERWRITE) != 0;

	w->phase = WAL_PHASE_RECORD;
	if (goes_on && given_up)
		return wal_walk_bad(err, "page", h->address, "a record goes on and is given up at once");
	if (!goes_on && h->rem_len != 0)
		return wal_walk_bad(err, "page", h->address, "%" PRIu32 " bytes of a record that does not go on", h->rem_len);
	if (given_up) {
		w->expect_overwrite = true;
		w->s.head.abandoned = true;
	}
	if (goes_on) {
		if (h->rem_len == 0 || h->rem_len > WAL_RECORD_MAX)
			return wal_walk_bad(err, "page", h->address, "a record goes on for %" PRIu32 " bytes", h->rem_len);
		w->head_left = w->s.head.expected = h->rem_len;
		w->phase = WAL_PHASE_HEAD;
	}
	return 0;
}

int
wal_walk_first_page(struct wal_walker *w, struct err *err)
{
	struct wal_page_header h;
	char name[WAL_NAME_MAX];
	int rc;

	wal_page_parse(w->hdr, true, &h);
	w->s.magic = h.magic;
	w->s.major = wal_magic_major(h.magic);
	if (w->s.major == 0)
		return unknown_major(w, &h, err);
	wal_name_format(name, &w->opt.name);
	if ((h.info & WAL_PAGE_LONG_HEADER) == 0 || (h.info & ~WAL_PAGE_INFO_MASK) != 0)
		return err_set(err, ERR_CORRUPT, 0, "segment %s: flags %04" PRIX16 " on the first page", name, h.info);
	if (!wal_segment_size_valid(h.segment_size) || !wal_page_size_valid(h.page_size))
		return err_set(err, ERR_CORRUPT, 0,
		    "segment %s: the first page says segments of %" PRIu32 " and pages of %" PRIu32 " bytes", name,
		    h.segment_size, h.page_size);
	rc = check_origin(w, &h, err);
	if (rc == 0)
		rc = check_timeline(w, &h, h.address, err);
	if (rc < 0)
		return rc;
	w->s.verified = true;
	w->s.first_page_timeline = h.timeline;
	w->pos = h.address + WAL_PAGE_LONG;
	w->page_end = h.address + h.page_size;
	return first_continuation(w, &h, err);
}

/* A record was given up in a crash; what follows says so with a record of its own. */
static void
give_up(struct wal_walker *w)
{
	if (w->head_left > 0)
		w->s.head.abandoned = true;
	w->given_up = w->head_left > 0 ? 0 : w->rec_start;
	w->expect_overwrite = true;
	w->head_left = 0;
	w->rec_have = 0;
}

static int
next_continuation(struct wal_walker *w, const struct wal_page_header *h, struct err *err)
{
	bool goes_on = (h->info & WAL_PAGE_CONTRECORD) != 0, given_up = (h->info & WAL_PAGE_OVERWRITE) != 0;
	uint32_t left = w->head_left > 0 ? w->head_left : w->rec_have > 0 ? w->rec_total - w->rec_have : 0;

	if (goes_on && given_up)
		return wal_walk_bad(err, "page", h->address, "a record goes on and is given up at once");
	if (given_up) {
		if (left == 0 || h->rem_len != 0)
			return wal_walk_bad(err, "page", h->address, "gives up a record where none goes on");
		give_up(w);
		left = 0;
	}
	if (h->rem_len != left || goes_on != (left > 0))
		return wal_walk_bad(err, "page", h->address,
		    "%" PRIu32 " bytes of a record should go on here, the page says %" PRIu32 "%s", left, h->rem_len,
		    goes_on ? "" : " and no record");
	return 0;
}

int
wal_walk_next_page(struct wal_walker *w, struct err *err)
{
	struct wal_page_header h;
	char real[WAL_NAME_MAX];
	lsn_t at = w->pos;
	int rc;

	wal_page_parse(w->hdr, false, &h);
	if (all_zero(w->hdr, WAL_PAGE_SHORT))
		return wal_walk_bad(err, "page", at, "it is empty: the segment ends here without a switch");
	if (h.magic != w->s.magic)
		return wal_walk_bad(err, "page", at, "magic %04" PRIX16 ", the first page has %04" PRIX16, h.magic, w->s.magic);
	if (h.address != at) {
		wal_segment_name(real, h.timeline, h.address / w->s.segment_size, w->s.segment_size);
		(void)wal_walk_bad(err, "page", at, "it says that it is a page of %s", real);
		(void)err_hint(err, "a recycled file that was not written to its end");
		return ERR_CORRUPT;
	}
	if ((h.info & WAL_PAGE_LONG_HEADER) != 0 || (h.info & ~WAL_PAGE_INFO_MASK) != 0)
		return wal_walk_bad(err, "page", at, "flags %04" PRIX16, h.info);
	rc = check_timeline(w, &h, at, err);
	if (rc == 0)
		rc = next_continuation(w, &h, err);
	if (rc < 0)
		return rc;
	w->pos = at + WAL_PAGE_SHORT;
	w->page_end = at + w->s.page_size;
	w->phase = w->head_left > 0 ? WAL_PHASE_HEAD : WAL_PHASE_RECORD;
	return 0;
}
