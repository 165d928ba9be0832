/*
 * The file system's operations: each one looks at the disk or changes it, and says what it did in the log. One thread, since
 * the number of an operation shall mean something.
 */
#define FUSE_USE_VERSION 35

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "forgetful.h"

#define CACHED 10.0                 /* seconds that the kernel may rely on an answer: nobody else changes anything here */
#define OPCODE_CREATE UINT32_C(35)  /* from linux/fuse.h */
#define OPCODE_TMPFILE UINT32_C(51) /* which libfuse does not know yet; its request and answer are those of create */
#define UNNAMED "/"                 /* the name in such a request */
#define SIZE_MOST ((size_t)1 << 30) /* of a file */

static struct {
	struct options options;
	struct disk *disk;
	FILE *log;
	uint64_t operations;
	bool dark; /* the power is gone */
} self;

static struct node *
node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? self.disk->root : (struct node *)(uintptr_t)ino;
}

static bool
reads(fuse_req_t req)
{
	if (self.dark)
		fuse_reply_err(req, EIO);
	return !self.dark;
}

/* Every operation that changes or syncs something passes here. False: it does not happen and has been answered. */
static bool
admit(fuse_req_t req, const char *what, const struct node *at, const char *name)
{
	const struct options *o = &self.options;
	char path[PATH_MAX];
	const char *fate = "";

	if (!reads(req))
		return false;
	self.operations++;
	disk_path(at, path);
	self.dark = self.operations == o->cut_at;
	if (self.dark)
		fate = " (cut)";
	if (self.operations == o->kill_at)
		fate = " (killed)";
	(void)fprintf(self.log, "%llu %s %s%s%s%s\n", (unsigned long long)self.operations, what, path,
	    name != NULL && at != self.disk->root ? "/" : "", name != NULL ? name : "", fate);
	if (self.operations == o->kill_at && fuse_req_ctx(req)->pid > 0)
		(void)kill(fuse_req_ctx(req)->pid, SIGKILL);
	if (*fate != '\0')
		fuse_reply_err(req, EIO);
	return *fate == '\0';
}

static void
fill_stat(const struct node *n, struct stat *st)
{
	*st = (struct stat){
	    .st_ino = n->number,
	    .st_mode = n->now.mode,
	    .st_nlink = S_ISDIR(n->now.mode) && n->links > 0 ? 2 : n->links,
	    .st_uid = n->now.uid,
	    .st_gid = n->now.gid,
	    .st_size = (off_t)n->now.size,
	    .st_blocks = (blkcnt_t)((n->now.size + 511) / 512),
	    .st_blksize = 4096,
	    .st_mtim = n->modified,
	    .st_ctim = n->modified,
	    .st_atim = n->modified,
	};
}

static struct fuse_entry_param
entry_of(struct node *n)
{
	struct fuse_entry_param e = {.ino = (uintptr_t)n, .attr_timeout = CACHED, .entry_timeout = CACHED};

	fill_stat(n, &e.attr);
	return e;
}

static void
reply_entry(fuse_req_t req, struct node *n)
{
	struct fuse_entry_param e = entry_of(n);

	fuse_reply_entry(req, &e);
}

static void
reply_attr(fuse_req_t req, const struct node *n)
{
	struct stat st;

	fill_stat(n, &st);
	fuse_reply_attr(req, &st, CACHED);
}

static void
op_init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	conn->want &= ~(unsigned)FUSE_CAP_SPLICE_READ; /* requests shall lie in memory, where main() looks at them */
}

static void
op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct name *found = disk_find(node_of(parent), name);

	if (!reads(req))
		return;
	if (found == NULL)
		fuse_reply_err(req, ENOENT);
	else
		reply_entry(req, found->node);
}

static void
op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	if (reads(req))
		reply_attr(req, node_of(ino));
}

static void
op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi)
{
	struct node *n = node_of(ino);

	(void)fi;
	if (!admit(req, "setattr", n, NULL))
		return;
	if ((what & FUSE_SET_ATTR_SIZE) != 0 && (size_t)st->st_size > SIZE_MOST) {
		fuse_reply_err(req, EFBIG);
		return;
	}
	if ((what & FUSE_SET_ATTR_MODE) != 0)
		n->now.mode = (n->now.mode & S_IFMT) | (st->st_mode & 07777);
	if ((what & FUSE_SET_ATTR_UID) != 0)
		n->now.uid = st->st_uid;
	if ((what & FUSE_SET_ATTR_GID) != 0)
		n->now.gid = st->st_gid;
	if ((what & FUSE_SET_ATTR_SIZE) != 0)
		disk_resize(n, (size_t)st->st_size);
	if ((what & FUSE_SET_ATTR_MTIME) != 0)
		n->modified = st->st_mtim;
	if (n->sound)
		disk_keep(n);
	reply_attr(req, n);
}

static void
op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	const struct node *n = node_of(ino);
	char target[PATH_MAX];

	if (!reads(req))
		return;
	(void)snprintf(target, sizeof(target), "%.*s", (int)n->now.size, (const char *)n->now.data);
	fuse_reply_readlink(req, target);
}

static struct node *
make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	const struct fuse_ctx *who = fuse_req_ctx(req);
	struct node *n = disk_node(self.disk, mode, who->uid, who->gid);

	n->sound = node_of(parent)->sound;
	if (strcmp(name, UNNAMED) != 0)
		disk_set_name(node_of(parent), name, n);
	return n;
}

static void
op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (admit(req, "mkdir", node_of(parent), name))
		reply_entry(req, make(req, parent, name, S_IFDIR | (mode & 07777)));
}

static void
op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct node *n;

	if (!admit(req, "symlink", node_of(parent), name))
		return;
	n = make(req, parent, name, S_IFLNK | 0777);
	disk_write(n, target, strlen(target), 0);
	reply_entry(req, n);
}

static void
op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;

	if (!admit(req, strcmp(name, UNNAMED) == 0 ? "create-unnamed" : "create", node_of(parent),
		strcmp(name, UNNAMED) == 0 ? NULL : name))
		return;
	e = entry_of(make(req, parent, name, S_IFREG | (mode & 07777)));
	fuse_reply_create(req, &e, fi);
}

static void
op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct node *n = node_of(ino), *dir = node_of(parent);

	if (!admit(req, "link", dir, name))
		return;
	if (self.options.no_links || disk_find(dir, name) != NULL) {
		fuse_reply_err(req, self.options.no_links ? EPERM : EEXIST);
		return;
	}
	disk_set_name(dir, name, n);
	reply_entry(req, n);
}

static void
op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *dir = node_of(parent);

	if (!admit(req, "unlink", dir, name))
		return;
	if (disk_find(dir, name) == NULL) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	disk_set_name(dir, name, NULL);
	fuse_reply_err(req, 0);
}

static void
op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *dir = node_of(parent);
	const struct name *found = disk_find(dir, name);

	if (!admit(req, "rmdir", dir, name))
		return;
	if (found == NULL || !disk_is_empty(found->node)) {
		fuse_reply_err(req, found == NULL ? ENOENT : ENOTEMPTY);
		return;
	}
	disk_set_name(dir, name, NULL);
	fuse_reply_err(req, 0);
}

/* The two names change on their own: without a sync of both directories a cut may leave both, either or none. */
static void
op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name, unsigned flags)
{
	struct node *dir = node_of(parent), *to_dir = node_of(to);
	const struct name *found = disk_find(dir, name), *there = disk_find(to_dir, to_name);
	struct node *n;

	if (!admit(req, "rename", to_dir, to_name))
		return;
	if (found == NULL || (flags & ~(unsigned)RENAME_NOREPLACE) != 0 || (there != NULL && flags != 0) ||
	    (there != NULL && S_ISDIR(there->node->now.mode) && !disk_is_empty(there->node))) {
		fuse_reply_err(req, found == NULL ? ENOENT : there == NULL ? EINVAL : flags != 0 ? EEXIST : ENOTEMPTY);
		return;
	}
	n = found->node;
	disk_set_name(dir, name, NULL);
	disk_set_name(to_dir, to_name, n);
	fuse_reply_err(req, 0);
}

static void
op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if ((fi->flags & O_TRUNC) != 0 ? !admit(req, "truncate", node_of(ino), NULL) : !reads(req))
		return;
	if ((fi->flags & O_TRUNC) != 0)
		disk_resize(node_of(ino), 0);
	fuse_reply_open(req, fi);
}

static void
op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct node *n = node_of(ino);
	size_t at = (size_t)offset < n->now.size ? (size_t)offset : n->now.size, left = n->now.size - at;

	(void)fi;
	if (reads(req))
		fuse_reply_buf(req, (const char *)n->now.data + at, left < size ? left : size);
}

static void
op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	if (!admit(req, "write", node_of(ino), NULL))
		return;
	if ((size_t)offset + size > SIZE_MOST) {
		fuse_reply_err(req, EFBIG);
		return;
	}
	disk_write(node_of(ino), data, size, (size_t)offset);
	fuse_reply_write(req, size);
}

static void
sync_node(fuse_req_t req, const char *what, struct node *n, bool deaf)
{
	char path[PATH_MAX];

	if (!admit(req, what, n, NULL))
		return;
	disk_path(n, path);
	if (!deaf && (self.options.deaf_to == NULL || strcmp(path, self.options.deaf_to) != 0))
		disk_keep(n);
	fuse_reply_err(req, 0);
}

static void
op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	(void)data_only;
	(void)fi;
	sync_node(req, "fsync", node_of(ino), self.options.deaf_files);
}

static void
op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	(void)data_only;
	(void)fi;
	sync_node(req, "fsync-directory", node_of(ino), self.options.deaf_directories);
}

static void
op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct names *names = &node_of(ino)->now.names;
	char *out;
	size_t used = 0;

	(void)fi;
	if (!reads(req))
		return;
	out = malloc(size);
	if (out == NULL)
		die("no memory for", "the names in a directory");
	for (size_t i = (size_t)offset; i < names->n; i++) {
		struct stat st;
		size_t need;

		if (names->list[i].node == NULL)
			continue;
		fill_stat(names->list[i].node, &st);
		need = fuse_add_direntry(req, out + used, size - used, names->list[i].text, &st, (off_t)i + 1);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, out, used);
	free(out);
}

static void
op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	static const struct statvfs room = {.f_bsize = 4096,
	    .f_frsize = 4096,
	    .f_blocks = 1 << 24,
	    .f_bfree = 1 << 23,
	    .f_bavail = 1 << 23,
	    .f_namemax = NAME_MAX};

	(void)ino;
	if (reads(req))
		fuse_reply_statfs(req, &room);
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .fsync = op_fsync,
    .readdir = op_readdir,
    .fsyncdir = op_fsyncdir,
    .statfs = op_statfs,
    .create = op_create,
};

/* struct fuse_in_header: its length, then the operation. */
static void
name_unnamed(struct fuse_buf *request)
{
	uint32_t *header = request->mem;

	if (!self.options.no_unnamed && header[1] == OPCODE_TMPFILE)
		header[1] = OPCODE_CREATE;
}

int
forgetful_serve(struct disk *disk, const struct options *o, FILE *log, const char *mountpoint)
{
	char program[] = "forgetful", flag[] = "-o", all[] = "fsname=forgetful,default_permissions,allow_other",
	     own[] = "fsname=forgetful,default_permissions";
	char *argv[] = {program, flag, geteuid() == 0 ? all : own, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_buf request = {0};
	struct fuse_session *session = fuse_session_new(&args, &ops, sizeof(ops), NULL);

	self.options = *o;
	self.disk = disk;
	self.log = log;
	if (session == NULL || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, mountpoint) != 0)
		return -1;
	(void)printf("mounted\n");
	(void)fflush(stdout);
	while (!fuse_session_exited(session)) {
		int n = fuse_session_receive_buf(session, &request);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		name_unnamed(&request);
		fuse_session_process_buf(session, &request);
	}
	fuse_session_unmount(session);
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	free(request.mem);
	return 0;
}
