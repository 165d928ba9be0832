#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

extern char **environ;

struct ends {
	int read, write;
};

static int
make_pipe(struct ends *e, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, ERR_IO, errno, "make a pipe");
	e->read = fds[0];
	e->write = fds[1];
	return 0;
}

static void
close_end(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static int
start(const char *const argv[], const struct ends *out, const struct ends *errors, pid_t *child, struct err *err)
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc == 0) {
		rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
		if (rc == 0)
			rc = posix_spawn_file_actions_adddup2(&actions, out->write, STDOUT_FILENO);
		if (rc == 0)
			rc = posix_spawn_file_actions_adddup2(&actions, errors->write, STDERR_FILENO);
		if (rc == 0)
			rc = posix_spawnp(child, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	if (rc == 0)
		return 0;
	return err_set(err, rc == ENOENT ? ERR_NOT_FOUND : ERR_IO, rc, "start '%s'", argv[0]);
}

/* What has come on one pipe; the pipe is closed at its end. */
static int
take(int *fd, struct buf *to, const char *program, struct err *err)
{
	char bytes[4096];
	ssize_t n = read(*fd, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR ? 0 : err_set(err, ERR_IO, errno, "read what '%s' says", program);
	if (n == 0) {
		close_end(fd);
		return 0;
	}
	return buf_append(to, bytes, (size_t)n, err);
}

static int
listen_to(const char *program, int64_t limit_ms, int fds[2], struct buf *const to[2], struct err *err)
{
	struct deadline deadline = deadline_in_ms(limit_ms);

	while (fds[0] >= 0 || fds[1] >= 0) {
		struct pollfd p[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
		int64_t left = deadline_left_ms(deadline);
		int n = left > 0 ? poll(p, 2, left > 1000 ? 1000 : (int)left) : 0;

		if (left == 0)
			return err_set(err, ERR_RETRY, 0, "'%s' did not end in %lld ms", program, (long long)limit_ms);
		if (n < 0 && errno != EINTR)
			return err_set(err, ERR_IO, errno, "wait for '%s'", program);
		for (int i = 0; n > 0 && i < 2; i++) {
			int rc = p[i].revents != 0 ? take(&fds[i], to[i], program, err) : 0;

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int
spawn_output(const char *const argv[], int64_t limit_ms, struct buf *out, struct buf *errors, int *status, struct err *err)
{
	struct ends o = {-1, -1}, e = {-1, -1};
	struct buf *const to[2] = {out, errors};
	pid_t child = 0;
	int said, rc = make_pipe(&o, err);

	if (rc == 0)
		rc = make_pipe(&e, err);
	if (rc == 0)
		rc = start(argv, &o, &e, &child, err);
	close_end(&o.write);
	close_end(&e.write);
	if (rc == 0) {
		int fds[2] = {o.read, e.read};

		rc = listen_to(argv[0], limit_ms, fds, to, err);
		o.read = fds[0];
		e.read = fds[1];
		if (rc < 0)
			(void)kill(child, SIGKILL);
		while (waitpid(child, &said, 0) < 0 && errno == EINTR)
			;
		*status = WIFEXITED(said) ? WEXITSTATUS(said) : 128 + WTERMSIG(said);
	}
	close_end(&o.read);
	close_end(&e.read);
	return rc;
}
