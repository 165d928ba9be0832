#include "ops/spool_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "codec/content_id.h"

#define PART ".part"
#define MAGIC "pgcairn spool 1"
#define PIECE ((size_t)256 << 10) /* stays in the processor's cache */

/* Never leaves this boot of this host, so it is written as it lies in memory. */
struct trailer {
	char magic[16];
	char name[WAL_NAME_MAX];
	uint64_t size; /* of the bytes before it */
	struct spool_origin origin;
	uint8_t digest[CONTENT_ID]; /* of the bytes and the trailer up to here */
};
_Static_assert(SPOOL_KEY == COMPARISON_KEY, "the spool's key makes the digest");

struct spool_writer {
	const struct spool *spool;
	char name[WAL_NAME_MAX], part[WAL_NAME_MAX + sizeof(PART)];
	int fd;
	uint64_t size;
	struct content_id *id;
	bool published;
};

static void
finish_digest(struct content_id *id, const struct trailer *t, uint8_t out[CONTENT_ID])
{
	content_id_update(id, t, offsetof(struct trailer, digest));
	content_id_final(id, out);
}

int
spool_writer_new(struct spool_writer **out, const struct spool *s, const char *name, struct err *err)
{
	SPOOL_WRITER_AUTO struct spool_writer *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a segment");
	w->spool = s;
	w->fd = -1;
	(void)snprintf(w->name, sizeof(w->name), "%s", name);
	(void)snprintf(w->part, sizeof(w->part), "%s" PART, name);
	rc = content_id_new(&w->id, s->key, err);
	if (rc < 0)
		return rc;
	w->fd = openat(s->fd, w->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return err_set(err, fs_kind(errno), errno, "create '%s/%s'", s->path, w->part);
	/* who asks whether it is locked holds a lock for a moment */
	if (flock(w->fd, LOCK_EX) < 0)
		return err_set(err, ERR_IO, errno, "lock '%s/%s'", s->path, w->part);
	*out = STEAL(w);
	return 0;
}

int
spool_writer_add(struct spool_writer *w, const void *data, size_t len, uint64_t offset, struct err *err)
{
	int rc;

	if (offset != w->size)
		return err_set(err, ERR_BUG, 0, "a piece at %llu of '%s', behind %llu bytes", (unsigned long long)offset,
		    w->part, (unsigned long long)w->size);
	content_id_update(w->id, data, len);
	rc = fs_pwrite_all(w->fd, data, len, offset, w->part, err);
	if (rc < 0)
		return rc;
	w->size += len;
	/* only a hint: the server fsyncs the segment when it has it, and shall find little to do */
	(void)sync_file_range(w->fd, (off_t)offset, (off_t)len, SYNC_FILE_RANGE_WRITE);
	return 0;
}

int
spool_writer_end(struct spool_writer *w, const struct spool_origin *origin, struct err *err)
{
	struct trailer t;

	memset(&t, 0, sizeof(t)); /* what lies between the members is in the digest */
	memcpy(t.magic, MAGIC, sizeof(MAGIC));
	memcpy(t.name, w->name, sizeof(t.name));
	t.size = w->size;
	memcpy(&t.origin, origin, sizeof(t.origin));
	finish_digest(w->id, &t, t.digest);
	return fs_pwrite_all(w->fd, &t, sizeof(t), w->size, w->part, err);
}

int
spool_writer_publish(struct spool_writer *w, struct err *err)
{
	if (renameat(w->spool->fd, w->part, w->spool->fd, w->name) < 0)
		return err_set(err, fs_kind(errno), errno, "rename '%s/%s'", w->spool->path, w->part);
	w->published = true;
	return 0;
}

void
spool_writer_free(struct spool_writer *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0 && !w->published)
		(void)unlinkat(w->spool->fd, w->part, 0);
	if (w->fd >= 0)
		(void)close(w->fd);
	content_id_free(w->id);
	free(w);
}

/* An entry that is being handed over. */
struct entry {
	const struct spool *spool;
	const char *name;
	int fd;
	dev_t device;
	struct trailer trailer;
};

static int
not_ours(const struct entry *e, const char *what, struct err *err)
{
	return err_set(err, ERR_CORRUPT, 0, "'%s/%s' %s", e->spool->path, e->name, what);
}

static int
open_entry(struct entry *e, struct err *err)
{
	struct stat st, there;
	size_t got;
	int rc;

	e->fd = openat(e->spool->fd, e->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (e->fd < 0)
		return err_set(err, fs_kind(errno), errno, "open '%s/%s'", e->spool->path, e->name);
	if (flock(e->fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, ERR_RETRY, errno, "lock '%s/%s'", e->spool->path, e->name);
	if (fstat(e->fd, &st) < 0 || fstatat(e->spool->fd, e->name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_ino != there.st_ino) /* taken by who held it before us */
		return err_set(err, ERR_NOT_FOUND, 0, "'%s/%s' was taken", e->spool->path, e->name);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0 || st.st_nlink != 1)
		return not_ours(e, "is not a file of this user's alone", err);
	if ((uint64_t)st.st_size <= sizeof(e->trailer))
		return not_ours(e, "is not a whole segment", err);
	rc = fs_pread_upto(
	    e->fd, &e->trailer, sizeof(e->trailer), (uint64_t)st.st_size - sizeof(e->trailer), &got, e->name, err);
	if (rc < 0)
		return rc;
	if (got != sizeof(e->trailer) || memcmp(e->trailer.magic, MAGIC, sizeof(MAGIC)) != 0 ||
	    memcmp(e->trailer.name, e->name, strlen(e->name) + 1) != 0 ||
	    e->trailer.size != (uint64_t)st.st_size - sizeof(e->trailer))
		return not_ours(e, "is not a whole segment", err);
	e->device = st.st_dev;
	return 0;
}

/* Reads all of it, and copies it into the target where one is given. */
static int
verify(const struct entry *e, const struct fetch_target *copy, struct err *err)
{
	CONTENT_ID_AUTO struct content_id *id = NULL;
	FREE_AUTO uint8_t *piece = malloc(PIECE);
	uint8_t digest[CONTENT_ID];
	size_t got = 0;
	int rc = content_id_new(&id, e->spool->key, err);

	if (rc == 0 && piece == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for a segment");
	for (uint64_t at = 0; rc == 0 && at < e->trailer.size; at += got) {
		size_t want = e->trailer.size - at < PIECE ? (size_t)(e->trailer.size - at) : PIECE;

		rc = fs_pread_upto(e->fd, piece, want, at, &got, e->name, err);
		if (rc < 0 || got != want)
			return rc < 0 ? rc : not_ours(e, "became shorter", err);
		content_id_update(id, piece, got);
		if (copy != NULL)
			rc = fs_pwrite_all(copy->fd, piece, got, at, copy->temporary, err);
	}
	if (rc < 0)
		return rc;
	finish_digest(id, &e->trailer, digest);
	return memcmp(digest, e->trailer.digest, sizeof(digest)) == 0
		   ? 0
		   : not_ours(e, "holds other bytes than were put there", err);
}

static int
copy_over(const struct entry *e, struct fetch_target *t, struct err *err)
{
	int rc = verify(e, t, err);

	if (rc == 0)
		rc = fetch_target_publish(t, err);
	if (rc == 0)
		(void)unlinkat(e->spool->fd, e->name, 0);
	return rc;
}

/* One rename on one file system, else a copy. */
static int
hand_over(const struct entry *e, struct fetch_target *t, struct err *err)
{
	struct stat there;
	int rc;

	if (fstat(t->fd, &there) == 0 && there.st_dev != e->device)
		return copy_over(e, t, err);
	rc = verify(e, NULL, err);
	if (rc == 0 && ftruncate(e->fd, (off_t)e->trailer.size) < 0)
		rc = err_set(err, ERR_IO, errno, "truncate '%s/%s'", e->spool->path, e->name);
	if (rc < 0)
		return rc;
	rc = fetch_target_move(t, e->spool->fd, e->name, err);
	return rc == ERR_CONFIG ? copy_over(e, t, err) : rc; /* two mounts of one file system */
}

int
spool_take(const struct spool *s, const char *name, struct fetch_target *t, struct spool_origin *origin, struct err *err)
{
	struct entry e = {.spool = s, .name = name, .fd = -1};
	int rc = open_entry(&e, err);

	if (rc == 0)
		rc = fetch_target_open(t, err);
	if (rc == 0)
		rc = hand_over(&e, t, err);
	if (rc == 0)
		*origin = e.trailer.origin;
	if (rc == ERR_CORRUPT)
		(void)unlinkat(s->fd, name, 0);
	fetch_target_abandon(t);
	if (e.fd >= 0)
		(void)close(e.fd);
	return rc;
}

bool
spool_is_writing(const struct spool *s, const char *name, uint64_t *done)
{
	char part[WAL_NAME_MAX + sizeof(PART)];
	struct stat st;
	FD_AUTO int fd = -1;

	(void)snprintf(part, sizeof(part), "%s" PART, name);
	fd = openat(s->fd, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK || fstat(fd, &st) < 0)
		return false;
	*done = (uint64_t)st.st_size;
	return true;
}
