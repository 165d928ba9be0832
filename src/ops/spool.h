/*
 * The spool of one recovery: segments that a prefetcher has fetched and verified before PostgreSQL asked for them.
 *
 *	SPOOL-DIRECTORY/CLUSTER/KEY/	mode 0700, this user's
 *		lock			held by the prefetcher whose spool it is
 *		bell			a fifo: who fetches says what was delivered, and learns whether a prefetcher listens
 *		SEGMENT			whole and verified; see ops/spool_entry.h
 *		SEGMENT.part		being written, locked by its writer
 *		off, off.told		why there is no prefetching; see spool_give_up
 *
 * The key binds it to what an answer depends on: the boot of this host, the data directory, the system identifier, every
 *setting, the repositories chosen on the command line, the session, identity and signers files. Whatever of it changes, another
 *spool is looked into, and the old one goes with its prefetcher or is swept by the next. So is one from before a power cut, of
 *whose files any part may be missing, since nothing in a spool is fsynced.
 */
#ifndef PGCAIRN_OPS_SPOOL_H
#define PGCAIRN_OPS_SPOOL_H

#include "ops/fetch.h"

#define SPOOL_KEY 32
#define SPOOL_PATH_MAX 1024

struct spool {
	int fd;   /* of the directory; -1: not open */
	int lock; /* -1: not held */
	uint8_t key[SPOOL_KEY];
	uint32_t segment_size; /* of the cluster that recovers */
	char parent[SPOOL_PATH_MAX], path[SPOOL_PATH_MAX];
};
#define SPOOL_NONE ((struct spool){.fd = -1, .lock = -1})

/* Of the recovery in the current directory; opens nothing. */
int spool_find(struct spool *s, const struct op *op, const struct fetch_options *o, struct err *err);

/* ERR_NOT_FOUND when there is none and create is not set; ERR_REFUSED when it is not this user's alone. */
int spool_open(struct spool *s, bool create, struct err *err);

/* Create it and hold its lock; ERR_EXISTS when another prefetcher does. */
int spool_own(struct spool *s, struct err *err);

void spool_close(struct spool *s);
#define SPOOL_AUTO SCOPE(spool_close)

/* Remove the spools of this cluster that no prefetcher holds. Best effort, as all that removes here. */
void spool_sweep(const struct spool *s);
/* Remove all segments; those who hold the lock alone may. */
void spool_clear(const struct spool *s);
/* The same, and the spool with it unless it says that it is off. */
void spool_remove(const struct spool *s);

/* No prefetching for a while, since this spool cannot be written. */
void spool_give_up(const struct spool *s, const struct err *why);
/* Has it been given up? *why: what to tell, kind 0 when it was told. */
bool spool_is_off(const struct spool *s, struct err *why);

enum spool_word {
	SPOOL_ASKED = 'A',     /* is being fetched directly */
	SPOOL_DELIVERED = 'D', /* PostgreSQL has it: the next ones are wanted */
};
struct spool_message {
	char word;
	char name[31]; /* of a segment */
};

/* False when nobody listens. The process must ignore SIGPIPE. */
bool spool_ring(const struct spool *s, enum spool_word word, const char *name);
/* A descriptor to poll and read messages from. */
int spool_listen(const struct spool *s, int *fd, struct err *err);

#endif
