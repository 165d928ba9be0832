/* The edges between WAL segments; see wal_join.h. */
#include "pg/wal_join.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "pg/crc32c.h"

void
wal_join_init(struct wal_join *j)
{
	memset(j, 0, sizeof(*j));
}

__attribute__((format(printf, 3, 4))) static int
bad(struct err *err, const struct wal_summary *s, const char *fmt, ...)
{
	char name[WAL_NAME_MAX], text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wal_segment_name(name, s->timeline, s->start / s->segment_size, s->segment_size);
	return err_set(err, ERR_CORRUPT, 0, "segment %s does not go on where the one before it ends: %s", name, text);
}

/* Summaries come back from storage: their counts are not to be trusted with memory. */
static int
check_sound(const struct wal_summary *s, struct err *err)
{
	const struct wal_head *h = &s->head;
	const struct wal_tail *t = &s->tail;

	if (wal_segment_size_valid(s->segment_size) && h->kept <= WAL_KEEP && h->kept <= h->len && h->len <= h->expected &&
	    t->kept <= WAL_KEEP && t->kept <= t->have &&
	    (t->start == 0 || (t->have >= 8 && t->have < t->total && t->total <= WAL_RECORD_MAX &&
				  t->kept >= (t->have < WAL_RECORD_HEADER ? t->have : WAL_RECORD_HEADER))))
		return 0;
	return err_set(err, ERR_CORRUPT, 0, "the summary of a WAL segment of timeline %" PRIu32 " makes no sense", s->timeline);
}

static int
check_place(const struct wal_join *j, const struct wal_summary *s, struct err *err)
{
	char have[LSN_TEXT], want[LSN_TEXT];

	if (s->sysid != j->sysid || s->segment_size != j->segment_size)
		return bad(err, s, "another system or another segment size");
	lsn_format(have, s->start);
	lsn_format(want, j->next_start);
	if (s->start != j->next_start)
		return bad(err, s, "it begins at %s, not at %s", have, want);
	if (s->first_page_timeline < j->timeline)
		return bad(err, s, "timeline %" PRIu32 " behind timeline %" PRIu32, s->first_page_timeline, j->timeline);
	return 0;
}

/* The head's bytes go to the open record: the header's last bytes first, for the checksum begins behind the header. */
static void
append_head(struct wal_join *j, const struct wal_head *h)
{
	struct wal_tail *o = &j->open;
	uint32_t need = o->have < WAL_RECORD_HEADER ? WAL_RECORD_HEADER - o->have : 0;
	uint32_t keep = WAL_KEEP - o->kept, crc0 = h->crc0;

	if (need > h->len)
		need = h->len;
	/* take the header's bytes out of the sum again */
	crc0 = crc32c_combine(crc32c_update(0, h->bytes, need), crc0, h->len - need);
	o->crc = crc32c_combine(o->crc, crc0, h->len - need);
	if (o->kept == o->have) {
		if (keep > h->kept)
			keep = h->kept;
		memcpy(o->bytes + o->kept, h->bytes, keep);
		o->kept += keep;
	}
	o->have += h->len;
}

/* The open record ended in this segment. */
static int
complete(struct wal_join *j, const struct wal_summary *s, struct err *err)
{
	struct wal_tail *o = &j->open;
	struct wal_record_info *r = &j->spilled;
	char lsn[LSN_TEXT], prev[LSN_TEXT];
	uint32_t crc, says;
	bool is_switch;

	if (!j->open_known) {
		j->last_record = 0;
		return 0;
	}
	crc = crc32c_final(crc32c_update(o->crc, o->bytes, WAL_RECORD_CRC_AT));
	says = le32_get(o->bytes + WAL_RECORD_CRC_AT);
	lsn_format(lsn, o->start);
	if (crc != says)
		return bad(err, s, "record at %s: CRC is %08" PRIX32 ", header says %08" PRIX32, lsn, crc, says);
	r->lsn = o->start;
	r->end_lsn = s->head.end;
	wal_record_describe(o->bytes, o->kept, s->major, r);
	lsn_format(prev, r->prev);
	if (j->last_record != 0 && r->prev != j->last_record)
		return bad(err, s, "record at %s: the record before it is said to be at %s", lsn, prev);
	is_switch = r->kind == WAL_RECORD_SWITCH;
	if (is_switch)
		r->end_lsn = s->start + s->segment_size;
	if (is_switch != s->head.zeros_follow)
		return bad(err, s, "record at %s is %s switch, behind it there is %s", lsn, is_switch ? "a" : "no",
		    s->head.zeros_follow ? "nothing" : "more");
	j->last_record = o->start;
	j->has_spilled = true;
	return 0;
}

/* The head's first bytes are sealed where summaries are stored: without them a header that the edge splits stays unknown. */
static bool
has_header_rest(const struct wal_join *j, const struct wal_head *h)
{
	uint32_t need = j->open.have < WAL_RECORD_HEADER ? WAL_RECORD_HEADER - j->open.have : 0;

	return h->kept >= (need < h->len ? need : h->len);
}

static int
take_head(struct wal_join *j, const struct wal_summary *s, struct err *err)
{
	const struct wal_head *h = &s->head;
	char lsn[LSN_TEXT];

	lsn_format(lsn, h->overwritten);
	if (h->expected != j->open_left && !(h->abandoned && h->expected == 0))
		return bad(
		    err, s, "%" PRIu32 " bytes of a record should go on, the page says %" PRIu32, j->open_left, h->expected);
	if (h->abandoned) {
		if (j->open_left == 0)
			return bad(err, s, "it gives up a record where none goes on");
		if (j->open_known && h->overwritten != 0 && h->overwritten != j->open.start)
			return bad(err, s, "it gives up the record at %s, which is not the one that goes on", lsn);
		j->open_left = 0;
		return 0;
	}
	if (j->open_left == 0)
		return 0;
	if (j->open_known && !has_header_rest(j, h))
		j->open_known = false;
	if (j->open_known)
		append_head(j, h);
	j->open_left -= h->len;
	return j->open_left == 0 ? complete(j, s, err) : 0;
}

static int
take_records(struct wal_join *j, const struct wal_summary *s, struct err *err)
{
	bool prev_seen = s->n_records > 0 || (s->tail.start != 0 && s->tail.have >= 16);
	char have[LSN_TEXT], want[LSN_TEXT];

	if (s->first_record != 0 && prev_seen && j->last_record != 0 && s->first_prev != j->last_record) {
		lsn_format(have, s->first_prev);
		lsn_format(want, j->last_record);
		(void)bad(err, s, "the record before its first is said to be at %s, it is at %s", have, want);
		if (s->first_prev == 0)
			(void)err_hint(err, "WAL was reset here (pg_resetwal): take a new base backup");
		return ERR_CORRUPT;
	}
	if (s->last_record != 0)
		j->last_record = s->last_record;
	if (s->tail.start != 0) {
		j->open = s->tail;
		j->open_left = s->tail.total - s->tail.have;
		j->open_known = true;
	}
	return 0;
}

int
wal_join_next(struct wal_join *j, const struct wal_summary *s, struct err *err)
{
	struct wal_join n = *j;
	int rc;

	n.has_spilled = false;
	if (!s->verified) {
		wal_join_init(j);
		j->started = true;
		return 0;
	}
	rc = check_sound(s, err);
	if (rc == 0 && n.known) {
		rc = check_place(&n, s, err);
		if (rc == 0)
			rc = take_head(&n, s, err);
	} else if (rc == 0) {
		n.last_record = 0;
		n.open_known = false;
		n.open_left = s->head.abandoned ? 0 : s->head.expected - s->head.len;
	}
	if (rc == 0)
		rc = take_records(&n, s, err);
	if (rc < 0)
		return rc;
	n.started = n.known = true;
	n.sysid = s->sysid;
	n.segment_size = s->segment_size;
	n.next_start = s->start + s->segment_size;
	n.timeline = s->last_page_timeline;
	*j = n;
	return 0;
}

int
wal_join_check(const struct wal_summary *prev, const struct wal_summary *next, struct err *err)
{
	struct wal_join j;
	int rc;

	wal_join_init(&j);
	rc = wal_join_next(&j, prev, err);
	return rc < 0 ? rc : wal_join_next(&j, next, err);
}
