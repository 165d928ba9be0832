/*
 * The side of the agent's socket that asks. Whatever is odd about the agent (it is not there, hangs, belongs to somebody else,
 * has another version or another configuration) is no error: then nobody has answered, and the caller does the work itself.
 */
#ifndef PGCAIRN_AGENT_CLIENT_H
#define PGCAIRN_AGENT_CLIENT_H

#include "agent/protocol.h"

/*
 * Is the file at path durable under its name, as the policy demands? Waits for the agent to make it so, at most limit_ms.
 * *answered: 0, or the error that the direct way would have ended with. Else the result is 0 and *err says why nobody answered.
 */
int agent_ask_archive(const struct config *cfg, const char *cluster, const char *path, const char *name, int64_t limit_ms,
    bool *answered, struct err *err);

/* The agent's report, a JSON object that the caller frees. ERR_NOT_FOUND when no agent runs here, or none that we understand.
 */
int agent_ask_status(const struct config *cfg, int64_t limit_ms, json_t **out, struct err *err);

#endif
