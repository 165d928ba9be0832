/*
 * Directories. Everything walks by descriptors: a path that is looked up twice can mean two places, and a removal that
 * follows a link deletes what nobody named.
 */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#define REMOVE_DEPTH_MAX 128 /* one descriptor a level */
#define REMOVE_PASSES 8      /* over a directory that somebody still fills */

/* The directory name below cur, made when it is missing and then fsynced into cur. A descriptor for look-ups in *out. */
static int
make_one(int cur, const char *name, mode_t mode, int nofollow, int *out, struct err *err)
{
	int flags = O_PATH | O_DIRECTORY | O_CLOEXEC | nofollow;
	FD_AUTO int sync = -1;
	int rc;

	*out = openat(cur, name, flags);
	if (*out >= 0)
		return 0;
	if (errno != ENOENT)
		return err_set(err, fs_kind(errno), errno, "open the directory '%s'", name);
	/* when another process was faster it may not have come to its fsync yet, so ours follows in any case */
	if (mkdirat(cur, name, mode) < 0 && errno != EEXIST)
		return err_set(err, fs_kind(errno), errno, "make the directory '%s'", name);
	sync = openat(cur, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sync < 0)
		return err_set(err, fs_kind(errno), errno, "open the directory above '%s'", name);
	rc = fs_fsync_dirfd(sync, name, err);
	if (rc < 0)
		return rc;
	*out = openat(cur, name, flags);
	if (*out < 0)
		return err_set(err, fs_kind(errno), errno, "open the directory '%s'", name);
	return 0;
}

static int
make_dirs(int at, const char *path, mode_t mode, int nofollow, struct err *err)
{
	FD_AUTO int cur = openat(at, *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1];

	if (cur < 0)
		return err_set(err, fs_kind(errno), errno, "open the directory above '%s'", path);
	for (const char *p = path; *p != '\0';) {
		size_t n = strcspn(p, "/");
		int next = -1, rc;

		if (n > NAME_MAX)
			return err_set(err, ERR_IO, ENAMETOOLONG, "make the directory '%s'", path);
		memcpy(name, p, n);
		name[n] = '\0';
		p += n;
		p += strspn(p, "/");
		if (n == 0 || strcmp(name, ".") == 0)
			continue;
		rc = make_one(cur, name, mode, nofollow, &next, err);
		if (rc < 0) {
			(void)err_wrap(err, "'%s'", path);
			return rc;
		}
		(void)close(cur);
		cur = next;
	}
	return 0;
}

int
fs_make_dirs(const char *path, mode_t mode, struct err *err)
{
	return make_dirs(AT_FDCWD, path, mode, 0, err);
}

int
fs_make_dirs_at(int dirfd, const char *path, mode_t mode, struct err *err)
{
	if (*path == '/' || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 || strstr(path, "/../") != NULL ||
	    (strlen(path) > 2 && strcmp(path + strlen(path) - 3, "/..") == 0))
		return err_set(err, ERR_BUG, 0, "'%s' leads out of its directory", path);
	return make_dirs(dirfd, path, mode, O_NOFOLLOW, err);
}

int
fs_names_read(int dirfd, const char *path, struct fs_names *out, struct err *err)
{
	struct fs_names names = {0};
	DIR_AUTO DIR *d = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0; /* a read position of our own */
	struct dirent *e;

	if (fd < 0)
		return err_set(err, fs_kind(errno), errno, "read the directory '%s'", path);
	d = fdopendir(fd);
	if (d == NULL) {
		rc = err_set(err, fs_kind(errno), errno, "read the directory '%s'", path);
		(void)close(fd);
		return rc;
	}
	while (errno = 0, (e = readdir(d)) != NULL && rc == 0) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		rc = buf_append(&names.text, &e->d_type, 1, err);
		if (rc == 0)
			rc = buf_append(&names.text, e->d_name, strlen(e->d_name) + 1, err);
		names.n++;
	}
	if (rc == 0 && errno != 0)
		rc = err_set(err, fs_kind(errno), errno, "read the directory '%s'", path);
	if (rc == 0 && names.n > 0) {
		names.list = calloc(names.n, sizeof(names.list[0]));
		if (names.list == NULL)
			rc = err_set(err, ERR_NOMEM, 0, "out of memory for the names in '%s'", path);
	}
	if (rc < 0) {
		fs_names_free(&names);
		return rc;
	}
	for (size_t i = 0, at = 0; i < names.n; i++) {
		names.list[i].type = names.text.data[at];
		names.list[i].name = (const char *)names.text.data + at + 1;
		at += strlen(names.list[i].name) + 2;
	}
	*out = names;
	return 0;
}

void
fs_names_free(struct fs_names *names)
{
	free(names->list);
	names->list = NULL;
	names->n = 0;
	buf_free(&names->text);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct fs_name *)a)->name, ((const struct fs_name *)b)->name);
}

int
fs_list_dir(const char *path, int (*each)(const char *name, void *arg, struct err *err), void *arg, struct err *err)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPE(fs_names_free) struct fs_names names = {0};
	int rc;

	if (fd < 0)
		return err_set(err, fs_kind(errno), errno, "open the directory '%s'", path);
	rc = fs_names_read(fd, path, &names, err);
	if (rc == 0 && names.n > 1)
		qsort(names.list, names.n, sizeof(names.list[0]), by_name);
	for (size_t i = 0; i < names.n && rc == 0; i++)
		rc = each(names.list[i].name, arg, err);
	return rc;
}

int
fs_require_empty(const char *path, struct err *err)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPE(fs_names_free) struct fs_names names = {0};
	int rc;

	if (fd < 0 && errno == ENOENT) {
		struct stat st;

		/* a link to nowhere also answers so, and something would be written through it */
		if (lstat(path, &st) < 0 && errno == ENOENT)
			return 0;
		return err_set(err, ERR_REFUSED, 0, "'%s' is a link to nowhere", path);
	}
	if (fd < 0)
		return err_set(err, errno == ENOTDIR ? ERR_REFUSED : fs_kind(errno), errno, "open the directory '%s'", path);
	rc = fs_names_read(fd, path, &names, err);
	if (rc == 0 && names.n > 0) {
		rc = err_set(err, ERR_REFUSED, 0, "the directory '%s' is not empty: it holds '%s'", path, names.list[0].name);
		(void)err_hint(err, "nothing is written over: name another directory, or empty this one yourself");
	}
	return rc;
}

struct removal {
	const char *top; /* for messages */
	dev_t dev;
};

static int remove_at(const struct removal *r, int dirfd, const char *name, int depth, struct err *err);

/* One walk over d. readdir may miss names while others go away, so the caller comes back until rmdir succeeds. */
static int
remove_entries(const struct removal *r, DIR *d, int depth, struct err *err)
{
	struct dirent *e;

	rewinddir(d);
	while (errno = 0, (e = readdir(d)) != NULL) {
		int rc;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		rc = remove_at(r, dirfd(d), e->d_name, depth + 1, err);
		if (rc < 0)
			return rc;
	}
	if (errno != 0)
		return err_set(err, fs_kind(errno), errno, "read a directory below '%s'", r->top);
	return 0;
}

static int
remove_dir(const struct removal *r, int dirfd, const char *name, int depth, struct err *err)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR_AUTO DIR *d = NULL;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(err, fs_kind(errno), errno, "open '%s' below '%s'", name, r->top);
	d = fdopendir(fd);
	if (d == NULL) {
		(void)close(fd);
		return err_set(err, ERR_NOMEM, 0, "out of memory to read '%s'", name);
	}
	if (fstat(fd, &st) < 0)
		return err_set(err, fs_kind(errno), errno, "stat '%s' below '%s'", name, r->top);
	if (st.st_dev != r->dev)
		return err_set(err, ERR_REFUSED, 0, "'%s' below '%s' is another file system", name, r->top);
	for (int pass = 0; pass < REMOVE_PASSES; pass++) {
		int rc = remove_entries(r, d, depth, err);

		if (rc < 0)
			return rc;
		if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			break;
	}
	return err_set(err, fs_kind(errno), errno, "remove the directory '%s' below '%s'", name, r->top);
}

static int
remove_at(const struct removal *r, int dirfd, const char *name, int depth, struct err *err)
{
	struct stat st;

	if (depth > REMOVE_DEPTH_MAX)
		return err_set(err, ERR_REFUSED, 0, "'%s' is deeper than %d directories", r->top, REMOVE_DEPTH_MAX);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set(err, fs_kind(errno), errno, "stat '%s' below '%s'", name, r->top);
	if (S_ISDIR(st.st_mode))
		return remove_dir(r, dirfd, name, depth, err);
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, fs_kind(errno), errno, "remove '%s' below '%s'", name, r->top);
	return 0;
}

int
fs_remove_tree(const char *path, struct err *err)
{
	struct removal r = {.top = path};
	char copy[PATH_MAX];
	FD_AUTO int dirfd = -1;
	size_t n = strlen(path);
	struct stat st;
	char *slash;
	const char *name;

	if (n >= sizeof(copy))
		return err_set(err, ERR_IO, ENAMETOOLONG, "remove '%s'", path);
	memcpy(copy, path, n + 1);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	slash = strrchr(copy, '/');
	name = slash == NULL ? copy : slash + 1;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(err, ERR_BUG, 0, "remove '%s': that names no entry of a directory", path);
	if (slash != NULL)
		*slash = '\0';
	dirfd = open(slash == NULL ? "." : slash == copy ? "/" : copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : err_set(err, fs_kind(errno), errno, "open the directory of '%s'", path);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set(err, fs_kind(errno), errno, "stat '%s'", path);
	r.dev = st.st_dev;
	return remove_at(&r, dirfd, name, 0, err);
}
