/*
 * The agent's socket and those who call. One thread, the main one: it polls, never waits for a caller, and asks the shippers
 * again for whoever waits whenever the bell rings.
 */
#ifndef PGCAIRN_AGENT_SERVER_H
#define PGCAIRN_AGENT_SERVER_H

#include <poll.h>

#include "agent/shipper.h"

#define SERVER_CALLERS 64 /* at once; more wait in the listen queue */

struct server;

/* What the server asks of the agent. Called without the lock. */
struct server_ops {
	enum ask (*ask)(const struct agent_request *r, struct ask_state *state, struct err *err, void *arg);
	json_t *(*report)(void *arg); /* NULL: out of memory */
	void *arg;
};

/*
 * Listen on the socket of this configuration. ERR_REFUSED when another agent runs on this run directory; a socket that a killed
 * one left is replaced.
 */
int server_open(
    struct server **out, const struct config *cfg, const struct server_ops *ops, const struct log *log, struct err *err);
void server_close(struct server *s); /* NULL is fine; removes the socket */

/* For poll: fills at most SERVER_CALLERS + 1, returns how many. */
size_t server_poll_set(const struct server *s, struct pollfd *out);
/* What poll said, of the same places. */
void server_polled(struct server *s, const struct pollfd *set, size_t n);

/* Answers may have come: look for all who wait. */
void server_answer(struct server *s);

#endif
