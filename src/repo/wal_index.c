#include "repo/wal_index.h"

#include <inttypes.h>

#include "base/str.h"
#include "repo/wal_object.h"

static const uint8_t no_key[OBJECT_KEY_ID];

int
wal_index_folder(char out[OBJECT_NAME_MAX], const char *repository_id, uint64_t sysid, struct err *err)
{
	return layout_wal_index(out, repository_id, sysid, NULL, err);
}

int
wal_index_relative(char out[OBJECT_NAME_MAX], const char *repository_id, uint64_t sysid, const struct wal_index_name *name,
    uint32_t segment_size, struct err *err)
{
	char first[WAL_NAME_MAX], file[WAL_NAME_MAX + 48];

	wal_segment_name(first, name->timeline, name->first, segment_size);
	(void)snprintf(file, sizeof(file), "%08" PRIX32 "/%s.%04" PRIu32, name->timeline, first, name->n);
	return layout_wal_index(out, repository_id, sysid, file, err);
}

bool
wal_index_name_parse(const char *file, uint32_t segment_size, struct wal_index_name *out)
{
	const char *dot = strchr(file, '.');
	char text[WAL_NAME_MAX];
	struct wal_name segment;
	uint64_t n;

	if (dot == NULL || dot - file != 24 || strlen(dot + 1) != 4 || !str_to_u64(dot + 1, 1, WAL_INDEX_SEGMENTS, &n))
		return false;
	memcpy(text, file, 24);
	text[24] = '\0';
	if (!wal_name_parse(text, &segment) || segment.kind != WAL_NAME_SEGMENT || !wal_name_fits(&segment, segment_size))
		return false;
	*out = (struct wal_index_name){segment.timeline, wal_name_segno(&segment, segment_size), (uint32_t)n};
	return out->first / WAL_INDEX_SEGMENTS == (out->first + n - 1) / WAL_INDEX_SEGMENTS;
}

void
wal_index_free(struct wal_index *x)
{
	free(x->keys);
	free(x->spills.list);
	free(x->points.list);
	*x = (struct wal_index){0};
}

static int
add_key(struct wal_index *x, const uint8_t key_id[OBJECT_KEY_ID], struct err *err)
{
	void *grown;

	if (memcmp(key_id, no_key, OBJECT_KEY_ID) == 0)
		return 0;
	for (size_t i = x->n_keys; i-- > 0;)
		if (memcmp(x->keys[i], key_id, OBJECT_KEY_ID) == 0)
			return 0;
	grown = realloc(x->keys, (x->n_keys + 1) * sizeof(*x->keys));
	if (grown == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the keys of WAL");
	x->keys = grown;
	memcpy(x->keys[x->n_keys++], key_id, OBJECT_KEY_ID);
	return 0;
}

static int
add_place(struct wal_index_places *p, uint64_t place, struct err *err)
{
	uint16_t *grown;

	if (place >= WAL_INDEX_SEGMENTS || (p->n > 0 && p->list[p->n - 1] >= place))
		return err_set(err, ERR_CORRUPT, 0, "the places of segments are not in order");
	grown = realloc(p->list, (p->n + 1) * sizeof(*grown));
	if (grown == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an index");
	p->list = grown;
	p->list[p->n++] = (uint16_t)place;
	return 0;
}

int
wal_index_add(
    struct wal_index *x, const struct wal_summary *s, const uint8_t key_id[OBJECT_KEY_ID], bool *added, struct err *err)
{
	uint64_t place = x->run.n;
	int rc;

	*added = wal_run_add(&x->run, s);
	if (!*added)
		return 0;
	rc = add_key(x, key_id, err);
	if (rc == 0 && x->run.end_spills)
		rc = add_place(&x->spills, place, err);
	if (rc == 0 && s->point_count > 0)
		rc = add_place(&x->points, place, err);
	return rc;
}

/* Left out when there are none. */
static int
put_places(json_t *o, const char *member, const struct wal_index_places *p)
{
	json_t *list;
	int failed;

	if (p->n == 0)
		return 0;
	list = json_array();
	failed = list == NULL;
	for (size_t i = 0; i < p->n; i++)
		failed |= json_array_append_new(list, json_integer(p->list[i]));
	return failed | json_object_set_new(o, member, list);
}

int
wal_index_encode(const struct wal_index *x, json_t *o, struct err *err)
{
	const struct wal_run *r = &x->run;
	json_t *keys = json_array();
	char lsn[LSN_TEXT];
	int failed = keys == NULL, rc;

	for (size_t i = 0; i < x->n_keys; i++) {
		char hex[2 * OBJECT_KEY_ID + 1];

		str_to_hex(hex, x->keys[i], OBJECT_KEY_ID);
		failed |= json_array_append_new(keys, json_string(hex));
	}
	lsn_format(lsn, r->last_seen);
	failed |= json_object_set_new(o, "segments", json_integer((json_int_t)r->n));
	failed |= json_object_set_new(o, "size", json_integer(r->all.segment_size));
	rc = wal_object_put_summary(o, &r->all, err);
	if (r->last == WAL_RUN_LAST_KNOWN)
		failed |= json_object_set_new(o, "last_seen", json_string(lsn));
	if (r->last == WAL_RUN_LAST_UNKNOWN)
		failed |= json_object_set_new(o, "last_unknown", json_true());
	failed |= put_places(o, "spills", &x->spills);
	failed |= put_places(o, "points", &x->points);
	failed |= json_object_set_new(o, "keys", keys);
	return rc < 0 || failed == 0 ? rc : err_set(err, ERR_NOMEM, 0, "out of memory for an index");
}

/* A member that is true or left out. */
static int
take_flag(const json_t *o, const char *member, bool *out, struct err *err)
{
	*out = false;
	return json_has(o, member) ? json_get_bool(o, member, out, err) : 0;
}

static int
take_last(struct wal_run *r, const json_t *o, struct err *err)
{
	const char *text;
	bool unknown;
	int rc = take_flag(o, "last_unknown", &unknown, err);

	if (rc < 0)
		return rc;
	r->last = unknown ? WAL_RUN_LAST_UNKNOWN : WAL_RUN_LAST_BEFORE;
	if (unknown || !json_has(o, "last_seen"))
		return 0;
	r->last = WAL_RUN_LAST_KNOWN;
	rc = json_get_str(o, "last_seen", &text, err);
	if (rc == 0 && (!lsn_parse(text, &r->last_seen) || r->last_seen == 0))
		rc = err_set(err, ERR_CORRUPT, 0, "member 'last_seen' is not a WAL position");
	return rc;
}

static int
take_places(struct wal_index_places *p, uint64_t n, const json_t *o, const char *member, struct err *err)
{
	json_t *list, *one;
	size_t i;
	int rc = 0;

	if (!json_has(o, member))
		return 0;
	rc = json_get_array(o, member, &list, err);
	if (rc < 0)
		return rc;
	json_array_foreach(list, i, one)
	{
		json_int_t place = json_is_integer(one) ? json_integer_value(one) : -1;

		if (place < 0 || (uint64_t)place >= n)
			return err_set(err, ERR_CORRUPT, 0, "member '%s' is not a list of segments of the row", member);
		rc = add_place(p, (uint64_t)place, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
take_keys(struct wal_index *x, const json_t *o, struct err *err)
{
	json_t *list, *one;
	size_t i;
	int rc = json_get_array(o, "keys", &list, err);

	if (rc == 0 && json_array_size(list) > WAL_INDEX_SEGMENTS)
		rc = err_set(err, ERR_CORRUPT, 0, "more keys than segments");
	if (rc < 0)
		return rc;
	json_array_foreach(list, i, one)
	{
		const char *hex = json_string_value(one);
		uint8_t key[OBJECT_KEY_ID];

		if (hex == NULL || strlen(hex) != 2 * sizeof(key) || !str_from_hex(hex, key, sizeof(key)))
			return err_set(err, ERR_CORRUPT, 0, "member 'keys' is not a list of key ids");
		rc = add_key(x, key, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
wal_index_decode(struct wal_index *x, const json_t *o, const struct wal_index_name *name, uint32_t segment_size, uint64_t sysid,
    struct err *err)
{
	WAL_INDEX_AUTO struct wal_index y = {0};
	struct wal_run *r = &y.run;
	int rc = json_get_u64(o, "segments", 1, WAL_INDEX_SEGMENTS, &r->n, err);

	if (rc == 0)
		rc = wal_object_decode(&r->all, o, NULL, err);
	if (rc == 0)
		rc = take_last(r, o, err);
	if (rc == 0)
		rc = take_places(&y.spills, r->n, o, "spills", err);
	if (rc == 0)
		rc = take_places(&y.points, r->n, o, "points", err);
	if (rc == 0 && (r->all.point_count == 0) != (y.points.n == 0))
		rc =
		    err_set(err, ERR_CORRUPT, 0, "it counts restore points and has no places for them, or the other way round");
	if (rc == 0)
		rc = take_keys(&y, o, err);
	if (rc < 0)
		return rc;
	if (r->n != name->n || r->all.timeline != name->timeline || r->all.segment_size != segment_size ||
	    (r->all.verified && (r->all.sysid != sysid || r->all.start != wal_segment_start(name->first, segment_size))))
		return err_set(err, ERR_CORRUPT, 0, "it is the index of other segments");
	*x = y;
	y = (struct wal_index){0};
	return 0;
}

int
wal_index_open(struct wal_index *x, struct stored **object, struct repository *r, uint64_t sysid,
    const struct wal_index_name *name, uint32_t segment_size, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	char relative[OBJECT_NAME_MAX];
	int rc = wal_index_relative(relative, r->id, sysid, name, segment_size, err);

	if (rc == 0)
		rc = stored_open(&s, r, relative, OBJECT_WAL_INDEX, err);
	if (rc < 0)
		return rc;
	rc = wal_index_decode(x, s->clear, name, segment_size, sysid, err);
	if (rc < 0)
		return err_wrap(err, "object '%s' in repository '%s'", s->key, r->name);
	*object = STEAL(s);
	return 0;
}

void
wal_index_draft_begin(struct wal_index_draft *d, timeline_t timeline, uint64_t first)
{
	wal_index_draft_free(d);
	d->name = (struct wal_index_name){.timeline = timeline, .first = first};
	wal_run_init(&d->index.run);
}

void
wal_index_draft_free(struct wal_index_draft *d)
{
	wal_index_free(&d->index);
	buf_free(&d->rows);
	*d = (struct wal_index_draft){0};
}

static int
add_row(struct wal_index_draft *d, const struct stored *segment, struct err *err)
{
	const struct object_header *h = &segment->index->header;
	JSON_AUTO json_t *row = json_object();
	size_t before = d->rows.len;
	int rc;

	if ((memcmp(h->key_id, no_key, OBJECT_KEY_ID) != 0 && json_set_hex(row, "key_id", h->key_id, OBJECT_KEY_ID) < 0) ||
	    json_object_set(row, "clear", segment->clear) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an index");
	rc = json_write(row, &d->rows, err);
	if (rc == 0 && d->rows.len - before > WAL_INDEX_LINE_MAX)
		rc = err_set(err, ERR_CORRUPT, 0, "object '%s': a clear part of %zu bytes", segment->key, d->rows.len - before);
	return rc < 0 ? rc : buf_append(&d->rows, "\n", 1, err);
}

int
wal_index_draft_add(
    struct wal_index_draft *d, const struct stored *segment, const struct wal_summary *summary, bool *added, struct err *err)
{
	int rc = wal_index_add(&d->index, summary, segment->index->header.key_id, added, err);

	if (rc < 0 || !*added)
		return rc;
	d->name.n++;
	return add_row(d, segment, err);
}

int
wal_index_put(struct wal_index_draft *d, struct repository *r, uint64_t sysid, uint8_t codec, const struct signing_key *signer,
    struct err *err)
{
	const struct object_header header = {.kind = OBJECT_WAL_INDEX, .codec = codec};
	JSON_AUTO json_t *clear = json_object();
	char relative[OBJECT_NAME_MAX];
	int rc = wal_index_relative(relative, r->id, sysid, &d->name, d->index.run.all.segment_size, err);

	if (rc == 0)
		rc = wal_index_encode(&d->index, clear, err);
	return rc < 0 ? rc : repository_put_plain(r, relative, &header, &d->rows, clear, signer, err);
}
