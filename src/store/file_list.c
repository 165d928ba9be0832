/*
 * Listing: a walk in byte order of whole keys. One directory's names a level are in memory, at most STORE_KEY_DEPTH levels.
 * A name that no key can have is nobody's object and is passed over; a name that could be one but is a link or a special
 * file is an error, because whoever asks what is there must not be told that it is not.
 */
#include "store/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/fs.h"

struct listing {
	struct file_store *s;
	store_each *each;
	void *arg;
	bool names_only;
	char key[STORE_KEY_MAX + 2]; /* the directory that is walked, "" or with a '/' behind it; a name goes behind that */
};

/* A directory counts as its name and '/': "a-b" comes before "a/c", and "a/c" before "a0". */
static int
by_key(const void *pa, const void *pb)
{
	const struct fs_name *a = pa, *b = pb;
	size_t i = 0;
	unsigned char x, y;

	while (a->name[i] != '\0' && a->name[i] == b->name[i])
		i++;
	x = (unsigned char)a->name[i];
	y = (unsigned char)b->name[i];
	if (x == '\0' && a->type == DT_DIR)
		x = '/';
	if (y == '\0' && b->type == DT_DIR)
		y = '/';
	return (x > y) - (x < y);
}

/* Some file systems do not tell types with names. */
static void
find_types(int dirfd, struct fs_names *names)
{
	struct stat st;

	for (size_t i = 0; i < names->n; i++) {
		if (names->list[i].type == DT_UNKNOWN && fstatat(dirfd, names->list[i].name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			names->list[i].type = (unsigned char)IFTODT(st.st_mode);
	}
}

static int walk(struct listing *l, int dirfd, int depth, struct err *err);

static int
list_object(struct listing *l, int dirfd, const struct fs_name *n, struct err *err)
{
	struct store_entry e = {.key = l->key};
	struct stat st;

	if (l->names_only && n->type == DT_REG)
		return l->each(&e, l->arg, err);
	if (fstatat(dirfd, n->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : file_error(l->s, errno, "stat", l->key, err);
	if (!S_ISREG(st.st_mode))
		return file_error(l->s, ELOOP, "list", l->key, err);
	file_stat_of(&st, &e.stat);
	return l->each(&e, l->arg, err);
}

/* Could this name be a segment of a key? The names that are reserved at the root are free below it. */
static bool
is_segment(const char *name, bool at_root)
{
	char key[NAME_MAX + 3];

	return (size_t)snprintf(key, sizeof(key), "%s%s", at_root ? "" : "x/", name) < sizeof(key) &&
	       store_key_check(key, false, NULL) == 0;
}

static int
list_dir(struct listing *l, int dirfd, const char *name, int depth, struct err *err)
{
	FD_AUTO int fd = file_openat(l->s, dirfd, name, O_RDONLY | O_DIRECTORY);
	size_t n = strlen(l->key);

	if (fd < 0)
		return errno == ENOENT ? 0 : file_error(l->s, errno, "open the directory", l->key, err);
	l->key[n] = '/';
	l->key[n + 1] = '\0';
	return walk(l, fd, depth + 1, err);
}

/* One name of the directory l->key. */
static int
list_name(struct listing *l, int dirfd, const struct fs_name *n, int depth, struct err *err)
{
	size_t at = strlen(l->key), len = strlen(n->name);
	bool is_dir = n->type == DT_DIR;
	int rc;

	if (!is_segment(n->name, at == 0))
		return 0;
	if (depth + 1 + is_dir > STORE_KEY_DEPTH || at + len + is_dir > STORE_KEY_MAX)
		return err_set(
		    err, ERR_CORRUPT, 0, "'%s%s' in %s is deeper or longer than any key", l->key, n->name, l->s->url);
	memcpy(l->key + at, n->name, len + 1);
	rc = is_dir ? list_dir(l, dirfd, n->name, depth, err) : list_object(l, dirfd, n, err);
	l->key[at] = '\0';
	return rc;
}

/* depth: how many segments stand in front of the names of this directory. */
static int
walk(struct listing *l, int dirfd, int depth, struct err *err)
{
	SCOPE(fs_names_free) struct fs_names names = {0};
	int rc = fs_names_read(dirfd, l->key, &names, err);

	if (rc < 0)
		return rc == ERR_NOT_FOUND ? 0 : rc; /* removed since it was opened */
	find_types(dirfd, &names);
	if (names.n > 1)
		qsort(names.list, names.n, sizeof(names.list[0]), by_key);
	for (size_t i = 0; i < names.n && rc == 0; i++)
		rc = list_name(l, dirfd, &names.list[i], depth, err);
	return rc;
}

static int
list(struct file_store *s, const char *prefix, bool names_only, store_each *each, void *arg, struct err *err)
{
	struct listing l = {.s = s, .each = each, .arg = arg, .names_only = names_only};
	char dir[STORE_KEY_MAX + 2];
	FD_AUTO int fd = -1;
	size_t n = strlen(prefix);
	int rc = store_key_check(prefix, true, err), depth = 0;

	if (rc < 0)
		return rc;
	memcpy(l.key, prefix, n + 1);
	for (size_t i = 0; i < n; i++)
		depth += prefix[i] == '/';
	if (n == 0) {
		memcpy(dir, ".", 2);
	} else {
		memcpy(dir, prefix, n - 1);
		dir[n - 1] = '\0';
	}
	fd = file_openat(s, s->root, dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0 && errno != ENOENT)
		return file_error(s, errno, "list", prefix, err);
	if (fd >= 0) {
		rc = walk(&l, fd, depth, err);
		if (rc != 0)
			return rc;
	}
	/* whatever was not there counts only if the root is */
	return file_check_root(s, err);
}

int
file_list(struct store *store, const char *prefix, store_each *each, void *arg, struct err *err)
{
	return list((struct file_store *)store, prefix, false, each, arg, err);
}

int
file_list_names(struct store *store, const char *prefix, store_each *each, void *arg, struct err *err)
{
	return list((struct file_store *)store, prefix, true, each, arg, err);
}
