#include "ops/postmaster.h"

#include <errno.h>
#include <signal.h>

#include "base/fs.h"
#include "base/str.h"

#define START_LINE 2 /* pid, data directory, start */

bool
postmaster_find(const char *pgdata, struct postmaster *out)
{
	FREE_AUTO char *path = str_printf("%s/postmaster.pid", pgdata);
	BUF_AUTO struct buf text = {.max = 4096};
	uint64_t pid = 0, started = 0;
	char *rest, *line;

	if (path == NULL || fs_read_file(path, text.max, &text, NULL) < 0 || text.len == 0)
		return false;
	rest = (char *)text.data;
	for (int i = 0; i <= START_LINE && (line = strsep(&rest, "\n")) != NULL; i++) {
		/* one that serves a single user writes its number with a minus */
		if (i == 0 && !str_to_u64(line + (line[0] == '-'), 1, INT32_MAX, &pid))
			return false;
		if (i == START_LINE && !str_to_u64(line, 1, INT64_MAX, &started))
			started = 0;
	}
	*out = (struct postmaster){.pid = (pid_t)pid, .started = (int64_t)started};
	return kill(out->pid, 0) == 0 || errno == EPERM;
}
