/* A manifest's clear part. Whoever reads it has no key yet: it is signed, but every number in it is checked all the same. */
#include "repo/manifest.h"

#include <inttypes.h>

#include "base/str.h"

#define PACK_PLAIN_MAX ((uint64_t)OBJECT_FRAMES_MAX << OBJECT_FRAME_SHIFT)

void
manifest_head_free(struct manifest_head *h)
{
	free(h->packs);
	h->packs = NULL;
	h->n_packs = 0;
}

/* Collects failures of jansson's setters, which all mean the same: memory is out. */
struct maker {
	json_t *o;
	bool failed;
};

static void
put(struct maker *m, const char *member, json_t *value)
{
	m->failed |= json_object_set_new(m->o, member, value) < 0;
}

static void
put_lsn(struct maker *m, const char *member, lsn_t lsn)
{
	char text[LSN_TEXT];

	lsn_format(text, lsn);
	put(m, member, json_string(text));
}

static void
put_u64(struct maker *m, const char *member, uint64_t v)
{
	m->failed |= v > INT64_MAX;
	put(m, member, json_integer((json_int_t)v));
}

/* [plain bytes, stored bytes, digest] each, in the order of their numbers. */
static json_t *
packs_json(const struct manifest_head *h)
{
	json_t *list = json_array();

	for (size_t i = 0; i < h->n_packs; i++) {
		const struct manifest_pack *p = &h->packs[i];
		char digest[2 * OBJECT_DIGEST + 1];

		str_to_hex(digest, p->digest, OBJECT_DIGEST);
		if (json_array_append_new(list, json_pack("[I,I,s]", (json_int_t)p->plain, (json_int_t)p->stored, digest)) <
		    0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int
manifest_head_encode(const struct manifest_head *h, struct buf *clear, struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	struct maker m = {.o = o};
	char sysid[24];

	(void)snprintf(sysid, sizeof(sysid), "%" PRIu64, h->sysid);
	put(&m, "label", json_string(h->label));
	put(&m, "type", json_string(h->incremental ? "incremental" : "full"));
	put(&m, "system_identifier", json_string(sysid));
	put(&m, "major", json_integer(h->major));
	put(&m, "server_version", json_integer(h->server_version));
	put(&m, "segment_size", json_integer(h->segment_size));
	put(&m, "data_checksums", json_boolean(h->data_checksums));
	put(&m, "start_timeline", json_integer(h->start_timeline));
	put(&m, "stop_timeline", json_integer(h->stop_timeline));
	put_lsn(&m, "start_lsn", h->start_lsn);
	put_lsn(&m, "stop_lsn", h->stop_lsn);
	put_lsn(&m, "checkpoint_lsn", h->checkpoint_lsn);
	put(&m, "from_standby", json_boolean(h->from_standby));
	put(&m, "start_time", json_integer(h->start_time_us));
	put(&m, "stop_time", json_integer(h->stop_time_us));
	put_u64(&m, "size", h->size);
	put_u64(&m, "files", h->files);
	put_u64(&m, "bad_pages", h->bad_pages);
	put(&m, "packs", packs_json(h));
	if (m.failed)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a manifest's clear part");
	return json_write(o, clear, err);
}

/* Reading: every member through a taker that remembers the first failure. */
struct taker {
	const json_t *o;
	struct err *err;
	int rc;
};

static uint64_t
number(struct taker *t, const char *member, uint64_t lo, uint64_t hi)
{
	uint64_t v = 0;

	if (t->rc == 0)
		t->rc = json_get_u64(t->o, member, lo, hi, &v, t->err);
	return v;
}

static bool
flag(struct taker *t, const char *member)
{
	bool v = false;

	if (t->rc == 0)
		t->rc = json_get_bool(t->o, member, &v, t->err);
	return v;
}

static const char *
text(struct taker *t, const char *member)
{
	const char *v = "";

	if (t->rc == 0)
		t->rc = json_get_str(t->o, member, &v, t->err);
	return v;
}

static int64_t
time_of(struct taker *t, const char *member)
{
	int64_t v = 0;

	if (t->rc == 0)
		t->rc = json_get_i64(t->o, member, &v, t->err);
	return v;
}

static void
refuse(struct taker *t, bool wrong, const char *member)
{
	if (t->rc == 0 && wrong)
		t->rc = err_set(t->err, ERR_CORRUPT, 0, "member '%s' of a manifest's clear part is malformed", member);
}

static lsn_t
position(struct taker *t, const char *member)
{
	const char *v = text(t, member);
	lsn_t lsn = 0;

	refuse(t, !lsn_parse(v, &lsn), member);
	return lsn;
}

static bool
take_pack(struct manifest_pack *p, const json_t *o)
{
	const json_t *plain = json_array_get(o, 0), *stored = json_array_get(o, 1);
	const char *digest = json_string_value(json_array_get(o, 2));

	if (!json_is_integer(plain) || !json_is_integer(stored) || digest == NULL || strlen(digest) != 2 * OBJECT_DIGEST ||
	    !str_from_hex(digest, p->digest, OBJECT_DIGEST) || json_integer_value(plain) < 0 || json_integer_value(stored) < 0)
		return false;
	p->plain = (uint64_t)json_integer_value(plain);
	p->stored = (uint64_t)json_integer_value(stored);
	return p->plain <= PACK_PLAIN_MAX;
}

static void
take_packs(struct taker *t, struct manifest_head *h)
{
	json_t *list, *one;
	size_t i;

	if (t->rc == 0)
		t->rc = json_get_array(t->o, "packs", &list, t->err);
	if (t->rc < 0)
		return;
	h->packs = calloc(json_array_size(list) + 1, sizeof(*h->packs));
	if (h->packs == NULL) {
		t->rc = err_set(t->err, ERR_NOMEM, 0, "out of memory for a list of packs");
		return;
	}
	json_array_foreach(list, i, one) refuse(t, !take_pack(&h->packs[i], one), "packs");
	h->n_packs = json_array_size(list);
}

/* What the members say together. */
static void
check(struct taker *t, const struct manifest_head *h)
{
	refuse(t, !wal_segment_size_valid(h->segment_size), "segment_size");
	refuse(t, h->stop_lsn < h->start_lsn, "stop_lsn");
	refuse(t, h->checkpoint_lsn < h->start_lsn, "checkpoint_lsn");
	refuse(t, h->stop_timeline < h->start_timeline, "stop_timeline");
}

static int
take(struct manifest_head *h, const json_t *clear, struct err *err)
{
	struct taker t = {clear, err, 0};
	const char *label = text(&t, "label"), *type = text(&t, "type"), *sysid = text(&t, "system_identifier");

	refuse(&t, !layout_name_valid(label), "label");
	if (t.rc == 0)
		t.rc = str_copy(h->label, sizeof(h->label), label, "label", err);
	h->incremental = strcmp(type, "incremental") == 0;
	refuse(&t, !h->incremental && strcmp(type, "full") != 0, "type");
	refuse(&t, !str_to_u64(sysid, 1, UINT64_MAX, &h->sysid), "system_identifier");
	h->major = (unsigned)number(&t, "major", 10, 1000);
	h->server_version = (int)number(&t, "server_version", 100000, 10000000);
	h->segment_size = (uint32_t)number(&t, "segment_size", 1, UINT32_MAX);
	h->data_checksums = flag(&t, "data_checksums");
	h->start_timeline = (timeline_t)number(&t, "start_timeline", 1, UINT32_MAX);
	h->stop_timeline = (timeline_t)number(&t, "stop_timeline", 1, UINT32_MAX);
	h->start_lsn = position(&t, "start_lsn");
	h->stop_lsn = position(&t, "stop_lsn");
	h->checkpoint_lsn = position(&t, "checkpoint_lsn");
	h->from_standby = flag(&t, "from_standby");
	h->start_time_us = time_of(&t, "start_time");
	h->stop_time_us = time_of(&t, "stop_time");
	h->size = number(&t, "size", 0, INT64_MAX);
	h->files = number(&t, "files", 0, INT64_MAX);
	h->bad_pages = number(&t, "bad_pages", 0, INT64_MAX);
	take_packs(&t, h);
	check(&t, h);
	return t.rc;
}

int
manifest_head_decode(struct manifest_head *h, const json_t *clear, struct err *err)
{
	struct manifest_head out = {0};
	int rc = take(&out, clear, err);

	if (rc < 0)
		manifest_head_free(&out);
	else
		*h = out;
	return rc;
}
