#include "ops/archive_source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/str.h"
#include "pg/label.h"
#include "pg/timeline.h"
#include "pg/wal_walker.h"
#include "repo/wal_object.h"

#define SMALL_FILE_MAX ((size_t)1 << 20)
#define LONG_HEADER 40

bool
archive_source_is_segment(const struct archive_source *s)
{
	return s->kind == OBJECT_WAL || s->kind == OBJECT_WAL_PARTIAL;
}

/* Whose WAL this is, as its first page says; the walk checks that page again with all others. */
static int
peek(struct archive_source *s, struct err *err)
{
	uint8_t page[LONG_HEADER];
	size_t got;
	int rc = fs_pread_upto(s->fd, page, sizeof(page), 0, &got, s->path, err);

	if (rc < 0)
		return rc;
	s->sysid = got == sizeof(page) ? le64_get(page + 24) : 0;
	s->segment_size = got == sizeof(page) ? le32_get(page + 32) : 0;
	return 0;
}

int
archive_source_open(struct archive_source *s, const char *path, const char *name, struct err *err)
{
	struct stat st;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	s->path = path;
	if (!wal_name_parse(name, &s->name)) {
		err_set(err, ERR_CONFIG, 0, "'%s' is not the name of a WAL file", name);
		return err_hint(err, "archive_command = 'pgcairn-wal-archive %%p %%f'");
	}
	wal_name_format(s->file_name, &s->name);
	s->kind = wal_object_kind(&s->name);
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0)
		return err_set(err, ERR_IO, errno, "open '%s'", path);
	if (fstat(s->fd, &st) < 0)
		return err_set(err, ERR_IO, errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CORRUPT, 0, "'%s' is not a regular file", path);
	s->size = (uint64_t)st.st_size;
	if (archive_source_is_segment(s))
		return peek(s, err);
	if (s->size == 0 || s->size > SMALL_FILE_MAX)
		return err_set(err, ERR_CORRUPT, 0, "'%s' has %llu bytes, which no file of its kind has", path,
		    (unsigned long long)s->size);
	return 0;
}

void
archive_source_close(struct archive_source *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}

bool
archive_source_is_in(const struct archive_source *s, const char *pgdata)
{
	FREE_AUTO char *path = str_printf("%s/pg_wal/%s", pgdata, s->file_name);
	struct stat ours, there;

	return path != NULL && fstat(s->fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

int
archive_source_fits(struct archive_source *s, uint32_t segment_size, struct err *err)
{
	if (archive_source_is_segment(s) && s->segment_size != segment_size)
		return err_set(err, ERR_CORRUPT, 0, "'%s' says that segments have %u bytes, the cluster's have %u", s->path,
		    s->segment_size, segment_size);
	if (s->kind == OBJECT_WAL && s->size != segment_size)
		return err_set(err, ERR_CORRUPT, 0, "'%s' has %llu bytes, a segment has %u", s->path,
		    (unsigned long long)s->size, segment_size);
	if (s->name.kind != WAL_NAME_HISTORY && !wal_name_fits(&s->name, segment_size))
		return err_set(err, ERR_CONFIG, 0, "'%s' cannot be a segment of %u bytes", s->file_name, segment_size);
	s->segment_size = segment_size;
	return 0;
}

/* Where the bytes of one pass go. */
struct pass {
	bool as_is;                /* nothing is checked: neither of the next two */
	struct wal_walker *walker; /* segments */
	struct buf small;          /* the other files */
	struct content_id *content;
	struct object_writer *object;
};

/* Where the next piece is read to: its place in the object, or the spare buffer when nothing is written. */
static int
next_room(const struct pass *p, uint8_t *spare, uint8_t **at, size_t *room, struct err *err)
{
	if (p->object != NULL)
		return object_writer_room(p->object, at, room, err);
	*at = spare;
	*room = OBJECT_FRAME;
	return 0;
}

static int
feed(struct pass *p, const void *data, size_t len, struct err *err)
{
	int rc = 0;

	if (p->walker != NULL)
		rc = wal_walker_feed(p->walker, data, len, err);
	else if (!p->as_is)
		rc = buf_append(&p->small, data, len, err);
	content_id_update(p->content, data, len);
	if (rc == 0 && p->object != NULL)
		object_writer_filled(p->object, len);
	return rc;
}

static int
read_through(struct archive_source *s, struct pass *p, struct err *err)
{
	FREE_AUTO uint8_t *spare = p->object == NULL ? malloc(OBJECT_FRAME) : NULL;
	uint64_t at = 0;
	int rc = 0;

	if (spare == NULL && p->object == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for reading '%s'", s->path);
	(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while (rc == 0 && at < s->size) {
		uint8_t *piece;
		size_t want, got;

		rc = next_room(p, spare, &piece, &want, err);
		if (rc < 0)
			break;
		if (s->size - at < want)
			want = (size_t)(s->size - at);
		rc = fs_pread_upto(s->fd, piece, want, at, &got, s->path, err);
		if (rc == 0 && got < want)
			rc = err_set(err, ERR_CORRUPT, 0, "'%s' became shorter while it was read", s->path);
		if (rc == 0)
			rc = feed(p, piece, got, err);
		at += want;
	}
	return rc;
}

/* A history file must parse: recovery would stumble over it later. */
static int
check_small(const struct archive_source *s, const struct pass *p, struct err *err)
{
	int rc = 0;

	if (s->kind == OBJECT_TIMELINE_HISTORY) {
		TIMELINE_HISTORY_AUTO struct timeline_history h = {0};

		rc = timeline_history_parse(&h, s->name.timeline, buf_text(&p->small), p->small.len, err);
	} else {
		struct label label;

		rc = label_parse(&label, buf_text(&p->small), p->small.len, err);
	}
	return rc < 0 ? err_wrap(err, "'%s'", s->path) : 0;
}

static int
start_walk(const struct archive_source *s, struct wal_walker **walker, struct err *err)
{
	const struct wal_walk_options o = {
	    .name = s->name,
	    .mode = s->kind == OBJECT_WAL_PARTIAL ? WAL_PARTIAL : WAL_COMPLETE,
	};

	return wal_walker_new(walker, &o, err);
}

static int
pass(struct archive_source *s, const struct secret *comparison, struct object_writer *object, bool as_is, struct err *err)
{
	WAL_WALKER_AUTO struct wal_walker *walker = NULL;
	CONTENT_ID_AUTO struct content_id *content = NULL;
	struct pass p = {.as_is = as_is, .object = object, .small = {.max = SMALL_FILE_MAX}};
	int rc = content_id_new(&content, comparison->bytes, err);

	if (rc == 0 && !as_is && archive_source_is_segment(s))
		rc = start_walk(s, &walker, err);
	p.walker = walker;
	p.content = content;
	if (rc == 0)
		rc = read_through(s, &p, err);
	if (rc == 0 && walker != NULL)
		rc = wal_walker_finish(walker, &s->summary, err);
	else if (rc == 0 && !as_is)
		rc = check_small(s, &p, err);
	buf_free(&p.small);
	if (rc == 0)
		content_id_final(content, s->content_id);
	return rc;
}

int
archive_source_pass(struct archive_source *s, const struct secret *comparison, struct object_writer *object, struct err *err)
{
	return pass(s, comparison, object, false, err);
}

int
archive_source_digest(struct archive_source *s, const struct secret *comparison, struct object_writer *object, struct err *err)
{
	return pass(s, comparison, object, true, err);
}
