#include "ops/conflict_sides.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/str.h"
#include "repo/stored.h"
#include "repo/wal_object.h"

#define PAGE ((size_t)8192)
#define DIGEST_KEPT 16

/* The kind of what an object's name says. 0: no name of WAL. */
static uint8_t
kind_of(const char *object)
{
	const char *slash = strrchr(object, '/');
	struct wal_name name;

	return slash != NULL && wal_name_parse(slash + 1, &name) ? wal_object_kind(&name) : 0;
}

static void
name_signer(const struct repository *r, const uint8_t key[KEY_BYTES], char *out, size_t size)
{
	for (size_t i = 0; i < r->n_signers; i++)
		if (memcmp(r->signers[i], key, KEY_BYTES) == 0)
			(void)snprintf(out, size, "%s", r->signer_names[i]);
}

static int
describe(struct conflict_side *side, struct repository *r, const struct stored *s, uint8_t kind, struct err *err)
{
	FREE_AUTO struct wal_summary *sum = malloc(sizeof(*sum));
	int rc = wal_object_content_id(s->clear, side->content_id, err);

	if (rc == 0)
		rc = json_get_u64(s->clear, "size", 0, UINT64_MAX >> 1, &side->size, err);
	if (rc == 0 && sum == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for a segment");
	name_signer(r, s->index->signer, side->signer, sizeof(side->signer));
	side->is_segment = kind == OBJECT_WAL || kind == OBJECT_WAL_PARTIAL;
	if (rc < 0 || !side->is_segment)
		return rc;
	rc = wal_object_decode(sum, s->clear, NULL, err);
	if (rc < 0)
		return rc;
	side->start = sum->start;
	side->last_record = sum->last_record;
	side->end = sum->end;
	side->records = sum->n_records;
	side->commits = sum->commit_count;
	side->first_time_us = sum->first_time_us;
	side->last_time_us = sum->last_time_us;
	return 0;
}

static int
open_side(
    struct conflict_side *side, struct repository *r, const char *name, uint8_t kind, struct stored **out, struct err *err)
{
	int rc =
	    kind == 0 ? err_set(err, ERR_CORRUPT, 0, "'%s' is no name of WAL", name) : stored_open(out, r, name, kind, err);

	if (rc == 0)
		rc = describe(side, r, *out, kind, err);
	side->known = rc == 0;
	if (rc < 0)
		side->why = *err;
	return rc;
}

/* Pages of one side, of which digests are kept; and one page of either, once it is known which. */
struct compare {
	struct buf digests; /* of the first side's pages */
	struct buf page;    /* that is filled just now */
	uint64_t n;         /* pages that are whole */
	uint64_t want;      /* the page to be kept; UINT64_MAX: the first whose digest differs */
	struct buf kept;
	bool second; /* compared with digests instead of kept there */
};

static int
take_page(struct compare *c, struct err *err)
{
	uint8_t digest[OBJECT_DIGEST];
	uint64_t page = c->n++;
	int rc = 0;

	object_hash(digest, c->page.data, c->page.len);
	if (c->second && c->want == UINT64_MAX &&
	    ((page + 1) * DIGEST_KEPT > c->digests.len ||
		memcmp(c->digests.data + page * DIGEST_KEPT, digest, DIGEST_KEPT) != 0))
		c->want = page;
	if (!c->second && c->want == UINT64_MAX)
		rc = buf_append(&c->digests, digest, DIGEST_KEPT, err);
	if (rc == 0 && page == c->want)
		rc = buf_append(&c->kept, c->page.data, c->page.len, err);
	buf_reset(&c->page);
	return rc;
}

static int
take_bytes(const void *data, size_t len, void *arg, struct err *err)
{
	struct compare *c = arg;
	const uint8_t *at = data;
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t n = PAGE - c->page.len < len ? PAGE - c->page.len : len;

		rc = buf_append(&c->page, at, n, err);
		at += n;
		len -= n;
		if (rc == 0 && c->page.len == PAGE)
			rc = take_page(c, err);
	}
	return rc;
}

static int
read_side(struct compare *c, struct stored *s, struct err *err)
{
	int rc;

	c->n = 0;
	rc = stored_read(s, NULL, take_bytes, c, err);
	return rc == 0 && c->page.len > 0 ? take_page(c, err) : rc;
}

/* Three passes, so that memory stays small for segments of any size: the first side's digests, the second's first page that
 * differs, and that page of the first side. */
static int
compare(struct compare *c, struct stored *first, struct stored *other, bool *same, uint64_t *at, struct err *err)
{
	BUF_AUTO struct buf theirs = {0};
	size_t n = 0;
	int rc = read_side(c, first, err);

	c->second = true;
	if (rc == 0)
		rc = read_side(c, other, err);
	if (rc < 0)
		return rc;
	theirs = c->kept;
	c->kept = (struct buf){0};
	if (c->want == UINT64_MAX) { /* one is the beginning of the other, or they are the same */
		*same = first->index->lengths.plain == other->index->lengths.plain;
		*at = other->index->lengths.plain;
		return 0;
	}
	c->second = false;
	rc = read_side(c, first, err);
	while (n < theirs.len && n < c->kept.len && theirs.data[n] == c->kept.data[n])
		n++;
	*same = false;
	*at = c->want * PAGE + n;
	return rc;
}

void
conflict_fill_sides(struct conflict_view *v, struct repository *r, struct keyring *ring)
{
	STORED_AUTO struct stored *first = NULL, *other = NULL;
	const struct conflict *c = &v->conflict;
	uint8_t kind = kind_of(c->object);
	struct compare work = {.want = UINT64_MAX};
	char name[OBJECT_NAME_MAX];
	struct err err = {0};
	int rc = layout_conflict(name, c->object, c->content_id, &err);

	if (rc == 0)
		rc = open_side(&v->other, r, name, kind, &other, &err);
	if (open_side(&v->first, r, c->object, kind, &first, &err) < 0 || rc < 0 || ring == NULL)
		return;
	if (stored_unlock(first, ring, &err) == 0 && stored_unlock(other, ring, &err) == 0)
		v->compared = compare(&work, first, other, &v->same, &v->parts_at, &err) == 0;
	buf_free(&work.digests);
	buf_free(&work.page);
	buf_free(&work.kept);
}

struct output {
	int fd;
	const char *path;
};

static int
write_bytes(const void *data, size_t len, void *arg, struct err *err)
{
	struct output *out = arg;

	return fs_write_all(out->fd, data, len, out->path, err);
}

/* A new file, whole or not at all: the bytes are somebody's data. */
static int
export_to(struct stored *s, const char *path, struct err *err)
{
	struct output out = {open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), path};
	int rc;

	if (out.fd < 0)
		return err_set(err, errno == EEXIST ? ERR_CONFIG : ERR_IO, errno, "create '%s'", path);
	rc = stored_read(s, NULL, write_bytes, &out, err);
	if (rc == 0 && fsync(out.fd) < 0)
		rc = err_set(err, ERR_IO, errno, "fsync '%s'", path);
	if (close(out.fd) < 0 && rc == 0)
		rc = err_set(err, ERR_IO, errno, "close '%s'", path);
	if (rc < 0)
		(void)unlink(path);
	return rc;
}

static int
choose(const struct conflict_views *v, const char *content, const struct conflict_view **out, struct err *err)
{
	bool first = content != NULL && strcmp(content, "first") == 0;

	*out = NULL;
	for (size_t i = 0; i < v->n; i++) {
		char id[2 * CONTENT_ID + 1];

		str_to_hex(id, v->list[i].conflict.content_id, CONTENT_ID);
		if (!first && content != NULL && strcmp(content, id) != 0)
			continue;
		if (*out != NULL && !first &&
		    memcmp((*out)->conflict.content_id, v->list[i].conflict.content_id, CONTENT_ID) != 0) {
			err_set(err, ERR_CONFIG, 0, "several contents came for '%s'", v->list[i].conflict.object);
			return err_hint(err, "say which: --content %s", id);
		}
		if (*out == NULL)
			*out = &v->list[i];
	}
	if (*out != NULL)
		return 0;
	err_set(err, ERR_NOT_FOUND, 0, "no content '%.40s' came there", content);
	return err_hint(err, "first, or 32 hex digits as pgcairn conflict show prints them");
}

int
conflict_export(const struct op *op, const char *object, const char *content, const char *path, struct err *err)
{
	KEYRING_AUTO struct keyring *ring = NULL;
	REPOSITORY_AUTO struct repository *r = NULL;
	STORED_AUTO struct stored *s = NULL;
	const struct conflict_view *one = NULL;
	struct conflict_views v = {0};
	char name[OBJECT_NAME_MAX];
	int rc = conflict_list(op, object, &v, err);

	if (rc == 0)
		rc = choose(&v, content, &one, err);
	if (rc == 0)
		rc = op_open_keyring(op, &ring, err);
	if (rc == 0)
		rc = op_open_repository(op, config_repository(op->config, one->repository), NULL, &r, err);
	if (rc == 0 && content != NULL && strcmp(content, "first") == 0)
		rc = str_copy(name, sizeof(name), one->conflict.object, "object name", err);
	else if (rc == 0)
		rc = layout_conflict(name, one->conflict.object, one->conflict.content_id, err);
	if (rc == 0)
		rc = stored_open(&s, r, name, kind_of(one->conflict.object), err);
	if (rc == 0)
		rc = stored_unlock(s, ring, err);
	if (rc == 0)
		rc = export_to(s, path, err);
	conflict_views_free(&v);
	return rc;
}
