#include "agent/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

#define LIFE_MS 2000 /* an agent that is well says so at once */

/* One message as it came. */
struct reply {
	enum agent_message type;
	struct buf body;
};

static int
wait_readable(int fd, struct deadline until, struct err *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do {
		n = poll(&p, 1, (int)deadline_left_ms(until));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return err_set(err, ERR_RETRY, 0, "the agent does not answer");
	return n < 0 ? err_set(err, ERR_IO, errno, "wait for the agent") : 0;
}

static int
read_exactly(int fd, uint8_t *out, size_t len, struct deadline until, struct err *err)
{
	while (len > 0) {
		int rc = wait_readable(fd, until, err);
		ssize_t n;

		if (rc < 0)
			return rc;
		n = read(fd, out, len);
		if (n == 0)
			return err_set(err, ERR_RETRY, 0, "the agent went away");
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_set(err, ERR_IO, errno, "read from the agent");
		if (n > 0) {
			out += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int
read_reply(int fd, struct reply *r, struct deadline until, struct err *err)
{
	uint8_t header[AGENT_HEADER];
	uint32_t len;
	int rc = read_exactly(fd, header, sizeof(header), until, err);

	if (rc == 0)
		rc = agent_header_decode(header, &r->type, &len, err);
	if (rc < 0)
		return rc;
	buf_reset(&r->body);
	r->body.max = AGENT_MESSAGE_MAX;
	rc = buf_reserve(&r->body, len, err);
	if (rc == 0)
		rc = read_exactly(fd, r->body.data, len, until, err);
	if (rc == 0) {
		r->body.len = len;
		r->body.data[len] = '\0';
	}
	return rc;
}

static int
call(const struct config *cfg, int *out, struct err *err)
{
	FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	int rc = agent_address(cfg, &address, err);

	if (rc < 0)
		return rc;
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, ERR_NOT_FOUND, errno, "no agent at '%s'", address.sun_path);
	rc = agent_check_peer(fd, err); /* nobody else may tell us that a segment is safe */
	if (rc < 0)
		return rc;
	*out = fd;
	fd = -1;
	return 0;
}

/* A request is far smaller than what a socket takes at once. */
static int
say(int fd, const struct buf *message, struct err *err)
{
	ssize_t n = send(fd, message->data, message->len, MSG_NOSIGNAL);

	return n == (ssize_t)message->len ? 0 : err_set(err, ERR_IO, errno, "write to the agent");
}

/* The answer itself, behind the words of life. */
static int
hear(int fd, int64_t limit_ms, struct reply *r, struct err *err)
{
	struct deadline life = deadline_in_ms(limit_ms < LIFE_MS ? limit_ms : LIFE_MS), until = deadline_in_ms(limit_ms);
	int rc = read_reply(fd, r, life, err);

	while (rc == 0 && r->type == AGENT_WORKING)
		rc = read_reply(fd, r, until, err);
	return rc;
}

static int
converse(const struct config *cfg, const struct buf *request, int64_t limit_ms, struct reply *r, struct err *err)
{
	FD_AUTO int fd = -1;
	int rc = call(cfg, &fd, err);

	if (rc == 0)
		rc = say(fd, request, err);
	return rc < 0 ? rc : hear(fd, limit_ms, r, err);
}

int
agent_ask_archive(const struct config *cfg, const char *cluster, const char *path, const char *name, int64_t limit_ms,
    bool *answered, struct err *err)
{
	BUF_AUTO struct buf message = {0};
	struct reply reply = {0};
	struct agent_request request = {.configuration = agent_configuration(cfg)};
	struct err failure;
	struct stat st;
	int rc;

	*answered = false;
	if (stat(path, &st) < 0) {
		(void)err_set(err, ERR_IO, errno, "stat '%s'", path);
		return 0;
	}
	file_identity_of(&request.file, &st);
	(void)snprintf(request.cluster, sizeof(request.cluster), "%s", cluster);
	(void)snprintf(request.name, sizeof(request.name), "%s", name);
	rc = agent_request_encode(&request, &message, err);
	if (rc == 0)
		rc = converse(cfg, &message, limit_ms, &reply, err);
	if (rc == 0 && reply.type == AGENT_DURABLE)
		*answered = true;
	else if (rc == 0 && reply.type == AGENT_FAILED &&
		 agent_failure_decode(&failure, buf_text(&reply.body), reply.body.len, err) == 0) {
		*answered = true;
		*err = failure;
		rc = failure.kind;
	} else if (rc == 0) {
		(void)err_set(err, ERR_REFUSED, 0, "the agent has another version or configuration");
	}
	buf_free(&reply.body);
	return *answered ? rc : 0;
}

int
agent_ask_status(const struct config *cfg, int64_t limit_ms, json_t **out, struct err *err)
{
	BUF_AUTO struct buf message = {0};
	struct reply reply = {0};
	int rc = agent_word_encode(AGENT_STATUS, &message, err);

	if (rc == 0)
		rc = converse(cfg, &message, limit_ms, &reply, err);
	if (rc == 0 && reply.type != AGENT_REPORT)
		rc = err_set(err, ERR_NOT_FOUND, 0, "the agent has another version");
	if (rc == 0)
		rc = json_read(out, buf_text(&reply.body), reply.body.len, "the agent's report", err);
	buf_free(&reply.body);
	return rc;
}
