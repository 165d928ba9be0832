#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "measure.h"

#define RUNS_MAX 1000

double
measure_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread
measure_spread(double *took, int runs)
{
	qsort(took, (size_t)runs, sizeof(took[0]), by_size);
	return (struct spread){took[runs / 2], took[0], took[runs - 1]};
}

bool
measure(bool (*work)(void *arg), void *arg, int runs, struct spread *out)
{
	double took[RUNS_MAX];

	if (runs < 1 || runs > RUNS_MAX || !work(arg))
		return false;
	for (int i = 0; i < runs; i++) {
		double start = measure_now();

		if (!work(arg))
			return false;
		took[i] = measure_now() - start;
	}
	*out = measure_spread(took, runs);
	return true;
}

uint8_t *
measure_load(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *data = NULL;
	struct stat st;

	if (f != NULL && fstat(fileno(f), &st) == 0 && st.st_size > 0)
		data = malloc((size_t)st.st_size);
	if (data != NULL && fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
		free(data);
		data = NULL;
	}
	if (data == NULL)
		fprintf(stderr, "bench: cannot read '%s', or it is empty: %s\n", path, strerror(errno));
	else
		*len = (size_t)st.st_size;
	if (f != NULL)
		(void)fclose(f);
	return data;
}
