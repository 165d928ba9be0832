#include "agent/ready.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/fs.h"
#include "base/str.h"
#include "pg/lsn.h"

#define SUFFIX ".ready"

struct ready {
	int fd;
	char *directory;
};

int
ready_open(struct ready **out, const char *pgdata, struct err *err)
{
	READY_AUTO struct ready *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a directory");
	r->fd = -1;
	r->directory = str_printf("%s/pg_wal/archive_status", pgdata);
	if (r->directory == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	r->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (r->fd < 0) {
		err_set(err, ERR_RETRY, errno, "watch '%s'", r->directory);
		return err_hint(err, "is the limit fs.inotify.max_user_instances reached?");
	}
	if (inotify_add_watch(r->fd, r->directory,
		IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0)
		return err_set(err, fs_kind(errno), errno, "watch '%s'", r->directory);
	*out = STEAL(r);
	return 0;
}

void
ready_close(struct ready *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		(void)close(r->fd);
	free(r->directory);
	free(r);
}

int
ready_fd(const struct ready *r)
{
	return r->fd;
}

/* The name of the WAL file behind "NAME.ready". */
static bool
name_of(const char *file, char out[WAL_NAME_MAX])
{
	size_t len = strlen(file);

	if (!str_ends(file, SUFFIX) || len - strlen(SUFFIX) >= WAL_NAME_MAX)
		return false;
	len -= strlen(SUFFIX);
	memcpy(out, file, len);
	out[len] = '\0';
	return true;
}

static void
tell(const struct inotify_event *e, ready_each *each, void *arg)
{
	char name[WAL_NAME_MAX];

	if ((e->mask & IN_Q_OVERFLOW) != 0)
		each(READY_LOST, "", arg);
	else if ((e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0)
		each(READY_ENDS, "", arg);
	else if (e->len > 0 && name_of(e->name, name))
		each((e->mask & (IN_CREATE | IN_MOVED_TO)) != 0 ? READY_CAME : READY_GONE, name, arg);
}

int
ready_take(struct ready *r, ready_each *each, void *arg, struct err *err)
{
	_Alignas(struct inotify_event) char words[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];

	for (;;) {
		ssize_t n = read(r->fd, words, sizeof(words));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : err_set(err, ERR_IO, errno, "watch '%s'", r->directory);
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(words + at);

			tell(e, each, arg);
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
}

int
ready_scan(struct ready *r, ready_each *each, void *arg, struct err *err)
{
	DIR_AUTO DIR *d = opendir(r->directory);
	struct dirent *e;

	if (d == NULL)
		return err_set(err, fs_kind(errno), errno, "read '%s'", r->directory);
	while (errno = 0, (e = readdir(d)) != NULL) {
		char name[WAL_NAME_MAX];

		if (name_of(e->d_name, name))
			each(READY_CAME, name, arg);
	}
	return errno == 0 ? 0 : err_set(err, ERR_IO, errno, "read '%s'", r->directory);
}
