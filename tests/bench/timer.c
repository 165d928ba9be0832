/*
 * race-timer RESULT RUNS COMMAND...: runs the command and appends a line a run to RESULT: exit status, then microseconds from
 * before its start to its end, of user and of system time, and the peak memory in KiB. Time and memory are those of the
 * process and of all children that it has waited for; memory is that of the largest of them.
 *
 * A program of its own, because Linux counts what the starting process held as the peak memory of the one that it starts.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static long long
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static long long
us_of(struct timeval t)
{
	return t.tv_sec * 1000000LL + t.tv_usec;
}

static int
run_once(FILE *result, char **command)
{
	struct rusage used;
	long long start = now_us(), took;
	pid_t pid;
	int status;

	if (posix_spawnp(&pid, command[0], NULL, NULL, command, environ) != 0 || wait4(pid, &status, 0, &used) != pid)
		return -1;
	took = now_us() - start;
	if (!WIFEXITED(status))
		return -1;
	return fprintf(result, "%d %lld %lld %lld %ld\n", WEXITSTATUS(status), took, us_of(used.ru_utime), us_of(used.ru_stime),
		   used.ru_maxrss) > 0
		   ? 0
		   : -1;
}

int
main(int argc, char **argv)
{
	FILE *result;
	int runs, rc = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: race-timer RESULT RUNS COMMAND...\n");
		return 2;
	}
	result = fopen(argv[1], "a");
	runs = (int)strtol(argv[2], NULL, 10);
	if (result == NULL)
		return 1;
	for (int i = 0; i < runs && rc == 0; i++)
		rc = run_once(result, argv + 3);
	return fclose(result) == 0 && rc == 0 ? 0 : 1;
}
