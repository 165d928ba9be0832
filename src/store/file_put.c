/*
 * Writing an object: write all -> fsync -> publish without replacing -> fsync the directory. The bytes go to a file without a
 * name, so that a kill at any moment leaves nothing; where the file system has no such files, to tmp/ under a lock that
 * tells the sweep that the writer lives.
 *
 * Rejected: making directories at the start (an abandoned put would leave them), a replacing rename (the last of two writers
 * would win), and asking "does it exist" first (both of two writers would hear no).
 */
#include "store/file_internal.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"

#define OBJECT_MODE 0640
#define DIR_MODE 0750
/* Where another host's lock cannot be seen, a backup's manifest may not have grown for hours; a day is for all. */
#define LITTER_AGE_MS (INT64_C(24) * 3600 * 1000)
#define WRITEBACK_CHUNK (UINT64_C(1) << 20) /* handed to the disk while the rest is still being encoded */

struct file_sink {
	struct sink base;
	struct file_store *s;
	int fd;
	int tmp_dir;  /* -1: the file has no name */
	char tmp[24]; /* its name in tmp_dir; "" once it is published */
	uint64_t written;
	uint64_t pushed; /* how much of it the kernel was told to write back */
	char key[STORE_KEY_MAX + 1];
};

static int
put_write(struct sink *sink, const void *data, size_t len, struct err *err)
{
	struct file_sink *f = (struct file_sink *)sink;
	int rc = fs_write_all(f->fd, data, len, f->key, err);

	if (rc < 0)
		return rc;
	f->written += len;
	for (; f->written - f->pushed >= WRITEBACK_CHUNK; f->pushed += WRITEBACK_CHUNK) {
		/* only a hint: fsync is what counts, and it reports the errors */
		(void)sync_file_range(f->fd, (off_t)f->pushed, (off_t)WRITEBACK_CHUNK, SYNC_FILE_RANGE_WRITE);
	}
	return 0;
}

/* The directory of the key, made when it is missing. */
static int
open_target(struct file_store *s, const char *key, const char *dir, int *out, struct err *err)
{
	struct err e;

	*out = file_openat(s, s->root, dir, O_RDONLY | O_DIRECTORY);
	if (*out < 0 && errno == ENOENT) {
		int rc = file_check_root(s, err);

		if (rc < 0)
			return rc;
		if (fs_make_dirs_at(s->root, dir, DIR_MODE, &e) < 0)
			return file_error(s, e.sys != 0 ? e.sys : EIO, "make the directories of", key, err);
		*out = file_openat(s, s->root, dir, O_RDONLY | O_DIRECTORY);
	}
	if (*out < 0)
		return file_error(s, errno, "open the directory of", key, err);
	return 0;
}

static int
publish(struct file_sink *f, int target, const char *name, struct err *err)
{
	struct file_store *s = f->s;
	enum fs_move how = s->options.mode == FILE_MODE_RENAME ? FS_MOVE_RENAME
			   : s->options.mode == FILE_MODE_LINK ? FS_MOVE_LINK
							       : FS_MOVE_ANY;
	char self[32];
	int rc;

	if (f->tmp_dir < 0) {
		/* linking the descriptor itself (AT_EMPTY_PATH) would ask for a capability */
		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
		if (linkat(AT_FDCWD, self, target, name, AT_SYMLINK_FOLLOW) < 0)
			return file_error(s, errno, "publish", f->key, err);
		return 0;
	}
	rc = fs_move_new(f->tmp_dir, f->tmp, target, name, how, err);
	if (rc < 0) {
		/* the temporary was there a moment ago: whoever took it away proved nothing about the key */
		if (err != NULL && rc == ERR_NOT_FOUND)
			err->kind = ERR_IO;
		(void)err_wrap(err, "put '%s' in %s", f->key, s->url);
		return rc == ERR_NOT_FOUND ? ERR_IO : rc;
	}
	f->tmp[0] = '\0';
	return 0;
}

/* Has this handle fsynced the directory's own name, and all above, before? If not, it notes it when remember is set. */
static bool
is_settled(struct file_store *s, ino_t ino, bool remember)
{
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < FILE_SETTLED_MAX; i++)
		found = found || s->settled[i] == ino;
	if (!found && remember)
		s->settled[s->settled_next++ % FILE_SETTLED_MAX] = ino;
	pthread_mutex_unlock(&s->lock);
	return found;
}

/*
 * Make the new name durable. The directory may have been made a moment ago by a process that was killed before its fsync of
 * the directory above, and then our object would go with it: so the first put of a handle into a directory fsyncs all the
 * way up, the later ones only the directory.
 */
static int
settle_name(struct file_store *s, int target, const char *dir, struct err *err)
{
	struct stat st;
	int rc;

	if (fstat(target, &st) < 0)
		return file_error(s, errno, "stat the directory", dir, err);
	if (is_settled(s, st.st_ino, false)) {
		if (fs_fsync_dirfd(target, dir, err) < 0)
			return file_error(s, errno, "fsync the directory", dir, err);
		return 0;
	}
	rc = file_settle_dirs(s, dir, err);
	if (rc == 0)
		(void)is_settled(s, st.st_ino, true);
	return rc;
}

static int
put_finish(struct sink *sink, struct err *err)
{
	struct file_sink *f = (struct file_sink *)sink;
	char dir[STORE_KEY_MAX + 1];
	const char *name = file_split(f->key, dir);
	FD_AUTO int target = -1;
	int rc;

	/* the file stays open, and with it the lock of a named one; after an fsync close has nothing left to report */
	if (fsync(f->fd) < 0)
		return file_error(f->s, errno, "fsync", f->key, err);
	rc = open_target(f->s, f->key, dir, &target, err);
	if (rc == 0)
		rc = file_check_root(f->s, err); /* a directory that was moved away takes bytes, but nobody will find them */
	if (rc == 0)
		rc = publish(f, target, name, err);
	if (rc == 0)
		rc = settle_name(f->s, target, dir, err);
	return rc;
}

static void
put_free(struct sink *sink)
{
	struct file_sink *f = (struct file_sink *)sink;

	if (f->tmp_dir >= 0 && f->tmp[0] != '\0')
		(void)unlinkat(f->tmp_dir, f->tmp, 0);
	if (f->tmp_dir >= 0)
		(void)close(f->tmp_dir);
	if (f->fd >= 0)
		(void)close(f->fd);
	free(f);
}

static int
create_named(struct file_sink *f, struct err *err)
{
	f->fd = fs_temporary_create(f->tmp_dir, "", OBJECT_MODE, f->tmp, sizeof(f->tmp));
	if (f->fd >= 0)
		return 0;
	f->tmp[0] = '\0'; /* not ours to remove */
	if (errno == EEXIST)
		return err_set(err, ERR_RETRY, 0, "no name was free for a temporary of '%s' in %s", f->key, f->s->url);
	return file_error(f->s, errno, "create a temporary for", f->key, err);
}

/*
 * The first temporary that a handle has to name takes away what killed writers left: where all are named, an archive command
 * that is killed at its time limit leaves one at every try. Best effort, and what fails now is done by the next.
 */
static void
sweep_once(struct file_store *s)
{
	unsigned removed;
	bool mine;

	pthread_mutex_lock(&s->lock);
	mine = !s->swept;
	s->swept = true;
	pthread_mutex_unlock(&s->lock);
	if (mine)
		(void)store_file_sweep(&s->base, LITTER_AGE_MS, &removed, NULL);
}

/* The error of a file system or kernel that has no unnamed files. */
static bool
is_unsupported(int sys)
{
	return sys == EOPNOTSUPP || sys == EISDIR || sys == ENOENT || sys == EINVAL;
}

static int
create_temporary(struct file_sink *f, struct err *err)
{
	struct file_store *s = f->s;
	bool may_name = s->options.mode != FILE_MODE_UNNAMED;
	struct err e;

	if (s->options.mode == FILE_MODE_UNNAMED || (s->options.mode == FILE_MODE_AUTO && s->proc)) {
		f->fd = openat(s->root, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, OBJECT_MODE);
		if (f->fd >= 0)
			return 0;
		if (!may_name || !is_unsupported(errno))
			return file_error(s, errno, "create a temporary for", f->key, err);
	}
	f->tmp_dir = file_openat(s, s->root, FILE_TMP_DIR, O_RDONLY | O_DIRECTORY);
	if (f->tmp_dir < 0 && errno == ENOENT) {
		if (fs_make_dirs_at(s->root, FILE_TMP_DIR, DIR_MODE, &e) < 0)
			return file_error(s, e.sys != 0 ? e.sys : EIO, "make the directory", FILE_TMP_DIR, err);
		f->tmp_dir = file_openat(s, s->root, FILE_TMP_DIR, O_RDONLY | O_DIRECTORY);
	}
	if (f->tmp_dir < 0)
		return file_error(s, errno, "open the directory", FILE_TMP_DIR, err);
	sweep_once(s);
	return create_named(f, err);
}

int
file_put(struct store *store, const char *key, struct sink **out, struct err *err)
{
	static const struct sink_ops ops = {.write = put_write, .finish = put_finish, .free = put_free};
	struct file_sink *f;
	int rc = store_key_check(key, false, err);

	if (rc == 0)
		rc = file_check_root((struct file_store *)store, err); /* before megabytes go where nobody will look */
	if (rc < 0)
		return rc;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory to put '%s'", key);
	f->base.ops = &ops;
	f->s = (struct file_store *)store;
	f->fd = f->tmp_dir = -1;
	memcpy(f->key, key, strlen(key) + 1);
	rc = create_temporary(f, err);
	if (rc < 0) {
		put_free(&f->base);
		return rc;
	}
	*out = &f->base;
	return 0;
}
