/*
 * The files of one cluster that wait to be shipped, in the server's order: history files first, then by name. A plain data
 * structure: no I/O, no clock, no lock of its own.
 *
 * It holds QUEUE_MAX at most; what comes later in the order is not held, and more says so: whoever empties the queue looks
 * again. Nothing is lost by that, since archive_status holds all of it.
 */
#ifndef PGCAIRN_AGENT_QUEUE_H
#define PGCAIRN_AGENT_QUEUE_H

#include "agent/protocol.h"

#define QUEUE_MAX 1024

enum queue_state {
	QUEUE_WAITING,
	QUEUE_SHIPPING,
	QUEUE_DURABLE, /* as the policy demands */
	QUEUE_FAILED,  /* tried again at retry_ms, or when somebody asks */
};

struct queue_entry {
	char text[WAL_NAME_MAX];
	struct wal_name name;
	enum queue_state state;
	bool listed;               /* archive_status has it as .ready */
	bool asked;                /* somebody waits for it */
	bool lacking;              /* FAILED: who is up has it, and that is not enough */
	unsigned attempts;         /* that have ended */
	int64_t retry_ms;          /* FAILED: on the monotonic clock */
	int64_t settled_ms;        /* DURABLE or FAILED since */
	struct file_identity file; /* DURABLE: what was shipped, as the next two */
	uint64_t sysid;            /* of the server's system */
	uint64_t holders;          /* bit i: the i-th repository has it */
	struct err *err;           /* FAILED: why; owned */
};

struct queue {
	struct queue_entry **list; /* sorted; owned */
	size_t n;
	bool more;                 /* there are names behind the last one, or there may be */
	char passed[WAL_NAME_MAX]; /* see queue_pass; "": nothing */
};

int queue_init(struct queue *q, struct err *err);
void queue_clear(struct queue *q);

/* NULL when it is not there. */
struct queue_entry *queue_find(const struct queue *q, const char *text);

/*
 * The entry of this name, made where it is missing. ERR_RETRY when the queue is full of names that come before it (more is set
 * then); ERR_CONFIG when it is no name of WAL. What comes last makes room for what comes before it.
 */
int queue_add(struct queue *q, const char *text, struct queue_entry **out, struct err *err);

/*
 * For who ships everything at once, whether or not the server goes on meanwhile: the files in front that are durable make room
 * for those behind them, and are not taken again (ERR_EXISTS). Histories stay, they are few, and so does what somebody asks
 * for.
 */
void queue_pass(struct queue *q);
bool queue_may_pass(const struct queue_entry *e);

/* Forget an entry. It must not be shipping. */
void queue_remove(struct queue *q, struct queue_entry *e);

/*
 * What to ship next: what somebody waits for, then the first in order; NULL when there is nothing to do now. Nothing of a
 * timeline is shipped while the history of that timeline is not durable. enough: as many repositories are up as the policy
 * needs; while not, what those that are up have already is left alone.
 */
struct queue_entry *queue_next(const struct queue *q, int64_t now_ms, bool enough);

/* When queue_next may have something that it does not have now: the earliest retry; INT64_MAX when none is set. */
int64_t queue_wakes_ms(const struct queue *q);

#endif
