/* An index over WAL against what it speaks of: its rows make its clear part, and each is what its segment says. */
#include <inttypes.h>

#include "base/str.h"
#include "ops/verify_work.h"
#include "repo/wal_index.h"
#include "repo/wal_object.h"

#define REMEDY_INDEX "it is a cache and not believed: remove the object, then: pgcairn index"
#define REMEDY_EXCHANGED "find out who exchanged it: this repository had other content under that name when it was indexed"

void
verify_classify_index(const char *relative, struct verify_name *out)
{
	const char *id = relative + strlen("index/"), *sysid = strchr(id, '/'), *file = strrchr(relative, '/') + 1;
	char digits[24], segment[WAL_NAME_MAX], canonical[OBJECT_NAME_MAX];
	size_t n;

	if (sysid == NULL || sysid - id != REPOSITORY_ID_TEXT - 1 || strspn(id, "0123456789abcdef") != REPOSITORY_ID_TEXT - 1 ||
	    strlen(file) != 24 + 5 || file[24] != '.')
		return;
	n = strcspn(sysid + 1, "/");
	if (n >= sizeof(digits))
		return;
	memcpy(digits, sysid + 1, n);
	digits[n] = '\0';
	memcpy(segment, file, 24);
	segment[24] = '\0';
	if (!str_to_u64(digits, 1, UINT64_MAX, &out->sysid) || !wal_name_parse(segment, &out->wal) ||
	    out->wal.kind != WAL_NAME_SEGMENT || strspn(file + 25, "0123456789") != 4)
		return;
	(void)snprintf(canonical, sizeof(canonical), "index/%.*s/%" PRIu64 "/%08" PRIX32 "/%s", REPOSITORY_ID_TEXT - 1, id,
	    out->sysid, out->wal.timeline, file);
	if (strcmp(canonical, relative) != 0)
		return;
	out->class = VERIFY_INDEX;
	out->kind = OBJECT_WAL_INDEX;
}

struct comparing {
	struct verify_work *work;
	const struct verify_name *name;
	uint32_t segment_size;
	struct wal_index made; /* of the rows */
	bool fits;             /* they are one row */
	uint64_t missing;
};

static int
add_to_made(struct comparing *c, const struct wal_index_row *row, struct err *err)
{
	return c->fits ? wal_index_add(&c->made, row->summary, row->key_id, &c->fits, err) : 0;
}

/* Has the segment that is there by now the content that it had when it was indexed? */
static int
compare_row(const struct wal_index_row *row, void *arg, struct err *err)
{
	struct comparing *c = arg;
	STORED_AUTO struct stored *s = NULL;
	char text[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
	uint8_t says[CONTENT_ID], has[CONTENT_ID];
	struct wal_name segment;
	struct err why = {0};
	int rc;

	wal_segment_name(text, c->name->wal.timeline, row->segno, c->segment_size);
	if (!wal_name_parse(text, &segment) || layout_wal(relative, c->name->sysid, &segment, err) < 0)
		return err_set(err, ERR_BUG, 0, "'%s' is no segment name", text);
	rc = wal_object_content_id(row->clear, says, err);
	if (rc < 0)
		return rc;
	rc = stored_open(&s, c->work->repo, relative, OBJECT_WAL, &why);
	if (rc == ERR_NOT_FOUND)
		c->missing++;
	if (rc < 0) /* what is wrong with the segment is found where it is looked at itself */
		return add_to_made(c, row, err);
	if (wal_object_content_id(s->clear, has, &why) == 0 && memcmp(says, has, CONTENT_ID) != 0)
		verify_find(c->work, relative, "exchanged", REMEDY_EXCHANGED,
		    "its content is not that which the index over it names: it was exchanged since");
	else if (!json_equal(row->clear, s->clear) || memcmp(row->key_id, s->index->header.key_id, OBJECT_KEY_ID) != 0)
		return err_set(err, ERR_CORRUPT, 0, "it says of segment %s what that does not say itself", text);
	return add_to_made(c, row, err);
}

/* What its rows come to, against what its clear part says. */
static int
compare_clear(const struct comparing *c, const json_t *clear, struct err *err)
{
	JSON_AUTO json_t *made = json_object();
	int rc = wal_index_encode(&c->made, made, err);

	if (rc == 0 && (!c->fits || !json_equal(made, clear)))
		rc = err_set(err, ERR_CORRUPT, 0, "its clear part does not follow from its rows");
	return rc;
}

static int
check(struct verify_work *w, const struct verify_name *name, struct stored *s, struct err *err)
{
	const struct lineage_entry *e = repository_lineage(w->repo, name->sysid);
	struct comparing c = {.work = w, .name = name, .fits = true};
	WAL_INDEX_AUTO struct wal_index said = {0};
	struct wal_index_name rows;
	int rc;

	if (e == NULL)
		return err_set(
		    err, ERR_CORRUPT, 0, "system identifier %" PRIu64 " is not in the cluster's lineage", name->sysid);
	c.segment_size = e->segment_size;
	if (!wal_index_name_parse(strrchr(s->key, '/') + 1, e->segment_size, &rows))
		return err_set(err, ERR_CORRUPT, 0, "it cannot be an index of segments of %u bytes", e->segment_size);
	rc = wal_index_decode(&said, s->clear, &rows, e->segment_size, name->sysid, err);
	if (rc < 0)
		return rc;
	wal_run_init(&c.made.run);
	rc = wal_index_rows(s, &rows, compare_row, &c, err);
	if (rc == 0)
		rc = compare_clear(&c, s->clear, err);
	wal_index_free(&c.made);
	if (rc == 0 && c.missing > 0)
		verify_note(w, name->object, "index", "none is needed: an index makes no segment exist",
		    "%" PRIu64 " of its %" PRIu32 " segments are not there", c.missing, rows.n);
	return rc;
}

void
verify_index(struct verify_work *w, const struct verify_name *name, struct stored *s)
{
	struct err why = {0};

	if (strncmp(name->object + strlen("index/"), w->repo->id, REPOSITORY_ID_TEXT - 1) != 0) {
		verify_note(w, name->object, "index", "remove it; an index is made by: pgcairn index",
		    "it is of another repository and not used here");
		return;
	}
	if (check(w, name, s, &why) < 0)
		verify_index_failed(w, name->object, &why);
}

void
verify_index_failed(struct verify_work *w, const char *object, const struct err *err)
{
	if (err->kind == ERR_CORRUPT || (err->kind == ERR_AUTH && err->sys == 0))
		verify_find(w, object, err->kind == ERR_AUTH ? "trust" : "damaged", REMEDY_INDEX, "%s", err->msg);
	else if (err->kind != ERR_NOT_FOUND)
		verify_find_err(w, object, err);
}
