/*
 * The time limit and the exit codes of the WAL commands, kept by a process that does nothing else.
 *
 * A process that waits for a network file system may get no signal before the file system answers, SIGKILL included: a limit
 * that it keeps itself is none, and PostgreSQL's shutdown or recovery would hang with it. And one that is killed, by a limit of
 * the system or by want of memory, ends by a signal, which restarts the archiver and is counted nowhere. So the work is done in
 * a child; the process that PostgreSQL waits for only waits too, and can always end. Rejected: a thread that watches, because
 * the process is gone only when all of its threads are.
 */
#ifndef PGCAIRN_CLI_SUPERVISE_H
#define PGCAIRN_CLI_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

struct supervision {
	const char *program, *too_late; /* for messages; too_late is a line of its own */
	const char *unproved;           /* said instead where the limit ends with another code than timed_out; NULL: too_late */
	const char *temporary;          /* removed when the work ends before its time; NULL: none */
	int failed;                     /* exit code when the work is ended by a signal */
	int interrupted, timed_out;     /* exit codes of this process on a signal, and behind the limit */
	bool dies_of_term;              /* on SIGTERM, and when its parent is gone; else that is an interruption like others */
};

/* From here on signals, and a minute's time, end in an exit code. All pointers must stay valid. */
void supervise_signals(const struct supervision *s);

/*
 * Returns in the process that is to do the work, before it has threads. Where there can be no second process the only one goes
 * on, and keeps the limit as well as it can.
 */
void supervise(void);

/* From here the work may take this long, and ends with this exit code behind it; up to the first call, a minute. */
void supervise_limit(int64_t limit_ms, int timed_out);

/* The work is done with this exit code: nobody waits any longer, not even for a thread that hangs. */
void supervise_done(int exit_code);

#endif
