/* Any bytes as a message on the agent's socket: what is accepted is written and read back as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
try_request(const uint8_t *body, size_t len)
{
	BUF_AUTO struct buf again = {0};
	struct agent_request r, back;

	if (agent_request_decode(&r, body, len, NULL) < 0)
		return;
	if (agent_request_encode(&r, &again, NULL) < 0 ||
	    agent_request_decode(&back, again.data + AGENT_HEADER, again.len - AGENT_HEADER, NULL) < 0 ||
	    strcmp(r.cluster, back.cluster) != 0 || strcmp(r.name, back.name) != 0 || r.configuration != back.configuration ||
	    !file_identity_same(&r.file, &back.file))
		abort();
}

static void
try_failure(const uint8_t *body, size_t len)
{
	BUF_AUTO struct buf again = {0};
	struct err e, back;

	if (agent_failure_decode(&e, body, len, NULL) < 0)
		return;
	if (e.kind > ERR_NOT_FOUND || e.kind < ERR_BUG || agent_failure_encode(&e, &again, NULL) < 0 ||
	    agent_failure_decode(&back, again.data + AGENT_HEADER, again.len - AGENT_HEADER, NULL) < 0 || e.kind != back.kind)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum agent_message type;
	uint32_t n;

	if (len < AGENT_HEADER)
		return 0;
	if (agent_header_decode(data, &type, &n, NULL) == 0 && n > AGENT_MESSAGE_MAX)
		abort();
	try_request(data + AGENT_HEADER, len - AGENT_HEADER);
	try_failure(data + AGENT_HEADER, len - AGENT_HEADER);
	return 0;
}
