#include "agent/server.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

#define REQUEST_MAX 8192
#define PATIENCE_MS 5000 /* for a request to come, or an answer to be taken */

struct caller {
	int fd; /* -1: the place is free */
	struct deadline until;
	struct buf in, out;
	size_t sent;
	bool waits; /* for the answer to request */
	struct agent_request request;
	struct ask_state state;
};

struct server {
	struct server_ops ops;
	const struct log *log;
	struct sockaddr_un address;
	int lock, listener;
	struct caller callers[SERVER_CALLERS];
};

/* ---- the socket ---- */

/* Held as long as this process lives; so what lies at the address is a dead one's. */
static int
take_lock(struct server *s, const struct config *cfg, struct err *err)
{
	FREE_AUTO char *path = str_printf("%s/agent.lock", cfg->run_directory);

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock < 0)
		return err_set(err, fs_kind(errno) == ERR_NOT_FOUND ? ERR_CONFIG : fs_kind(errno), errno, "open '%s'", path);
	if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err_set(err, ERR_REFUSED, 0, "another agent runs on the run directory '%s'", cfg->run_directory);
	return err_hint(err, "one agent serves all clusters of a configuration; systemctl status pgcairn-agent shows it");
}

static int
listen_at(struct server *s, struct err *err)
{
	mode_t mask;
	int rc;

	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0)
		return err_set(err, ERR_RETRY, errno, "make a socket");
	if (unlink(s->address.sun_path) < 0 && errno != ENOENT)
		return err_set(err, fs_kind(errno), errno, "remove '%s'", s->address.sun_path);
	mask = umask(0177); /* nobody else may see it open for a moment */
	rc = bind(s->listener, (const struct sockaddr *)&s->address, sizeof(s->address));
	(void)umask(mask);
	if (rc < 0 || listen(s->listener, SERVER_CALLERS) < 0)
		return err_set(err, fs_kind(errno), errno, "listen at '%s'", s->address.sun_path);
	return 0;
}

int
server_open(struct server **out, const struct config *cfg, const struct server_ops *ops, const struct log *log, struct err *err)
{
	struct server *s = calloc(1, sizeof(*s));
	int rc;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the socket");
	s->ops = *ops;
	s->log = log;
	s->lock = s->listener = -1;
	for (size_t i = 0; i < SERVER_CALLERS; i++)
		s->callers[i].fd = -1;
	rc = agent_address(cfg, &s->address, err);
	if (rc == 0)
		rc = fs_make_dirs(cfg->run_directory, 0700, err);
	if (rc == 0)
		rc = take_lock(s, cfg, err);
	if (rc == 0)
		rc = listen_at(s, err);
	if (rc < 0) {
		server_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

static void
hang_up(struct caller *c)
{
	(void)close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	*c = (struct caller){.fd = -1};
}

void
server_close(struct server *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < SERVER_CALLERS; i++)
		if (s->callers[i].fd >= 0)
			hang_up(&s->callers[i]);
	if (s->listener >= 0) {
		(void)unlink(s->address.sun_path);
		(void)close(s->listener);
	}
	if (s->lock >= 0)
		(void)close(s->lock);
	free(s);
}

/* ---- callers ---- */

static bool
is_welcome(const struct server *s, int fd)
{
	if (agent_check_peer(fd, NULL) == 0)
		return true;
	log_write(s->log, LOG_WARN, "a process of another user called at '%s' and was turned away", s->address.sun_path);
	return false;
}

static struct caller *
free_place(struct server *s)
{
	for (size_t i = 0; i < SERVER_CALLERS; i++)
		if (s->callers[i].fd < 0)
			return &s->callers[i];
	return NULL;
}

static void
accept_callers(struct server *s)
{
	struct caller *c;

	while ((c = free_place(s)) != NULL) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if (!is_welcome(s, fd)) {
			(void)close(fd);
			continue;
		}
		*c = (struct caller){.fd = fd, .until = deadline_in_ms(PATIENCE_MS), .in = {.max = AGENT_HEADER + REQUEST_MAX}};
	}
}

/* Send what is to be sent; the last answer ends the call. */
static void
flush(struct caller *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			hang_up(c);
			return;
		}
		c->sent += (size_t)n;
	}
	if (!c->waits && c->out.len > 0)
		hang_up(c);
}

/* The answer is put together: it goes out as the caller takes it. rc < 0: there is none, and the caller goes the direct way. */
static void
answer(struct caller *c, int rc)
{
	c->waits = false;
	c->until = deadline_in_ms(PATIENCE_MS);
	if (rc < 0)
		hang_up(c);
	else
		flush(c);
}

static void
answer_request(struct server *s, struct caller *c)
{
	struct err failure = {0};

	switch (s->ops.ask(&c->request, &c->state, &failure, s->ops.arg)) {
	case ASK_WAIT:
		return;
	case ASK_DURABLE:
		answer(c, agent_word_encode(AGENT_DURABLE, &c->out, NULL));
		return;
	case ASK_FAILED:
		answer(c, agent_failure_encode(&failure, &c->out, NULL));
		return;
	case ASK_ELSEWHERE:
		answer(c, agent_word_encode(AGENT_ELSEWHERE, &c->out, NULL));
		return;
	}
}

static void
answer_status(struct server *s, struct caller *c)
{
	JSON_AUTO json_t *report = s->ops.report(s->ops.arg);

	answer(c, report == NULL ? ERR_NOMEM : agent_message_encode(AGENT_REPORT, report, &c->out, NULL));
}

static void
take_request(struct server *s, struct caller *c, enum agent_message type, const uint8_t *body, uint32_t len)
{
	if (type == AGENT_STATUS) {
		answer_status(s, c);
		return;
	}
	if (type != AGENT_ARCHIVE || agent_request_decode(&c->request, body, len, NULL) < 0) {
		answer(c, agent_word_encode(AGENT_ELSEWHERE, &c->out, NULL));
		return;
	}
	c->waits = true;
	c->until = (struct deadline){INT64_MAX}; /* the caller has a limit of its own, and we see it go */
	answer_request(s, c);
	if (c->fd >= 0 && c->waits) {
		if (agent_word_encode(AGENT_WORKING, &c->out, NULL) < 0)
			answer(c, ERR_NOMEM);
		else
			flush(c);
	}
}

static void
read_caller(struct server *s, struct caller *c)
{
	enum agent_message type;
	uint8_t piece[1024];
	uint32_t len;
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* nothing may follow a request; one that went away while it waited wants no answer */
	if (n <= 0 || c->waits || buf_append(&c->in, piece, (size_t)n, NULL) < 0) {
		hang_up(c);
		return;
	}
	if (c->in.len < AGENT_HEADER)
		return;
	if (agent_header_decode(c->in.data, &type, &len, NULL) < 0 || len > REQUEST_MAX)
		answer(c, agent_word_encode(AGENT_ELSEWHERE, &c->out, NULL));
	else if (c->in.len >= AGENT_HEADER + len)
		take_request(s, c, type, c->in.data + AGENT_HEADER, len);
}

size_t
server_poll_set(const struct server *s, struct pollfd *out)
{
	bool full = true;

	for (size_t i = 0; i < SERVER_CALLERS; i++) {
		const struct caller *c = &s->callers[i];

		full = full && c->fd >= 0;
		out[i] = (struct pollfd){.fd = c->fd, .events = c->sent < c->out.len ? POLLIN | POLLOUT : POLLIN};
	}
	out[SERVER_CALLERS] = (struct pollfd){.fd = full ? -1 : s->listener, .events = POLLIN};
	return SERVER_CALLERS + 1;
}

void
server_polled(struct server *s, const struct pollfd *set, size_t n)
{
	for (size_t i = 0; i < SERVER_CALLERS && i < n; i++) {
		struct caller *c = &s->callers[i];

		if (c->fd < 0 || c->fd != set[i].fd)
			continue;
		if ((set[i].revents & POLLOUT) != 0)
			flush(c);
		if (c->fd >= 0 && (set[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
			read_caller(s, c);
		if (c->fd >= 0 && deadline_passed(c->until))
			hang_up(c);
	}
	if (n > SERVER_CALLERS && set[SERVER_CALLERS].revents != 0)
		accept_callers(s);
}

void
server_answer(struct server *s)
{
	for (size_t i = 0; i < SERVER_CALLERS; i++)
		if (s->callers[i].fd >= 0 && s->callers[i].waits)
			answer_request(s, &s->callers[i]);
}
