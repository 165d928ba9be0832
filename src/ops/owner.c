#include "ops/owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scope.h"

#define GROUPS_MAX 256

int
owner_of(struct owner *out, const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, ERR_IO, errno, "stat '%s'", path);
	out->uid = st.st_uid;
	out->gid = st.st_gid;
	return 0;
}

/* The directories above path that are missing: open to be passed through, whatever the mode of what will lie in them. */
static int
make_above(const char *path, struct err *err)
{
	FREE_AUTO char *above = strdup(path);
	size_t n;

	if (above == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	for (n = strlen(above); n > 1 && above[n - 1] == '/'; n--)
		above[n - 1] = '\0';
	if (strrchr(above, '/') == NULL || strrchr(above, '/') == above)
		return 0;
	*strrchr(above, '/') = '\0';
	return fs_make_dirs(above, 0755, err);
}

int
owner_make_dirs(const struct owner *o, const char *path, mode_t mode, struct err *err)
{
	struct stat st;
	int rc;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? fs_settle(path, err)
					   : err_set(err, ERR_CONFIG, 0, "'%s' is not a directory", path);
	rc = geteuid() == 0 ? make_above(path, err) : 0;
	if (rc == 0)
		rc = fs_make_dirs(path, mode, err);
	if (rc == 0 && geteuid() == 0 && chown(path, o->uid, o->gid) < 0)
		rc = err_set(err, ERR_IO, errno, "give '%s' to the owner of PGDATA", path);
	return rc < 0 ? rc : fs_settle(path, err);
}

int
owner_make_parent(const struct owner *o, const char *file, mode_t mode, struct err *err)
{
	FREE_AUTO char *dir = strdup(file);
	char *slash;

	if (dir == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	return owner_make_dirs(o, dir, mode, err);
}

static bool
in_group(const struct owner *o, gid_t group)
{
	const struct passwd *pw = getpwuid(o->uid);
	gid_t groups[GROUPS_MAX];
	int n = GROUPS_MAX;

	if (o->gid == group)
		return true;
	if (pw == NULL || getgrouplist(pw->pw_name, o->gid, groups, &n) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (groups[i] == group)
			return true;
	return false;
}

bool
owner_can_read(const struct owner *o, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	if (o->uid == 0)
		return true;
	if (st.st_uid == o->uid)
		return (st.st_mode & S_IRUSR) != 0;
	return (st.st_mode & (in_group(o, st.st_gid) ? S_IRGRP : S_IROTH)) != 0;
}

int
owner_become(const struct owner *o, const char *what, struct err *err)
{
	const struct passwd *pw;

	if (geteuid() == o->uid)
		return 0;
	if (geteuid() != 0) {
		err_set(err, ERR_AUTH, 0, "%s belongs to another user (uid %u)", what, (unsigned)o->uid);
		return err_hint(err, "run it as that user, or as root");
	}
	pw = getpwuid(o->uid);
	if ((pw != NULL ? initgroups(pw->pw_name, o->gid) : setgroups(0, NULL)) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
	    setresuid(o->uid, o->uid, o->uid) < 0)
		return err_set(err, ERR_AUTH, errno, "become the owner of %s", what);
	return 0;
}
