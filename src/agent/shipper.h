/*
 * One cluster in the agent: what its server wants archived (ready), in which order (queue), and where it goes (lanes). The
 * agent's ship threads come here for work; the main thread brings the words of archive_status and the questions of the clients.
 *
 * A file goes once through ops/archive.h to every repository that is up; it is durable when the policy says so. A repository
 * that was down or failed has missed it and is caught up later: archiving does not wait for it, unless the policy does.
 */
#ifndef PGCAIRN_AGENT_SHIPPER_H
#define PGCAIRN_AGENT_SHIPPER_H

#include "agent/keeper.h"
#include "agent/mark.h"
#include "agent/protocol.h"
#include "agent/queue.h"
#include "agent/ready.h"
#include "codec/object_writer.h"

struct shipper {
	struct shared *shared;
	struct op op;
	struct writer *writer; /* NULL: the keys cannot be read, see broken */
	struct err broken;
	int64_t retry_ms; /* writer, ready: when what failed is tried again; main thread only */
	struct lane *lanes;
	size_t n_lanes;
	struct keeper *keepers; /* one for each lane; none of them runs with once */
	int64_t lanes_ms;       /* when they were started */
	struct ready *ready;    /* NULL: there is no archive_status yet; main thread only */
	bool rescan;            /* main thread only */
	bool once;              /* ship all, not only a bounded stretch ahead of the server; set before the first tick */

	/* with the lock: */
	struct queue queue;
	struct mark mark;
	uint64_t shipped, bytes;
	char last[WAL_NAME_MAX];
	int64_t last_us;
};

/* pgdata of the cluster must be set. What does not work yet is tried again in shipper_tick. */
/* op: of the cluster, with guards, and copied: what it points to must live as long. */
int shipper_new(struct shipper **out, struct shared *shared, const struct op *op, struct err *err);
void shipper_free(struct shipper *s); /* after shared.ending was said and the ship threads have ended */

/* Main thread, without the lock. tick: about once a second; take: when ready_fd is readable. */
void shipper_tick(struct shipper *s);
void shipper_take(struct shipper *s);

/* With the lock, which is free meanwhile: ship one file. False when there is nothing to do. */
bool shipper_work(struct shipper *s, struct object_slots *slots);

/* With the lock: was everything that the server wants archived tried? Then 0 when all of it is durable, else why not. */
bool shipper_is_done(const struct shipper *s, int *rc, struct err *err);

/* With the lock: when shipper_work may have something that it does not have now; INT64_MAX: it will be told. */
int64_t shipper_wakes_ms(const struct shipper *s);

enum ask {
	ASK_WAIT, /* ask again when the bell rings */
	ASK_DURABLE,
	ASK_FAILED,    /* *err */
	ASK_ELSEWHERE, /* not a file that the agent ships */
};
/* What one client has heard so far; all zero at first. */
struct ask_state {
	bool known;
	unsigned attempts;
};
/* Main thread, with the lock. */
enum ask shipper_ask(struct shipper *s, const struct agent_request *r, struct ask_state *state, struct err *err);

/* With the lock: a JSON object; NULL when memory is out. */
json_t *shipper_report(const struct shipper *s);

/* Where the server has a file of WAL; a new string, NULL when memory is out. */
char *shipper_path(const struct shipper *s, const char *name);
int shipper_identity(const char *path, struct file_identity *out, struct err *err);

#endif
