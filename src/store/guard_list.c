/*
 * A listing through the guard: a thread of the guard walks the inner store and fills a batch, the caller's thread delivers the
 * one before. Each waits for the other, so two batches are all that is in memory.
 */
#include "store/guard_internal.h"

#define BATCH_ENTRIES 256
#define BATCH_BYTES (BATCH_ENTRIES * 128) /* of keys; at least one of them */

struct batch {
	size_t n, used;
	struct {
		struct store_stat stat;
		size_t at; /* of its key */
	} entries[BATCH_ENTRIES];
	char keys[BATCH_BYTES];
};

struct listing {
	struct guard_call call; /* first */
	struct guarded *s;
	struct batch *filling, *full; /* full: the caller's while it delivers */
	bool ready;                   /* full waits for the caller */
	char prefix[STORE_KEY_MAX + 2];
};

static bool
has_room(const struct batch *b, size_t len)
{
	return b->n < BATCH_ENTRIES && b->used + len <= BATCH_BYTES;
}

static void
add(struct batch *b, const struct store_entry *e, size_t len)
{
	b->entries[b->n].stat = e->stat;
	b->entries[b->n].at = b->used;
	memcpy(b->keys + b->used, e->key, len);
	b->used += len;
	b->n++;
}

static void
swap(struct listing *l)
{
	struct batch *b = l->full;

	l->full = l->filling;
	l->filling = b;
	b->n = b->used = 0;
}

/* Hand the batch over; the one that comes back is free because its entries were delivered before the caller took the next. */
static void
hand_over(struct listing *l)
{
	struct guard_call *c = &l->call;

	l->ready = true;
	pthread_cond_broadcast(&c->changed);
	c->guard->parked++;
	while (l->ready && !c->left)
		pthread_cond_wait(&c->changed, &c->guard->lock);
	c->guard->parked--;
}

static int
take(const struct store_entry *e, void *arg, struct err *err)
{
	struct listing *l = arg;
	size_t len = strlen(e->key) + 1;
	bool left;

	guard_leave(&l->call);
	if (!has_room(l->filling, len))
		hand_over(l);
	left = l->call.left;
	if (!left)
		add(l->filling, e, len);
	guard_enter(&l->call);
	return left ? err_set(err, ERR_RETRY, 0, "nobody waits for this listing any more") : 0;
}

static void
listing_run(struct guard_call *c)
{
	struct listing *l = (struct listing *)c;
	int rc;

	guard_enter(c);
	rc = store_list(l->s->inner, l->prefix, take, l, &c->err);
	guard_leave(c);
	c->rc = rc;
}

static void
listing_release(struct guard_call *c)
{
	struct listing *l = (struct listing *)c;

	guarded_done(l->s);
	guard_call_destroy(c);
	free(l->filling);
	free(l->full);
	free(l);
}

static int
deliver(const struct batch *b, store_each *each, void *arg, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->n; i++) {
		const struct store_entry e = {.key = b->keys + b->entries[i].at, .stat = b->entries[i].stat};

		rc = each(&e, arg, err);
	}
	return rc;
}

/* With the lock held, but for the deliveries. */
static int
receive(struct listing *l, store_each *each, void *arg, struct err *err)
{
	struct guard_call *c = &l->call;
	pthread_mutex_t *lock = &c->guard->lock;
	bool through = false;
	int rc = 0;

	while (rc == 0 && !through) {
		rc = guard_await(c, &l->ready, err);
		if (rc < 0)
			return rc;
		through = !l->ready;
		swap(l);
		if (l->ready) {
			l->ready = false;
			pthread_cond_broadcast(&c->changed);
		}
		pthread_mutex_unlock(lock);
		rc = deliver(l->full, each, arg, err);
		pthread_mutex_lock(lock);
	}
	if (rc != 0 || c->rc == 0)
		return rc;
	if (err != NULL)
		*err = c->err;
	return c->rc;
}

static int
listing_new(struct listing **out, struct guarded *s, const char *prefix, struct err *err)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a list of %s", s->store.url);
	l->filling = malloc(sizeof(*l->filling));
	l->full = malloc(sizeof(*l->full));
	if (l->filling == NULL || l->full == NULL) {
		free(l->filling);
		free(l->full);
		free(l);
		return err_set(err, ERR_NOMEM, 0, "out of memory for a list of %s", s->store.url);
	}
	l->filling->n = l->filling->used = 0;
	l->s = s;
	memcpy(l->prefix, prefix, strlen(prefix) + 1);
	l->call.run = listing_run;
	l->call.release = listing_release;
	guard_call_init(&l->call, s->guard);
	guarded_use(s);
	*out = l;
	return 0;
}

int
guarded_list(struct store *store, const char *prefix, store_each *each, void *arg, struct err *err)
{
	struct listing *l = NULL;
	int rc = store_key_check(prefix, true, err);

	if (rc == 0)
		rc = listing_new(&l, (struct guarded *)store, prefix, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&l->call.guard->lock);
	rc = guard_submit(&l->call, false, err);
	if (rc == 0)
		rc = receive(l, each, arg, err);
	pthread_mutex_unlock(&l->call.guard->lock);
	guard_call_leave(&l->call);
	return rc;
}
