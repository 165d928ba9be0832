#include "ops/histories.h"

#include <errno.h>
#include <inttypes.h>

#include "base/fs.h"
#include "base/str.h"

/* By system: after pg_upgrade the timelines begin with 1 again. */
static char *
directory(const struct op *op, uint64_t sysid)
{
	return str_printf("%s/histories/%s/%" PRIu64, op->config->state_directory, op->cluster->name, sysid);
}

bool
histories_know(const struct op *op, uint64_t sysid, const char *name)
{
	FREE_AUTO char *dir = directory(op, sysid), *mark = dir != NULL ? str_printf("%s/%s", dir, name) : NULL;

	return mark == NULL || access(mark, F_OK) == 0 || errno != ENOENT;
}

void
histories_remember(const struct op *op, uint64_t sysid, const char *name)
{
	FREE_AUTO char *dir = directory(op, sysid), *mark = dir != NULL ? str_printf("%s/%s", dir, name) : NULL;

	if (mark == NULL || access(mark, F_OK) == 0 || access(op->config->state_directory, W_OK) < 0)
		return;
	if (fs_make_dirs(dir, 0700, NULL) == 0)
		(void)fs_write_file(mark, "", 0, 0600, FS_CREATE_ONLY, NULL);
}
