#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"

#define START_LIMIT_MS 60000 /* for reading the configuration, which holds the real limit */
#define DONE_PATIENCE_MS 500
#define KILL_PATIENCE 50 /* times 10 ms for a killed child to go, which one that hangs may never do */

/* What the child tells. */
struct limit {
	int64_t ms;        /* DONE: it is done */
	int64_t exit_code; /* behind the limit, or at once */
};
#define DONE (-1)

static const int signals[] = {
    SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF, SIGALRM};

/* Read by the signal handler. */
static struct {
	struct supervision s;
	pid_t child; /* 0: this process does the work itself */
	int limits;  /* the child's end of the pipe by which it tells its limit; -1: none */
} self;

/* Unless somebody else is at work on it by now. */
static void
remove_temporary(void)
{
	int fd = self.s.temporary != NULL ? open(self.s.temporary, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		(void)unlink(self.s.temporary);
	(void)close(fd);
}

/* Only what is safe in a signal handler. */
static void
end_work(void)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	if (self.child > 0) {
		(void)kill(self.child, SIGKILL);
		for (int i = 0; i < KILL_PATIENCE && waitpid(self.child, NULL, WNOHANG) == 0; i++)
			(void)nanosleep(&pause, NULL);
	}
	remove_temporary();
}

static void
on_signal(int sig)
{
	end_work();
	if (sig == SIGTERM && self.s.dies_of_term) {
		(void)signal(sig, SIG_DFL);
		(void)raise(sig); /* takes effect when the handler returns */
		return;
	}
	if (sig != SIGALRM)
		_exit(self.s.interrupted);
	if (write(STDERR_FILENO, self.s.too_late, strlen(self.s.too_late)) < 0)
		_exit(self.s.timed_out);
	_exit(self.s.timed_out);
}

static void
set_alarm(int64_t ms)
{
	const struct itimerval when = {.it_value = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000}};

	(void)setitimer(ITIMER_REAL, &when, NULL);
}

/* From now on. */
static void
take_limit(int64_t ms, int exit_code)
{
	if (exit_code != self.s.timed_out && self.s.unproved != NULL)
		self.s.too_late = self.s.unproved;
	self.s.timed_out = exit_code;
	set_alarm(ms);
}

/* The child leaves signals to the parent: the server sends them to the whole group. */
static void
become_worker(const int ends[2], pid_t parent)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)signal(signals[i], SIG_IGN);
	(void)signal(SIGALRM, SIG_DFL); /* for a limit that cannot be told */
	set_alarm(0);
	self.child = 0;
	self.limits = ends[1];
	(void)close(ends[0]);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(self.s.failed);
}

static _Noreturn void
wait_for_worker(const int ends[2])
{
	struct limit limit;
	int status;
	ssize_t n;

	(void)close(ends[1]);
	if (self.s.dies_of_term) /* a server that is gone wants nothing any more, and its successor asks for the same file */
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	while ((n = read(ends[0], &limit, sizeof(limit))) != 0) {
		if (n != (ssize_t)sizeof(limit))
			continue;
		if (limit.ms == DONE) {
			/* it goes by itself in a moment, unless one of its threads hangs */
			if (poll(&(struct pollfd){.fd = ends[0]}, 1, DONE_PATIENCE_MS) > 0)
				break;
			_exit((int)limit.exit_code);
		}
		take_limit(limit.ms, (int)limit.exit_code);
	}
	while (waitpid(self.child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(self.s.failed);
	self.child = 0;
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	remove_temporary();
	(void)fprintf(stderr, "%s error: ended by signal %d\n", self.s.program, WTERMSIG(status));
	_exit(self.s.failed);
}

void
supervise_signals(const struct supervision *s)
{
	self.s = *s;
	self.child = 0;
	self.limits = -1;
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk */
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)signal(signals[i], on_signal);
	set_alarm(START_LIMIT_MS);
}

void
supervise(void)
{
	pid_t parent = getpid(), child;
	sigset_t all, old;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	(void)fflush(NULL);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &old); /* no signal may find a child that is not written down yet */
	child = fork();
	if (child == 0)
		become_worker(ends, parent);
	else if (child > 0)
		self.child = child;
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (child > 0)
		wait_for_worker(ends);
	if (child < 0) {
		(void)close(ends[0]);
		(void)close(ends[1]);
	}
}

void
supervise_limit(int64_t limit_ms, int timed_out)
{
	const struct limit limit = {limit_ms, timed_out};

	/* all of it or nothing: a pipe takes that much in one piece */
	if (self.limits >= 0 && write(self.limits, &limit, sizeof(limit)) == (ssize_t)sizeof(limit))
		return;
	take_limit(limit_ms, timed_out);
}

void
supervise_done(int exit_code)
{
	const struct limit limit = {DONE, exit_code};

	if (self.limits >= 0 && write(self.limits, &limit, sizeof(limit)) < 0)
		return; /* it hears of our end by the end of the pipe */
}
