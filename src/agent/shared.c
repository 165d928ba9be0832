#include "agent/shared.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

int
shared_init(struct shared *s, struct err *err)
{
	pthread_condattr_t monotonic;

	*s = (struct shared){.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (s->event < 0)
		return err_set(err, ERR_RETRY, errno, "make an eventfd");
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->work, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	return 0;
}

void
shared_close(struct shared *s)
{
	(void)pthread_cond_destroy(&s->work);
	(void)pthread_mutex_destroy(&s->lock);
	(void)close(s->event);
}

void
shared_lock(struct shared *s)
{
	(void)pthread_mutex_lock(&s->lock);
}

void
shared_unlock(struct shared *s)
{
	(void)pthread_mutex_unlock(&s->lock);
}

void
shared_ring(struct shared *s)
{
	const uint64_t one = 1;

	(void)pthread_cond_broadcast(&s->work);
	if (write(s->event, &one, sizeof(one)) < 0) /* it counts to the end of 64 bits: then there is a word already */
		return;
}

void
shared_wait(struct shared *s, int64_t at_ms)
{
	const struct timespec until = {.tv_sec = at_ms / 1000, .tv_nsec = (at_ms % 1000) * 1000000};

	if (at_ms == INT64_MAX)
		(void)pthread_cond_wait(&s->work, &s->lock);
	else
		(void)pthread_cond_timedwait(&s->work, &s->lock, &until);
}
