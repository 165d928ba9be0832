#include "ops/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/fetch_source.h"

#define LOCK "lock"
#define BELL "bell"
#define OFF "off"
#define OFF_TOLD "off.told"
#define OFF_SECONDS 600
#define OFF_TEXT 1024
#define KEY_DIGITS 16
#define TRIES 100

static int
add(struct buf *b, const char *what, const void *data, size_t len, struct err *err)
{
	int rc = buf_printf(b, err, "%s %zu ", what, len);

	return rc < 0 ? rc : buf_append(b, data, len, err);
}

/* Which file it is, and in which state: a change leaves another time or another inode behind. */
static int
add_file(struct buf *b, const char *what, const char *path, struct err *err)
{
	struct stat st;
	char text[256] = "none";

	if (path != NULL && stat(path, &st) == 0)
		(void)snprintf(text, sizeof(text), "%ju %ju %jd %jd.%09ld %jd.%09ld", (uintmax_t)st.st_dev,
		    (uintmax_t)st.st_ino, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		    (intmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	return add(b, what, text, strlen(text), err);
}

static int
add_names(struct buf *b, const char *what, const char *const *names, size_t n, struct err *err)
{
	int rc = add(b, what, &n, sizeof(n), err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = add(b, "name", names[i], strlen(names[i]), err);
	return rc;
}

/* This boot of this host, and the directory that recovers. */
static int
add_place(struct buf *b, struct spool *s, const struct op *op, struct err *err)
{
	char boot[CLOCK_BOOT_ID];
	struct control control;
	struct stat here;
	int rc = clock_boot_id(boot, err);

	if (rc == 0 && stat(".", &here) < 0)
		rc = err_set(err, ERR_IO, errno, "stat the current directory");
	if (rc == 0)
		rc = fetch_find_control(op, &control, err);
	if (rc == 0)
		rc = add(b, "boot", boot, strlen(boot), err);
	if (rc == 0)
		rc = buf_printf(b, err, " pgdata %ju %ju system %" PRIu64 " ", (uintmax_t)here.st_dev, (uintmax_t)here.st_ino,
		    control.sysid);
	s->segment_size = rc == 0 ? control.wal_segment_size : 0;
	return rc;
}

static int
make_key(struct spool *s, const struct op *op, const struct fetch_options *o, struct err *err)
{
	BUF_AUTO struct buf all = {.max = (size_t)1 << 20}, settings = {.max = (size_t)1 << 19};
	int rc = config_print(op->config, &settings, false, err);

	if (rc == 0)
		rc = add_place(&all, s, op, err);
	if (rc == 0)
		rc = add(&all, "settings", settings.data, settings.len, err);
	if (rc == 0)
		rc = add(&all, "cluster", op->cluster->name, strlen(op->cluster->name), err);
	if (rc == 0)
		rc = add_names(&all, "only", o->only, o->n_only, err);
	if (rc == 0)
		rc = add_names(&all, "without", o->without, o->n_without, err);
	if (rc == 0)
		rc = add(&all, "lives", &o->lives_on, sizeof(o->lives_on), err);
	if (rc == 0)
		rc = add_file(&all, "session", o->session, err);
	if (rc == 0)
		rc = add_file(&all, "identity", op->config->identity, err);
	if (rc == 0)
		rc = add_file(&all, "signers", op->config->signers_file, err);
	_Static_assert(SPOOL_KEY == OBJECT_DIGEST, "a key is a digest");
	if (rc == 0)
		object_hash(s->key, all.data, all.len);
	return rc;
}

int
spool_find(struct spool *s, const struct op *op, const struct fetch_options *o, struct err *err)
{
	char digits[KEY_DIGITS + 1];
	int rc = make_key(s, op, o, err), n;

	if (rc < 0)
		return rc;
	str_to_hex(digits, s->key, KEY_DIGITS / 2);
	(void)snprintf(s->parent, sizeof(s->parent), "%s/%s", op->config->spool_directory, op->cluster->name);
	n = snprintf(s->path, sizeof(s->path), "%s/%s", s->parent, digits);
	if (n < 0 || (size_t)n >= sizeof(s->path))
		return err_set(err, ERR_CONFIG, 0, "the path of spool-directory is too long");
	return 0;
}

static int
open_own_directory(int at, const char *path, int *out, struct err *err)
{
	FD_AUTO int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_set(err, fs_kind(errno), errno, "open the spool '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_set(err, ERR_IO, errno, "stat '%s'", path);
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		err_set(err, ERR_REFUSED, 0, "the spool '%s' is not this user's alone", path);
		return err_hint(err, "remove it; it is made anew with mode 0700");
	}
	*out = fd;
	fd = -1;
	return 0;
}

/* What lies in the data directory goes into its base backups. */
static int
refuse_inside(const struct spool *s, struct err *err)
{
	FREE_AUTO char *pgdata = NULL;
	FREE_AUTO char *spool = NULL;
	int rc = fs_real_path(".", &pgdata, err);

	if (rc == 0)
		rc = fs_real_path(s->parent, &spool, err);
	if (rc < 0 || !fs_is_inside(spool, pgdata))
		return rc;
	err_set(err, ERR_REFUSED, 0, "the spool '%s' lies in the data directory", s->parent);
	return err_hint(err, "set spool-directory in [restore] to a place outside of it");
}

int
spool_open(struct spool *s, bool create, struct err *err)
{
	FD_AUTO int parent = -1;
	int rc = create ? refuse_inside(s, err) : 0;

	if (rc == 0 && create)
		rc = fs_make_dirs(s->parent, 0700, err);

	/* who may write the directory above could put another in this one's place */
	if (rc == 0)
		rc = open_own_directory(AT_FDCWD, s->parent, &parent, err);
	if (rc == 0 && create && mkdir(s->path, 0700) < 0 && errno != EEXIST)
		rc = err_set(err, fs_kind(errno), errno, "make the spool '%s'", s->path);
	if (rc == 0)
		rc = open_own_directory(AT_FDCWD, s->path, &s->fd, err);
	return rc;
}

void
spool_close(struct spool *s)
{
	if (s->lock >= 0)
		(void)close(s->lock);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = s->lock = -1;
}

/* 0 and the descriptor, or ERR_EXISTS: another process holds it. ERR_RETRY: the spool was removed meanwhile. */
static int
lock_directory(int dirfd, int flags, int *out, struct err *err)
{
	FD_AUTO int fd = openat(dirfd, LOCK, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);
	struct stat ours, there;

	if (fd < 0)
		return err_set(err, errno == ENOENT ? ERR_RETRY : fs_kind(errno), errno, "open the spool's lock");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno == EWOULDBLOCK ? ERR_EXISTS : ERR_IO, errno, "lock the spool");
	if (fstat(fd, &ours) < 0 || fstatat(dirfd, LOCK, &there, AT_SYMLINK_NOFOLLOW) < 0 || ours.st_ino != there.st_ino)
		return err_set(err, ERR_RETRY, 0, "the spool was removed");
	*out = fd;
	fd = -1;
	return 0;
}

int
spool_own(struct spool *s, struct err *err)
{
	int rc = ERR_RETRY;

	for (int i = 0; rc == ERR_RETRY && i < TRIES; i++) {
		spool_close(s);
		rc = spool_open(s, true, err);
		if (rc == ERR_NOT_FOUND) /* removed between the two */
			rc = ERR_RETRY;
		if (rc == 0)
			rc = lock_directory(s->fd, O_CREAT, &s->lock, err);
	}
	return rc;
}

static void
empty(int dirfd, const char *path, bool notes_too)
{
	SCOPE(fs_names_free) struct fs_names names = {0};

	if (fs_names_read(dirfd, path, &names, NULL) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.list[i].name;

		if (strcmp(name, LOCK) != 0 && (notes_too || !str_starts(name, OFF)))
			(void)unlinkat(dirfd, name, 0);
	}
}

void
spool_clear(const struct spool *s)
{
	empty(s->fd, s->path, false);
}

/* The lock last: until then nobody else begins there. */
static void
take_away(int dirfd, const char *path)
{
	(void)unlinkat(dirfd, LOCK, 0);
	(void)rmdir(path);
}

void
spool_remove(const struct spool *s)
{
	struct stat st;

	spool_clear(s);
	if (fstatat(s->fd, OFF, &st, AT_SYMLINK_NOFOLLOW) < 0 && fstatat(s->fd, OFF_TOLD, &st, AT_SYMLINK_NOFOLLOW) < 0)
		take_away(s->fd, s->path);
}

static void
sweep_one(const struct spool *s, const char *name)
{
	char path[SPOOL_PATH_MAX + 64];
	FD_AUTO int fd = -1, lock = -1;

	(void)snprintf(path, sizeof(path), "%s/%s", s->parent, name);
	if (strcmp(path, s->path) == 0 || open_own_directory(AT_FDCWD, path, &fd, NULL) < 0 ||
	    lock_directory(fd, O_CREAT, &lock, NULL) < 0)
		return;
	empty(fd, path, true);
	take_away(fd, path);
}

void
spool_sweep(const struct spool *s)
{
	SCOPE(fs_names_free) struct fs_names names = {0};
	FD_AUTO int parent = open(s->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t unused;

	if (parent < 0 || fs_names_read(parent, s->parent, &names, NULL) < 0)
		return;
	for (size_t i = 0; i < names.n; i++)
		if (strlen(names.list[i].name) == KEY_DIGITS && str_hex_to_u64(names.list[i].name, KEY_DIGITS, &unused))
			sweep_one(s, names.list[i].name);
}

void
spool_give_up(const struct spool *s, const struct err *why)
{
	char text[OFF_TEXT + 1];
	FD_AUTO int fd = -1;
	int n = snprintf(text, sizeof(text), "%.*s", OFF_TEXT, why->msg);

	spool_clear(s); /* which makes room for a line on a full disk */
	fd = openat(s->fd, OFF, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)fs_write_all(fd, text, (size_t)n, OFF, NULL);
}

bool
spool_is_off(const struct spool *s, struct err *why)
{
	char text[OFF_TEXT + 1] = "";
	struct stat st;
	size_t len = 0;
	FD_AUTO int fd = openat(s->fd, OFF, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	why->kind = 0;
	if (fd >= 0 && renameat(s->fd, OFF, s->fd, OFF_TOLD) == 0) {
		if (fs_read_upto(fd, text, OFF_TEXT, &len, OFF, NULL) == 0)
			text[len] = '\0';
		err_set(why, ERR_IO, 0, "%s", text[0] != '\0' ? text : "the spool cannot be written");
		return true;
	}
	if (fstatat(s->fd, OFF_TOLD, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (clock_now_us() / 1000000 - st.st_mtim.tv_sec < OFF_SECONDS)
		return true;
	(void)unlinkat(s->fd, OFF_TOLD, 0);
	return false;
}

static bool
is_own_fifo(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_uid == geteuid();
}

bool
spool_ring(const struct spool *s, enum spool_word word, const char *name)
{
	struct spool_message m = {.word = (char)word};
	FD_AUTO int fd = openat(s->fd, BELL, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || !is_own_fifo(fd))
		return false;
	(void)snprintf(m.name, sizeof(m.name), "%s", name);
	/* a full fifo has a reader as well, which does not come to it */
	return write(fd, &m, sizeof(m)) == (ssize_t)sizeof(m) || errno == EAGAIN;
}

int
spool_listen(const struct spool *s, int *out, struct err *err)
{
	FD_AUTO int fd = -1;

	(void)unlinkat(s->fd, BELL, 0);
	if (mkfifoat(s->fd, BELL, 0600) < 0)
		return err_set(err, fs_kind(errno), errno, "make a fifo in the spool '%s'", s->path);
	/* for writing too: one without writers would be ready to be read for ever */
	fd = openat(s->fd, BELL, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || !is_own_fifo(fd))
		return err_set(err, ERR_IO, errno, "open the fifo in the spool '%s'", s->path);
	*out = fd;
	fd = -1;
	return 0;
}
