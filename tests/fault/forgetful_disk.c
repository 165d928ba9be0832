#include "forgetful.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scope.h"

#define PAGE ((size_t)4096)

void
die(const char *what, const char *path)
{
	(void)fprintf(stderr, "forgetful: %s '%s': %s\n", what, path, strerror(errno));
	exit(1);
}

static void *
resize(void *old, size_t size)
{
	void *p = realloc(old, size > 0 ? size : 1);

	if (p == NULL)
		die("no memory for", "a disk");
	return p;
}

struct node *
disk_node(struct disk *d, mode_t mode, uid_t uid, gid_t gid)
{
	struct node *n = resize(NULL, sizeof(*n));

	memset(n, 0, sizeof(*n));
	n->next = d->nodes;
	d->nodes = n;
	n->number = ++d->last_number;
	n->now.mode = n->kept.mode = mode;
	n->now.uid = n->kept.uid = uid;
	n->now.gid = n->kept.gid = gid;
	(void)clock_gettime(CLOCK_REALTIME, &n->modified);
	return n;
}

static struct name *
find(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->list[i].node != NULL && strcmp(names->list[i].text, name) == 0)
			return &names->list[i];
	return NULL;
}

static void
append(struct names *names, const char *name, struct node *node)
{
	if (names->n == names->cap) {
		names->cap = names->cap == 0 ? 16 : 2 * names->cap;
		names->list = resize(names->list, names->cap * sizeof(*names->list));
	}
	(void)snprintf(names->list[names->n].text, sizeof(names->list[0].text), "%s", name);
	names->list[names->n++].node = node;
}

static void
set(struct names *names, const char *name, struct node *node)
{
	struct name *there = find(names, name);

	if (there != NULL)
		there->node = node;
	else if (node != NULL)
		append(names, name, node);
}

static void
copy(struct names *to, const struct names *from)
{
	to->n = 0;
	for (size_t i = 0; i < from->n; i++)
		if (from->list[i].node != NULL)
			append(to, from->list[i].text, from->list[i].node);
}

struct name *
disk_find(const struct node *dir, const char *name)
{
	return find(&dir->now.names, name);
}

bool
disk_is_empty(const struct node *dir)
{
	for (size_t i = 0; i < dir->now.names.n; i++)
		if (dir->now.names.list[i].node != NULL)
			return false;
	return true;
}

static void
keep_sound(struct node *n)
{
	if (n->sound)
		disk_keep(n);
}

void
disk_set_name(struct node *dir, const char *name, struct node *node)
{
	struct name *there = disk_find(dir, name);

	if (there != NULL)
		there->node->links--;
	if (node != NULL) {
		node->links++;
		if (node->parent == NULL) {
			node->parent = dir;
			(void)snprintf(node->first_name, sizeof(node->first_name), "%s", name);
		}
	}
	set(&dir->now.names, name, node);
	append(&dir->changes, name, node);
	keep_sound(dir);
}

void
disk_resize(struct node *file, size_t size)
{
	file->now.data = resize(file->now.data, size);
	if (size > file->now.size)
		memset(file->now.data + file->now.size, 0, size - file->now.size);
	file->now.size = size;
	(void)clock_gettime(CLOCK_REALTIME, &file->modified);
	keep_sound(file);
}

void
disk_write(struct node *file, const void *data, size_t len, size_t offset)
{
	disk_resize(file, offset + len > file->now.size ? offset + len : file->now.size);
	memcpy(file->now.data + offset, data, len);
	keep_sound(file);
}

void
disk_keep(struct node *node)
{
	struct state *k = &node->kept, *n = &node->now;

	k->mode = n->mode;
	k->uid = n->uid;
	k->gid = n->gid;
	k->data = resize(k->data, n->size);
	if (n->size > 0)
		memcpy(k->data, n->data, n->size);
	k->size = n->size;
	copy(&k->names, &n->names);
	node->changes.n = 0;
}

void
disk_path(const struct node *node, char out[PATH_MAX])
{
	char above[PATH_MAX] = "";

	if (node->parent != NULL)
		disk_path(node->parent, above);
	if (snprintf(out, PATH_MAX, "%s/%s", above[0] == '/' && above[1] == '\0' ? "" : above,
		node->links == 0 && node->parent == NULL ? "(unnamed)" : node->first_name) >= PATH_MAX)
		die("too long a path at", node->first_name);
}

static void load_dir(struct disk *d, struct node *dir, const char *path);

static void
load_file(struct node *n, const char *path, size_t size)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got;

	disk_resize(n, size);
	if (fd < 0 || fs_read_upto(fd, n->now.data, size, &got, path, NULL) < 0)
		die("read", path);
}

static void
load_one(struct disk *d, struct node *dir, const char *path, const char *name)
{
	char target[PATH_MAX];
	struct node *n;
	struct stat st;
	ssize_t len;

	if (lstat(path, &st) < 0)
		die("stat", path);
	n = disk_node(d, st.st_mode, st.st_uid, st.st_gid);
	disk_set_name(dir, name, n);
	if (S_ISDIR(st.st_mode))
		load_dir(d, n, path);
	else if (S_ISLNK(st.st_mode)) {
		len = readlink(path, target, sizeof(target));
		if (len < 0)
			die("read the link", path);
		disk_write(n, target, (size_t)len, 0);
	} else if (S_ISREG(st.st_mode))
		load_file(n, path, (size_t)st.st_size);
	n->modified = st.st_mtim;
	disk_keep(n);
}

static void
load_dir(struct disk *d, struct node *dir, const char *path)
{
	DIR_AUTO DIR *open_dir = opendir(path);
	struct dirent *e;

	if (open_dir == NULL)
		die("read the directory", path);
	while ((e = readdir(open_dir)) != NULL) {
		char below[PATH_MAX];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, e->d_name) >= (int)sizeof(below))
			die("too long a path below", path);
		load_one(d, dir, below, e->d_name);
	}
	disk_keep(dir);
}

void
disk_load(struct disk *d, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		die("stat", path);
	d->root = disk_node(d, st.st_mode, st.st_uid, st.st_gid);
	d->root->links = 1;
	load_dir(d, d->root, path);
}

bool
disk_forget_only(struct disk *d, const char *name)
{
	const struct name *found = disk_find(d->root, name);

	if (found == NULL)
		return false;
	for (struct node *n = d->nodes; n != NULL; n = n->next) {
		n->sound = true;
		for (const struct node *up = n; up != NULL; up = up->parent)
			if (up == found->node)
				n->sound = false;
	}
	return true;
}

/* Did this page or name come through? */
static bool
came_through(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->kind == WORLD_ALL || (w->kind == WORLD_CHANCE && (w->random >> 32 & 1) != 0);
}

/* The file's bytes: each page as it was synced last or as it is now, and so the size. */
static void
write_file(struct world *w, const struct node *n, const char *path)
{
	const struct state *k = &n->kept;
	size_t size = came_through(w) ? n->now.size : k->size, most = n->now.size > size ? n->now.size : size;
	FREE_AUTO uint8_t *bytes = calloc(1, most + 1);
	FD_AUTO int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (bytes == NULL || fd < 0)
		die("create", path);
	if (k->size > 0)
		memcpy(bytes, k->data, k->size < most ? k->size : most);
	for (size_t at = 0; at < n->now.size; at += PAGE)
		if (came_through(w))
			memcpy(bytes + at, n->now.data + at, n->now.size - at < PAGE ? n->now.size - at : PAGE);
	if (fs_write_all(fd, bytes, size, path, NULL) < 0)
		die("write", path);
}

static void write_node(struct world *w, struct node *n, const char *path);

static void
write_dir(struct world *w, struct node *n, const char *path)
{
	struct names names = {0};

	if (mkdir(path, 0700) < 0)
		die("make the directory", path);
	copy(&names, &n->kept.names);
	for (size_t i = 0; i < n->changes.n; i++)
		if (came_through(w))
			set(&names, n->changes.list[i].text, n->changes.list[i].node);
	for (size_t i = 0; i < names.n; i++) {
		char below[PATH_MAX];

		if (names.list[i].node == NULL)
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, names.list[i].text) >= (int)sizeof(below))
			die("too long a path below", path);
		write_node(w, names.list[i].node, below);
	}
	free(names.list);
}

static void
write_node(struct world *w, struct node *n, const char *path)
{
	const struct state *s = came_through(w) ? &n->now : &n->kept;

	if (n->written_at[0] != '\0') {
		/* a directory that was moved may be found in both places; nobody here moves one */
		if (!S_ISDIR(s->mode) && link(n->written_at, path) < 0)
			die("link", path);
		return;
	}
	(void)snprintf(n->written_at, sizeof(n->written_at), "%s", path);
	if (S_ISDIR(s->mode))
		write_dir(w, n, path);
	else if (S_ISLNK(s->mode)) {
		char target[PATH_MAX];

		(void)snprintf(target, sizeof(target), "%.*s", (int)n->now.size, (const char *)n->now.data);
		if (symlink(target, path) < 0)
			die("link", path);
	} else
		write_file(w, n, path);
	if (lchown(path, s->uid, s->gid) < 0 || (!S_ISLNK(s->mode) && chmod(path, s->mode & 07777) < 0))
		die("give away", path);
}

void
disk_write_world(struct disk *d, struct world world, const char *path)
{
	for (struct node *n = d->nodes; n != NULL; n = n->next)
		n->written_at[0] = '\0';
	write_node(&world, d->root, path);
}
