/*
 * The walker; see wal_walker.h for what it proves. Records that lie whole within one page of one piece are checked where
 * they are; only the others are gathered, and of them only the first bytes.
 */
#include "pg/wal_walk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "pg/crc32c.h"

static uint64_t
align8(uint64_t v)
{
	return (v + 7) & ~UINT64_C(7);
}

static size_t
smaller(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

int
wal_walker_new(struct wal_walker **out, const struct wal_walk_options *opt, struct err *err)
{
	struct wal_walker *w;

	if (opt->name.kind != WAL_NAME_SEGMENT && opt->name.kind != WAL_NAME_PARTIAL)
		return err_set(err, ERR_BUG, 0, "a WAL walk needs a segment's name");
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return err_set(err, ERR_NOMEM, 0, "no memory for a WAL walk");
	w->opt = *opt;
	w->s.timeline = opt->name.timeline;
	w->limit = WAL_PAGE_LONG;
	*out = w;
	return 0;
}

void
wal_walker_free(struct wal_walker *w)
{
	free(w);
}

static void
note_first(struct wal_walker *w, lsn_t lsn, lsn_t prev)
{
	if (w->s.first_record == 0) {
		w->s.first_record = lsn;
		w->s.first_prev = prev;
	}
}

/* What a record of a kind that matters says. Few records get here. */
static int
look_into(struct wal_walker *w, const uint8_t *rec, size_t have, lsn_t lsn, struct err *err)
{
	struct wal_record_info info = {.lsn = lsn, .end_lsn = w->s.end};

	wal_record_describe(rec, have, w->s.major, &info);
	if (w->expect_overwrite) {
		w->expect_overwrite = false;
		if (info.kind != WAL_RECORD_OVERWRITE || (w->given_up != 0 && info.overwritten != w->given_up))
			return wal_walk_bad(err, "record", lsn, "it should name the record that was given up before it");
		if (w->given_up == 0)
			w->s.head.overwritten = info.overwritten;
	}
	if (info.kind == WAL_RECORD_SWITCH) {
		w->phase = WAL_PHASE_ZEROS;
		info.end_lsn = w->s.end = w->s.start + w->s.segment_size;
	}
	wal_summary_add(&w->s, &info);
	if (w->opt.on_record != NULL)
		w->opt.on_record(&info, w->opt.arg);
	return 0;
}

/* All bytes of a record were seen; crc is the raw state behind its data. */
static int
record_done(struct wal_walker *w, const uint8_t *rec, size_t have, lsn_t lsn, uint32_t crc, struct err *err)
{
	uint32_t says = le32_get(rec + WAL_RECORD_CRC_AT);

	crc = crc32c_final(crc32c_update(crc, rec, WAL_RECORD_CRC_AT));
	if (crc != says)
		return wal_walk_bad(err, "record", lsn, "CRC is %08" PRIX32 ", header says %08" PRIX32, crc, says);
	note_first(w, lsn, le64_get(rec + 8));
	w->prev = w->s.last_record = lsn;
	w->s.n_records++;
	if (rec[17] <= WAL_RMGR_XACT || w->expect_overwrite || w->opt.on_record != NULL)
		return look_into(w, rec, have, lsn, err);
	return 0;
}

static int
check_prev(struct wal_walker *w, const uint8_t *rec, lsn_t lsn, struct err *err)
{
	lsn_t prev = le64_get(rec + 8);
	char says[LSN_TEXT], want[LSN_TEXT];

	if (w->prev != 0 ? prev == w->prev : prev < lsn)
		return 0;
	lsn_format(says, prev);
	lsn_format(want, w->prev);
	return wal_walk_bad(err, "record", lsn, "the record before it is said to be at %s%s%s", says,
	    w->prev != 0 ? ", it is at " : "", w->prev != 0 ? want : "");
}

/* Records that are here as a whole. *used stays 0 when the first one is not; the slow way judges it. */
static int
whole_records(struct wal_walker *w, const uint8_t *p, size_t n, size_t *used, struct err *err)
{
	size_t at = 0;
	int rc = 0;

	while (n - at >= WAL_RECORD_HEADER && w->phase == WAL_PHASE_RECORD) {
		const uint8_t *rec = p + at;
		uint32_t total = le32_get(rec);
		uint64_t aligned = align8(total);
		lsn_t lsn = w->pos + at, old_end = w->s.end;

		if (total < WAL_RECORD_HEADER || aligned > n - at)
			break;
		w->s.end = lsn + aligned;
		rc = check_prev(w, rec, lsn, err);
		if (rc == 0)
			rc = record_done(w, rec, total, lsn,
			    crc32c_update(CRC32C_INIT, rec + WAL_RECORD_HEADER, total - WAL_RECORD_HEADER), err);
		if (rc < 0) {
			w->s.end = old_end;
			break;
		}
		at += aligned;
	}
	*used = at;
	return rc;
}

/* The first 8 bytes of a record are there. */
static int
check_total(struct wal_walker *w, struct err *err)
{
	const struct wal_head *h = &w->s.head;

	w->rec_total = le32_get(w->rec);
	if (w->rec_total >= WAL_RECORD_HEADER && w->rec_total <= WAL_RECORD_MAX)
		return 0;
	if (w->rec_total != 0)
		return wal_walk_bad(err, "record", w->rec_start, "a length of %" PRIu32 " bytes", w->rec_total);
	/* A switch whose header is split by the segment's end leaves 8 or 16 bytes of it here, then zeros. */
	if (w->s.n_records == 0 && (h->expected == 8 || h->expected == 16) && h->end == w->rec_start && le64_get(w->rec) == 0) {
		w->s.head.zeros_follow = true;
		w->s.end = w->s.start + w->s.segment_size;
		w->rec_have = 0;
		w->phase = WAL_PHASE_ZEROS;
		return 0;
	}
	return wal_walk_bad(err, "record", w->rec_start, "there is none: the segment ends here without a switch");
}

/* The record's last byte is at w->pos + take. */
static int
gathered(struct wal_walker *w, size_t take, struct err *err)
{
	lsn_t end = w->pos + take;
	lsn_t old_end = w->s.end;
	int rc;

	w->s.end = align8(end);
	w->pad = (uint32_t)(w->s.end - end);
	w->phase = w->pad > 0 ? WAL_PHASE_PAD : WAL_PHASE_RECORD;
	rc = record_done(w, w->rec, smaller(w->rec_total, sizeof(w->rec)), w->rec_start, w->rec_crc, err);
	if (rc < 0)
		w->s.end = old_end;
	w->rec_have = 0;
	return rc;
}

/* A piece of a record that a page or the caller cut. */
static int
gather(struct wal_walker *w, const uint8_t *p, size_t n, size_t *used, struct err *err)
{
	size_t take;
	int rc = 0;

	if (w->rec_have == 0) {
		w->rec_start = w->pos;
		w->rec_crc = CRC32C_INIT;
	}
	if (w->rec_have < WAL_RECORD_HEADER) {
		take = smaller(n, (w->rec_have < 8 ? 8 : WAL_RECORD_HEADER) - w->rec_have);
		memcpy(w->rec + w->rec_have, p, take);
		w->rec_have += (uint32_t)take;
		if (w->rec_have == 8)
			rc = check_total(w, err);
		else if (w->rec_have == WAL_RECORD_HEADER)
			rc = check_prev(w, w->rec, w->rec_start, err);
	} else {
		take = smaller(n, w->rec_total - w->rec_have);
		if (w->rec_have < sizeof(w->rec))
			memcpy(w->rec + w->rec_have, p, smaller(take, sizeof(w->rec) - w->rec_have));
		w->rec_crc = crc32c_update(w->rec_crc, p, take);
		w->rec_have += (uint32_t)take;
	}
	*used = take;
	if (rc == 0 && w->rec_have >= WAL_RECORD_HEADER && w->rec_have == w->rec_total)
		rc = gathered(w, take, err);
	return rc;
}

static size_t
head_bytes(struct wal_walker *w, const uint8_t *p, size_t n)
{
	struct wal_head *h = &w->s.head;
	size_t take = smaller(n, w->head_left), keep = smaller(take, WAL_KEEP - h->kept);

	memcpy(h->bytes + h->kept, p, keep);
	h->kept += (uint32_t)keep;
	h->crc0 = crc32c_update(h->crc0, p, take);
	h->len += (uint32_t)take;
	w->head_left -= (uint32_t)take;
	if (w->head_left == 0) {
		h->end = w->s.end = align8(w->pos + take);
		w->pad = (uint32_t)(h->end - w->pos - take);
		w->phase = w->pad > 0 ? WAL_PHASE_PAD : WAL_PHASE_RECORD;
	}
	return take;
}

/* What a page holds behind its header. */
static int
page_bytes(struct wal_walker *w, const uint8_t *p, size_t n, size_t *used, struct err *err)
{
	size_t at = 0;
	int rc = 0;

	n = smaller(n, w->page_end - w->pos);
	while (rc == 0 && at < n) {
		size_t take = 0;

		if (w->phase == WAL_PHASE_HEAD) {
			take = head_bytes(w, p + at, n - at);
		} else if (w->phase == WAL_PHASE_PAD) {
			take = smaller(n - at, w->pad);
			w->pad -= (uint32_t)take;
			if (w->pad == 0)
				w->phase = WAL_PHASE_RECORD;
		} else if (w->phase == WAL_PHASE_RECORD) {
			if (w->rec_have == 0)
				rc = whole_records(w, p + at, n - at, &take, err);
			if (rc == 0 && take == 0)
				rc = gather(w, p + at, n - at, &take, err);
		} else {
			break;
		}
		at += take;
		w->pos += take;
	}
	if (rc == 0 && w->pos == w->page_end && (w->phase == WAL_PHASE_RECORD || w->phase == WAL_PHASE_HEAD))
		w->phase = WAL_PHASE_PAGE;
	*used = at;
	return rc;
}

static int
zeros(struct wal_walker *w, const uint8_t *p, size_t n, struct err *err)
{
	if (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] != 0)
			return wal_walk_bad(
			    err, "byte", w->s.start + w->fed + i, "not zero behind the switch that ends the segment");
	}
	return 0;
}

static int
header_bytes(struct wal_walker *w, const uint8_t *p, size_t n, size_t *used, struct err *err)
{
	size_t need = w->begun ? WAL_PAGE_SHORT : WAL_PAGE_LONG;
	int rc;

	*used = smaller(n, need - w->hdr_have);
	memcpy(w->hdr + w->hdr_have, p, *used);
	w->hdr_have += *used;
	if (w->hdr_have < need)
		return 0;
	w->hdr_have = 0;
	if (w->begun)
		return wal_walk_next_page(w, err);
	rc = wal_walk_first_page(w, err);
	w->begun = rc == 0;
	return rc;
}

/* A page of a major that we know, behind a first page that we do not: the first page is damaged, not newer. */
static int
unknown_bytes(struct wal_walker *w, const uint8_t *p, size_t n, size_t *used, struct err *err)
{
	uint32_t page = w->s.page_size != 0 ? w->s.page_size : 8192;
	size_t at = (size_t)(w->fed % page);

	if (at >= 2) {
		*used = smaller(n, page - at);
		return 0;
	}
	*used = 1;
	w->hdr[at] = *p;
	if (at == 1 && wal_magic_major(le16_get(w->hdr)) != 0)
		return wal_walk_bad(err, "page", w->s.start + w->fed - 1, "magic %04" PRIX16 ", the first page has %04" PRIX16,
		    le16_get(w->hdr), w->s.magic);
	return 0;
}

static int
step(struct wal_walker *w, const uint8_t *p, size_t n, size_t *used, struct err *err)
{
	switch (w->phase) {
	case WAL_PHASE_PAGE:
		return header_bytes(w, p, n, used, err);
	case WAL_PHASE_HEAD:
	case WAL_PHASE_PAD:
	case WAL_PHASE_RECORD:
		return page_bytes(w, p, n, used, err);
	case WAL_PHASE_ZEROS:
		*used = n;
		return zeros(w, p, n, err);
	case WAL_PHASE_UNKNOWN:
		return unknown_bytes(w, p, n, used, err);
	case WAL_PHASE_ENDED:
		*used = n;
		return 0;
	}
	return err_set(err, ERR_BUG, 0, "WAL walk in no phase");
}

int
wal_walker_feed(struct wal_walker *w, const void *data, size_t len, struct err *err)
{
	const uint8_t *p = data;

	if (w->failed)
		return err_set(err, ERR_BUG, 0, "a failed WAL walk was fed");
	while (len > 0) {
		bool soft = w->begun && w->opt.mode == WAL_PARTIAL;
		size_t used = 0;
		int rc;

		if (w->fed == w->limit) {
			w->failed = true;
			return err_set(
			    err, ERR_CORRUPT, 0, "WAL segment is longer than the %" PRIu64 " bytes of a segment", w->limit);
		}
		rc = step(w, p, smaller(len, w->limit - w->fed), &used, soft ? NULL : err);
		if (rc < 0 && soft && rc == ERR_CORRUPT) {
			w->phase = WAL_PHASE_ENDED;
			w->rec_have = 0;
			continue;
		}
		if (rc < 0) {
			w->failed = true;
			return rc;
		}
		w->fed += used;
		p += used;
		len -= used;
	}
	return 0;
}

static void
note_tail(struct wal_walker *w)
{
	struct wal_tail *t = &w->s.tail;

	/* a partial segment may be cut anywhere; with less than 8 bytes not even the length is known */
	if (w->rec_have < 8)
		return;
	t->start = w->rec_start;
	t->total = w->rec_total;
	t->have = w->rec_have;
	t->crc = w->rec_crc;
	t->kept = (uint32_t)smaller(w->rec_have, WAL_KEEP);
	memcpy(t->bytes, w->rec, t->kept);
	note_first(w, t->start, t->have >= 16 ? le64_get(w->rec + 8) : 0);
}

int
wal_walker_finish(struct wal_walker *w, struct wal_summary *out, struct err *err)
{
	bool size_known = w->s.segment_size != 0 || w->opt.segment_size != 0;
	char name[WAL_NAME_MAX];

	if (w->failed)
		return err_set(err, ERR_BUG, 0, "a failed WAL walk was finished");
	wal_name_format(name, &w->opt.name);
	if (!w->begun || (w->opt.mode == WAL_COMPLETE && size_known && w->fed != w->limit)) {
		w->failed = true;
		return err_set(
		    err, ERR_CORRUPT, 0, "segment %s: only %" PRIu64 " of %" PRIu64 " bytes", name, w->fed, w->limit);
	}
	note_tail(w);
	*out = w->s;
	return 0;
}
