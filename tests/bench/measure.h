/*
 * Timing for the benchmarks: a piece of work is run several times and what is reported is the median, with the fastest and
 * the slowest run beside it, because a mean on a busy machine says nothing.
 */
#ifndef PGCAIRN_BENCH_MEASURE_H
#define PGCAIRN_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEASURE_RUNS 9

struct spread { /* seconds */
	double median;
	double best;
	double worst;
};

/* Runs work(arg) once unmeasured and then `runs` times (at most 1000). False as soon as work says so. */
bool measure(bool (*work)(void *arg), void *arg, int runs, struct spread *out);

double measure_now(void);                             /* seconds of the monotonic clock */
struct spread measure_spread(double *took, int runs); /* sorts took; runs is at least 1 */

/* The whole file in memory of the caller's (free it), at least one byte; NULL after a line on standard error. */
uint8_t *measure_load(const char *path, size_t *len);

#endif
