/*
 * A pool of threads for pieces of work that touch nothing but their own job. The caller owns every job and waits for each
 * one it gave; errors travel inside the job. With no pool (NULL) worker_submit runs the job at once, so that one code path
 * serves both.
 */
#ifndef PGCAIRN_BASE_WORKER_H
#define PGCAIRN_BASE_WORKER_H

#include <stdbool.h>

#include "base/err.h"

struct worker_job {
	void (*run)(struct worker_job *job);
	struct worker_job *next; /* the pool's */
	bool done;               /* the pool's; read it through worker_wait only */
};

struct worker_pool;

int worker_pool_new(struct worker_pool **out, int threads, struct err *err);
void worker_pool_free(struct worker_pool *pool); /* finishes what was submitted; NULL is fine */
int worker_pool_threads(const struct worker_pool *pool);

void worker_submit(struct worker_pool *pool, struct worker_job *job); /* pool NULL: runs it now */
void worker_wait(struct worker_pool *pool, struct worker_job *job);

/* How many threads are worth starting: the processors this process may use, within 1..limit. */
int worker_default_threads(int limit);

#endif
