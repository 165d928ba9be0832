/* The rows of an index: a line a segment, as the frames come. */
#include "base/lines.h"
#include "repo/wal_index.h"
#include "repo/wal_object.h"

struct wal_index_parser {
	struct wal_index_name name;
	struct lines text;
	uint32_t n; /* rows so far */
	int (*each)(const struct wal_index_row *row, void *arg, struct err *err);
	void *arg;
	struct wal_summary summary;
};

static int
take_row(struct wal_index_parser *p, const json_t *o, struct err *err)
{
	struct wal_index_row row = {
	    .segno = p->name.first + p->n, .clear = json_object_get(o, "clear"), .summary = &p->summary};
	int rc = 0;

	if (p->n == p->name.n)
		return err_set(err, ERR_CORRUPT, 0, "a row behind the last one");
	if (!json_is_object(row.clear))
		return err_set(err, ERR_CORRUPT, 0, "a row without a clear part");
	if (json_has(o, "key_id"))
		rc = json_get_hex(o, "key_id", row.key_id, OBJECT_KEY_ID, err);
	if (rc == 0)
		rc = wal_object_decode(&p->summary, row.clear, NULL, err);
	if (rc < 0)
		return rc;
	if (p->summary.timeline != p->name.timeline ||
	    (p->summary.verified && p->summary.start != wal_segment_start(row.segno, p->summary.segment_size)))
		return err_set(err, ERR_CORRUPT, 0, "a row of another segment");
	p->n++;
	return p->each(&row, p->arg, err);
}

static int
take_line(const char *text, size_t len, void *arg, struct err *err)
{
	struct wal_index_parser *p = arg;
	JSON_AUTO json_t *o = NULL;
	int rc = json_read(&o, text, len, "the row", err);

	return rc < 0 ? rc : take_row(p, o, err);
}

int
wal_index_parser_new(struct wal_index_parser **out, const struct wal_index_name *name,
    int (*each)(const struct wal_index_row *row, void *arg, struct err *err), void *arg, struct err *err)
{
	struct wal_index_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an index");
	p->name = *name;
	p->each = each;
	p->arg = arg;
	p->text = (struct lines){.rest.max = WAL_INDEX_LINE_MAX, .what = "the index", .take = take_line, .arg = p};
	*out = p;
	return 0;
}

int
wal_index_parser_feed(struct wal_index_parser *p, const void *data, size_t len, struct err *err)
{
	return lines_feed(&p->text, data, len, err);
}

int
wal_index_parser_finish(struct wal_index_parser *p, struct err *err)
{
	if (p->n == p->name.n && p->text.rest.len == 0)
		return 0;
	return err_set(err, ERR_CORRUPT, 0, "the index ends before its last row");
}

void
wal_index_parser_free(struct wal_index_parser *p)
{
	if (p == NULL)
		return;
	buf_free(&p->text.rest);
	free(p);
}

static int
feed(const void *data, size_t len, void *arg, struct err *err)
{
	return wal_index_parser_feed(arg, data, len, err);
}

int
wal_index_rows(struct stored *object, const struct wal_index_name *name,
    int (*each)(const struct wal_index_row *row, void *arg, struct err *err), void *arg, struct err *err)
{
	WAL_INDEX_PARSER_AUTO struct wal_index_parser *p = NULL;
	int rc = wal_index_parser_new(&p, name, each, arg, err);

	if (rc == 0)
		rc = stored_read(object, NULL, feed, p, err);
	if (rc == 0 && (rc = wal_index_parser_finish(p, err)) < 0)
		rc = err_wrap(err, "object '%s' in repository '%s'", object->key, object->repo->name);
	return rc;
}
