/*
 * bench-million SEGMENTS: a repository with that many segments of 1 MiB in a directory below TMPDIR, whose name it prints.
 * Every one is WAL, checked, compressed, encrypted and signed by the real code (tests/unit/synthetic.h), so each can be
 * restored; what it lacks is the size, since almost all of its bytes are zero. Two base backups: before the first segment and
 * behind three quarters of them.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "keys/secret.h"
#include "synthetic.h"

#define PROCESSES 2
#define ROW 1024

/* Whole rows for each process, so that no two make one directory at the same time more often than they must. */
static int
put_all(struct world *w, uint64_t n)
{
	uint64_t share = (n / PROCESSES + ROW - 1) / ROW * ROW;
	int failed = 0, status;

	for (uint64_t i = 0; i < PROCESSES; i++) {
		uint64_t first = 1 + i * share, last = i + 1 == PROCESSES ? n : (i + 1) * share;
		pid_t pid = first <= last ? fork() : 0;

		if (first > last)
			continue;
		if (pid == 0) {
			synthetic_put(w, "a", 1, first, last < n ? last : n);
			_exit(0);
		}
		failed |= pid < 0;
	}
	while (wait(&status) > 0)
		failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return failed;
}

int
main(int argc, char **argv)
{
	struct err err = {0};
	struct world w;
	uint64_t n;

	if (argc != 2 || !str_to_u64(argv[1], 8, UINT32_MAX, &n) || keys_init(&err) < 0) {
		(void)fprintf(stderr, "usage: bench-million SEGMENTS\n");
		return 2;
	}
	world_open(&w, &(struct world_options){0});
	if (put_all(&w, n) != 0)
		return 1;
	world_backup(&w, "oldest", 1, 2);
	world_backup(&w, "newest", 1, n / 4 * 3);
	return puts(w.dir) < 0;
}
