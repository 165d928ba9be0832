#include "agent/shared.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 30000

int
shared_init(struct shared *s, struct err *err)
{
	*s = (struct shared){.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (s->event < 0)
		return err_set(err, ERR_RETRY, errno, "make an eventfd");
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->work, NULL);
	return 0;
}

void
shared_close(struct shared *s)
{
	object_slots_free(s->slots);
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
	if (clock_wait(&s->work, &s->lock, at_ms))
		return;
	shared_unlock(s); /* that moment has passed: others have a turn all the same */
	shared_lock(s);
}

int64_t
shared_pause_ms(unsigned failures)
{
	int64_t ms = PAUSE_MIN_MS;

	for (unsigned i = 1; i < failures && ms < PAUSE_MAX_MS; i++)
		ms *= 2;
	return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}
