/* One queue, one lock, two conditions. Jobs are frames of up to 1 MiB: the lock is taken about a thousand times a gigabyte. */
#include "base/worker.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "base/scope.h"

struct worker_pool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* something was queued, or the pool stops */
	pthread_cond_t done; /* some job has ended */
	struct worker_job *first, **last;
	bool stopping;
	int n_threads;
	pthread_t threads[];
};

static void *
worker_main(void *arg)
{
	struct worker_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct worker_job *j = p->first;

		if (j == NULL) {
			if (p->stopping)
				break;
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		p->first = j->next;
		if (p->first == NULL)
			p->last = &p->first;
		pthread_mutex_unlock(&p->lock);
		j->run(j);
		pthread_mutex_lock(&p->lock);
		j->done = true;
		pthread_cond_broadcast(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int
worker_pool_new(struct worker_pool **out, int threads, struct err *err)
{
	struct worker_pool *p = calloc(1, sizeof(*p) + (size_t)threads * sizeof(p->threads[0]));
	sigset_t all, old;
	int e = 0;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %d threads", threads);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
	p->last = &p->first;
	/* signals belong to the main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->n_threads < threads && e == 0) {
		e = pthread_create(&p->threads[p->n_threads], NULL, worker_main, p);
		if (e == 0)
			p->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (p->n_threads == 0) {
		worker_pool_free(p);
		return err_set(err, ERR_NOMEM, e, "start a thread");
	}
	*out = p;
	return 0;
}

void
worker_pool_free(struct worker_pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int
worker_pool_threads(const struct worker_pool *p)
{
	return p != NULL ? p->n_threads : 0;
}

void
worker_submit(struct worker_pool *p, struct worker_job *j)
{
	j->next = NULL;
	j->done = false;
	if (p == NULL) {
		j->run(j);
		j->done = true;
		return;
	}
	pthread_mutex_lock(&p->lock);
	*p->last = j;
	p->last = &j->next;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void
worker_wait(struct worker_pool *p, struct worker_job *j)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	while (!j->done)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

int
worker_default_threads(int limit)
{
	cpu_set_t set;
	int n = 1;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	if (n > limit)
		n = limit;
	return n < 1 ? 1 : n;
}
