/*
 * Any bytes as an index over WAL, its name, its clear part and its lines with a NUL between them: what is accepted is of that
 * name and comes back the same, in whatever pieces it arrives; its rows are those of the name, in order; and rows told as one
 * join as they do one by one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "repo/wal_index.h"
#include "repo/wal_object.h"

#define SEGMENT (UINT32_C(1) << 20)
#define ID "0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* The next part of the input, up to a NUL. */
static struct buf
part(const uint8_t **data, size_t *size)
{
	const uint8_t *nul = *size > 0 ? memchr(*data, 0, *size) : NULL;
	size_t len = nul != NULL ? (size_t)(nul - *data) : *size;
	struct buf b = {0};

	must(buf_append(&b, *data, len, NULL) == 0);
	*data += nul != NULL ? len + 1 : len;
	*size -= nul != NULL ? len + 1 : len;
	return b;
}

static bool
take_name(struct buf *text, struct wal_index_name *name)
{
	char relative[OBJECT_NAME_MAX];
	const char *file;

	must(buf_append(text, "", 1, NULL) == 0);
	file = buf_text(text);
	if (!wal_index_name_parse(file, SEGMENT, name))
		return false;
	must(name->n >= 1 && name->n <= WAL_INDEX_SEGMENTS);
	must(name->first / WAL_INDEX_SEGMENTS == (name->first + name->n - 1) / WAL_INDEX_SEGMENTS);
	must(wal_index_relative(relative, ID, 1, name, SEGMENT, NULL) == 0);
	must(strcmp(strrchr(relative, '/') + 1, file) == 0);
	return true;
}

static void
take_clear(const struct buf *text, const struct wal_index_name *name)
{
	WAL_INDEX_AUTO struct wal_index x = {0}, again = {0};
	JSON_AUTO json_t *clear = NULL, *once = json_object(), *twice = json_object();
	struct wal_summary all;

	memset(&all, 0, sizeof(all));
	if (json_read(&clear, text->data, text->len, "a clear part", NULL) < 0 ||
	    wal_object_decode(&all, clear, NULL, NULL) < 0)
		return;
	if (wal_index_decode(&x, clear, name, SEGMENT, all.sysid, NULL) < 0) {
		must(x.keys == NULL && x.n_keys == 0);
		return;
	}
	must(x.run.n == name->n && x.run.all.timeline == name->timeline && x.n_keys <= x.run.n);
	must(!x.run.all.verified || x.run.all.start == wal_segment_start(name->first, SEGMENT));
	must(x.run.last == WAL_RUN_LAST_KNOWN ? x.run.last_seen != 0 : x.run.last_seen == 0);
	must(wal_index_encode(&x, once, NULL) == 0);
	must(wal_index_decode(&again, once, name, SEGMENT, all.sysid, NULL) == 0);
	must(wal_index_encode(&again, twice, NULL) == 0 && json_equal(once, twice));
}

/* What the rows are, and the row that they make. */
struct rows {
	uint64_t next;
	uint32_t n;
	struct buf text; /* all that was told */
	struct wal_run run;
	struct wal_join singly;
	bool broken; /* what comes now is another row's */
};

static int
take_row(const struct wal_index_row *row, void *arg, struct err *err)
{
	struct rows *r = arg;

	must(row->segno == r->next++);
	must(!row->summary->verified || row->summary->start == wal_segment_start(row->segno, row->summary->segment_size));
	r->n++;
	must(buf_append(&r->text, row->key_id, OBJECT_KEY_ID, err) == 0 && json_write(row->clear, &r->text, err) == 0);
	if (r->broken)
		return 0;
	r->broken = !wal_run_add(&r->run, row->summary);
	must(r->broken || wal_join_next(&r->singly, row->summary, NULL) == 0);
	return 0;
}

static int
parse(struct rows *r, const struct wal_index_name *name, const struct buf *text, size_t step)
{
	WAL_INDEX_PARSER_AUTO struct wal_index_parser *p = NULL;
	int rc = wal_index_parser_new(&p, name, take_row, r, NULL);

	r->next = name->first;
	wal_run_init(&r->run);
	wal_join_init(&r->singly);
	for (size_t at = 0; rc == 0 && at < text->len; at += step)
		rc = wal_index_parser_feed(p, text->data + at, text->len - at < step ? text->len - at : step, NULL);
	return rc < 0 ? rc : wal_index_parser_finish(p, NULL);
}

static void
join_as_one(const struct rows *r)
{
	struct wal_join j;

	wal_join_init(&j);
	if (r->run.n == 0 || wal_run_join(&j, &r->run, NULL) < 0)
		return;
	must(j.known == r->singly.known && j.next_start == r->singly.next_start && j.timeline == r->singly.timeline);
	must(j.open_left == r->singly.open_left);
}

static void
take_rows(const struct buf *text, const struct wal_index_name *name)
{
	FREE_AUTO struct rows *whole = calloc(1, sizeof(*whole)), *pieces = calloc(1, sizeof(*pieces));
	int rc, again;

	must(whole != NULL && pieces != NULL);
	rc = parse(whole, name, text, text->len > 0 ? text->len : 1);
	again = parse(pieces, name, text, 7);
	must(rc == again && whole->n == pieces->n && whole->n <= name->n);
	must(whole->text.len == pieces->text.len);
	must(whole->text.len == 0 || memcmp(whole->text.data, pieces->text.data, whole->text.len) == 0);
	must(rc < 0 || whole->n == name->n);
	join_as_one(whole);
	buf_free(&whole->text);
	buf_free(&pieces->text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BUF_AUTO struct buf name_text = part(&data, &size), clear = part(&data, &size), rows = part(&data, &size);
	struct wal_index_name name;

	if (!take_name(&name_text, &name))
		return 0;
	take_clear(&clear, &name);
	take_rows(&rows, &name);
	return 0;
}
