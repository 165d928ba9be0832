#include "repo/wal_object.h"

#include <inttypes.h>

#include "base/str.h"
#include "codec/object.h"

uint8_t
wal_object_kind(const struct wal_name *name)
{
	static const uint8_t kinds[] = {
	    [WAL_NAME_SEGMENT] = OBJECT_WAL,
	    [WAL_NAME_PARTIAL] = OBJECT_WAL_PARTIAL,
	    [WAL_NAME_BACKUP_HISTORY] = OBJECT_BACKUP_HISTORY,
	    [WAL_NAME_HISTORY] = OBJECT_TIMELINE_HISTORY,
	};

	return kinds[name->kind];
}

/* Collects failures of jansson's setters, which all mean the same: memory is out. */
struct maker {
	json_t *o;
	bool failed;
};

static void
put(struct maker *m, const char *member, json_t *value)
{
	if (json_object_set_new(m->o, member, value) < 0)
		m->failed = true;
}

static void
put_lsn(struct maker *m, const char *member, lsn_t lsn)
{
	char text[LSN_TEXT];

	if (lsn == 0)
		return;
	lsn_format(text, lsn);
	put(m, member, json_string(text));
}

static void
put_hex(struct maker *m, const char *member, const uint8_t *data, size_t len)
{
	if (json_set_hex(m->o, member, data, len) < 0)
		m->failed = true;
}

static json_t *
head_json(const struct wal_head *h)
{
	struct maker m = {.o = json_object()};

	put(&m, "expected", json_integer(h->expected));
	put(&m, "length", json_integer(h->len));
	put(&m, "crc0", json_integer(h->crc0));
	put_lsn(&m, "end", h->end);
	if (h->abandoned)
		put(&m, "abandoned", json_true());
	put_lsn(&m, "overwritten", h->overwritten);
	if (h->zeros_follow)
		put(&m, "zeros_follow", json_true());
	return m.o;
}

static json_t *
tail_json(const struct wal_tail *t)
{
	struct maker m = {.o = json_object()};
	uint32_t kept = t->kept < WAL_RECORD_HEADER ? t->kept : WAL_RECORD_HEADER;

	put_lsn(&m, "start", t->start);
	put(&m, "total", json_integer(t->total));
	put(&m, "length", json_integer(t->have));
	put(&m, "crc", json_integer(t->crc));
	put_hex(&m, "header", t->bytes, kept);
	return m.o;
}

static void
put_times(struct maker *m, const struct wal_summary *s)
{
	put(m, "commits", json_integer((json_int_t)s->commit_count));
	if (s->commit_count == 0)
		return;
	put(m, "first_time", json_integer(s->first_time_us));
	put(m, "last_time", json_integer(s->last_time_us));
	put(m, "min_time", json_integer(s->min_time_us));
	put(m, "max_time", json_integer(s->max_time_us));
	put(m, "min_xid", json_integer(s->min_xid));
	put(m, "max_xid", json_integer(s->max_xid));
	if (s->xid_unknown)
		put(m, "xid_unknown", json_true());
}

static json_t *
limits_json(const struct server_limits *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < SERVER_LIMITS; i++)
		json_array_append_new(list, json_integer(l->v[i]));
	return list;
}

static void
put_summary(struct maker *m, const struct wal_summary *s)
{
	char sysid[24];

	(void)snprintf(sysid, sizeof(sysid), "%" PRIu64, s->sysid);
	put(m, "verified", json_boolean(s->verified));
	put(m, "magic", json_integer(s->magic));
	put(m, "major", json_integer(s->major));
	put(m, "system_identifier", json_string(sysid));
	put(m, "timeline", json_integer(s->timeline));
	put(m, "first_page_timeline", json_integer(s->first_page_timeline));
	put(m, "last_page_timeline", json_integer(s->last_page_timeline));
	put(m, "page_size", json_integer(s->page_size));
	put_lsn(m, "start", s->start);
	put(m, "records", json_integer((json_int_t)s->n_records));
	put_lsn(m, "first_record", s->first_record);
	put_lsn(m, "first_prev", s->first_prev);
	put_lsn(m, "last_record", s->last_record);
	put_lsn(m, "end", s->end);
	if (s->contains_switch)
		put(m, "switch", json_true());
	if (s->head.expected != 0 || s->head.abandoned)
		put(m, "head", head_json(&s->head));
	if (s->tail.start != 0)
		put(m, "tail", tail_json(&s->tail));
	put_times(m, s);
	put(m, "restore_points", json_integer((json_int_t)s->point_count));
	if (s->wal_level_minimal)
		put(m, "wal_level_minimal", json_true());
	if (s->has_limits)
		put(m, "limits", limits_json(&s->limits));
}

static json_t *
points_json(const struct wal_summary *s)
{
	json_t *list = json_array();

	for (uint64_t i = 0; i < s->point_count && i < WAL_POINTS_KEPT; i++) {
		struct maker m = {.o = json_object()};
		const char *name = s->points[i].name;
		json_t *text = json_string(name);

		if (text != NULL)
			put(&m, "name", text);
		else /* not UTF-8 */
			put_hex(&m, "name_hex", (const uint8_t *)name, strlen(name));
		put(&m, "time", json_integer(s->points[i].time_us));
		put_lsn(&m, "lsn", s->points[i].lsn);
		json_array_append_new(list, m.o);
	}
	return list;
}

int
wal_object_put_summary(json_t *o, const struct wal_summary *s, struct err *err)
{
	struct maker m = {.o = o};

	put_summary(&m, s);
	return m.failed ? err_set(err, ERR_NOMEM, 0, "out of memory for a summary") : 0;
}

int
wal_object_encode(const struct wal_summary *s, const uint8_t content_id[CONTENT_ID], uint64_t size, const char *file_name,
    struct buf *clear, struct buf *sealed, struct err *err)
{
	JSON_AUTO json_t *c = json_object(), *h = json_object();
	struct maker m = {.o = c}, n = {.o = h};
	int rc;

	put_hex(&m, "content_id", content_id, CONTENT_ID);
	put(&m, "size", json_integer((json_int_t)size));
	put(&n, "file", json_string(file_name));
	if (s != NULL) {
		put_summary(&m, s);
		put(&n, "restore_points", points_json(s));
		if (s->head.kept > 0)
			put_hex(&n, "head", s->head.bytes, s->head.kept);
		if (s->tail.kept > WAL_RECORD_HEADER)
			put_hex(&n, "tail", s->tail.bytes + WAL_RECORD_HEADER, s->tail.kept - WAL_RECORD_HEADER);
	}
	if (m.failed || n.failed)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object's parts");
	rc = json_write(c, clear, err);
	return rc < 0 ? rc : json_write(h, sealed, err);
}

int
wal_object_content_id(const json_t *clear, uint8_t out[CONTENT_ID], struct err *err)
{
	return json_get_hex(clear, "content_id", out, CONTENT_ID, err);
}

/* Reading: every member through a taker that remembers the first failure. */
struct taker {
	const json_t *o;
	struct err *err;
	int rc;
};

static uint64_t
number(struct taker *t, const char *member, uint64_t hi)
{
	uint64_t v = 0;

	if (t->rc == 0 && json_has(t->o, member))
		t->rc = json_get_u64(t->o, member, 0, hi, &v, t->err);
	return v;
}

static uint32_t
number32(struct taker *t, const char *member)
{
	return (uint32_t)number(t, member, UINT32_MAX);
}

static int64_t
time_of(struct taker *t, const char *member)
{
	int64_t v = 0;

	if (t->rc == 0 && json_has(t->o, member))
		t->rc = json_get_i64(t->o, member, &v, t->err);
	return v;
}

static bool
flag(struct taker *t, const char *member)
{
	bool v = false;

	if (t->rc == 0 && json_has(t->o, member))
		t->rc = json_get_bool(t->o, member, &v, t->err);
	return v;
}

static lsn_t
position(struct taker *t, const char *member)
{
	const char *text;
	lsn_t v = 0;

	if (t->rc < 0 || !json_has(t->o, member))
		return 0;
	t->rc = json_get_str(t->o, member, &text, t->err);
	if (t->rc == 0 && !lsn_parse(text, &v))
		t->rc = err_set(t->err, ERR_CORRUPT, 0, "member '%s' is not a WAL position", member);
	return v;
}

/* Up to max bytes of hex; 0 when the member is not there. */
static uint32_t
bytes_of(struct taker *t, const char *member, uint8_t *out, size_t max)
{
	const char *text;
	size_t n;

	if (t->rc < 0 || !json_has(t->o, member))
		return 0;
	t->rc = json_get_str(t->o, member, &text, t->err);
	if (t->rc < 0)
		return 0;
	n = strlen(text) / 2;
	if (n > max || !str_from_hex(text, out, n)) {
		t->rc = err_set(t->err, ERR_CORRUPT, 0, "member '%s' is not hex of up to %zu bytes", member, max);
		return 0;
	}
	return (uint32_t)n;
}

/* What a writer always says may not be missing: a reader would take the default for the truth. */
static void
require(struct taker *t, const char *const *members)
{
	for (; t->rc == 0 && *members != NULL; members++)
		if (!json_has(t->o, *members))
			t->rc = err_set(t->err, ERR_CORRUPT, 0, "member '%s' is missing", *members);
}

/* An object inside; NULL when the member is not there. What is no object may not pass for an open end that is not there. */
static const json_t *
object_of(struct taker *t, const char *member)
{
	const json_t *o = json_object_get(t->o, member);

	if (t->rc == 0 && o != NULL && !json_is_object(o))
		t->rc = err_set(t->err, ERR_CORRUPT, 0, "member '%s' is not an object", member);
	return o;
}

static void
take_ends(struct taker *t, struct wal_summary *s)
{
	static const char *const of_head[] = {"expected", "length", "crc0", NULL};
	static const char *const of_tail[] = {"start", "total", "length", "crc", "header", NULL};
	const json_t *head = object_of(t, "head"), *tail = object_of(t, "tail");
	struct taker h = {head, t->err, t->rc}, e = {tail, t->err, t->rc};

	if (h.o != NULL) {
		require(&h, of_head);
		s->head.expected = number32(&h, "expected");
		s->head.len = number32(&h, "length");
		s->head.crc0 = number32(&h, "crc0");
		s->head.end = position(&h, "end");
		s->head.abandoned = flag(&h, "abandoned");
		s->head.overwritten = position(&h, "overwritten");
		s->head.zeros_follow = flag(&h, "zeros_follow");
		if (h.rc == 0 && s->head.expected == 0 && !s->head.abandoned)
			h.rc = err_set(t->err, ERR_CORRUPT, 0, "a head that expects nothing");
		t->rc = h.rc;
	}
	if (e.o != NULL && t->rc == 0) {
		require(&e, of_tail);
		s->tail.start = position(&e, "start");
		s->tail.total = number32(&e, "total");
		s->tail.have = number32(&e, "length");
		s->tail.crc = number32(&e, "crc");
		s->tail.kept = bytes_of(&e, "header", s->tail.bytes, WAL_RECORD_HEADER);
		if (e.rc == 0 && s->tail.start == 0)
			e.rc = err_set(t->err, ERR_CORRUPT, 0, "a tail that begins nowhere");
		t->rc = e.rc;
	}
}

static void
take_times(struct taker *t, struct wal_summary *s)
{
	static const char *const of_commits[] = {"first_time", "last_time", "min_time", "max_time", "min_xid", "max_xid", NULL};

	s->commit_count = number(t, "commits", INT64_MAX);
	if (s->commit_count == 0)
		return;
	require(t, of_commits);
	s->first_time_us = time_of(t, "first_time");
	s->last_time_us = time_of(t, "last_time");
	s->min_time_us = time_of(t, "min_time");
	s->max_time_us = time_of(t, "max_time");
	s->min_xid = number32(t, "min_xid");
	s->max_xid = number32(t, "max_xid");
	s->xid_unknown = flag(t, "xid_unknown");
}

/* Objects that were written before there was such a member do not have it. */
static void
take_limits(struct taker *t, struct wal_summary *s)
{
	const json_t *list = json_object_get(t->o, "limits");

	if (t->rc < 0 || list == NULL)
		return;
	s->has_limits = true;
	for (size_t i = 0; i < SERVER_LIMITS; i++) {
		const json_t *v = json_array_get(list, i);

		if (t->rc == 0 && (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX))
			t->rc = err_set(t->err, ERR_CORRUPT, 0, "member 'limits' is not a list of %d numbers", SERVER_LIMITS);
		s->limits.v[i] = (int32_t)json_integer_value(v);
	}
}

/* What the sealed part adds: bytes of records over the edges, and the restore points. */
static int
take_sealed(struct wal_summary *s, const json_t *sealed, struct err *err)
{
	const json_t *list = json_object_get(sealed, "restore_points"), *one;
	struct taker whole = {sealed, err, 0};
	size_t i;

	s->head.kept = bytes_of(&whole, "head", s->head.bytes, WAL_KEEP);
	if (json_has(sealed, "tail") && s->tail.kept != WAL_RECORD_HEADER)
		return err_set(err, ERR_CORRUPT, 0, "a tail behind a header that is not there");
	if (s->tail.kept == WAL_RECORD_HEADER)
		s->tail.kept += bytes_of(&whole, "tail", s->tail.bytes + WAL_RECORD_HEADER, WAL_KEEP - WAL_RECORD_HEADER);
	json_array_foreach(list, i, one)
	{
		struct taker t = {one, err, whole.rc};
		struct wal_point *p = &s->points[i];
		const char *name;

		if (i == WAL_POINTS_KEPT || i >= s->point_count)
			return err_set(err, ERR_CORRUPT, 0, "more restore points than were counted");
		p->lsn = position(&t, "lsn");
		p->time_us = time_of(&t, "time");
		if (json_has(one, "name_hex"))
			(void)bytes_of(&t, "name_hex", (uint8_t *)p->name, sizeof(p->name) - 1);
		else if (t.rc == 0 && (t.rc = json_get_str(one, "name", &name, err)) == 0)
			t.rc = str_copy(p->name, sizeof(p->name), name, "restore point", err);
		whole.rc = t.rc;
	}
	return whole.rc;
}

int
wal_object_decode(struct wal_summary *s, const json_t *clear, const json_t *sealed, struct err *err)
{
	static const char *const always[] = {
	    "verified", "magic", "timeline", "size", "records", "commits", "restore_points", NULL};
	struct taker t = {clear, err, 0};
	const char *sysid;

	memset(s, 0, sizeof(*s));
	t.rc = json_get_str(clear, "system_identifier", &sysid, err);
	if (t.rc == 0 && !str_to_u64(sysid, 0, UINT64_MAX, &s->sysid))
		t.rc = err_set(err, ERR_CORRUPT, 0, "the system identifier is not a number");
	require(&t, always);
	s->verified = flag(&t, "verified");
	s->magic = (uint16_t)number(&t, "magic", UINT16_MAX);
	s->major = (int)number(&t, "major", 1000);
	s->timeline = number32(&t, "timeline");
	s->first_page_timeline = number32(&t, "first_page_timeline");
	s->last_page_timeline = number32(&t, "last_page_timeline");
	s->segment_size = number32(&t, "size");
	s->page_size = number32(&t, "page_size");
	s->start = position(&t, "start");
	s->n_records = number(&t, "records", INT64_MAX);
	s->first_record = position(&t, "first_record");
	s->first_prev = position(&t, "first_prev");
	s->last_record = position(&t, "last_record");
	s->end = position(&t, "end");
	s->contains_switch = flag(&t, "switch");
	take_ends(&t, s);
	take_times(&t, s);
	s->point_count = number(&t, "restore_points", INT64_MAX);
	s->wal_level_minimal = flag(&t, "wal_level_minimal");
	take_limits(&t, s);
	if (t.rc == 0 && sealed != NULL)
		t.rc = take_sealed(s, sealed, err);
	return t.rc;
}
