/*
 * Runs a command and spoils one system call of it: the Nth that touches one of the named places, counted over all its
 * processes and threads in the order in which they come. Only for tests.
 *
 *   inject --log FILE [--under PREFIX]... [--calls NAME,...] [--refuse NAME=ERRNO]...
 *          [--nth N --kill all|process | --nth N --error ERRNO | --nth N --short | --nth N --aside SHELL]
 *          -- COMMAND ARGUMENT...
 *
 * The log gets a line "number call target" for each call that counts; with --nth for the spoiled one alone, so that an empty
 * log says that there was no Nth. A target is a path, or what /proc calls a descriptor ("pipe:[7]", "socket:[8]"). --refuse
 * answers every call of that name with an error (tmpfile is openat with O_TMPFILE): a file system that cannot do it. --short
 * halves the length of a read or write. --aside spoils nothing: the shell does something else while the call waits, and then it
 * is made. What fails on a socket breaks its connection, as it does in life. The status is the
 * command's, 128 + N when signal N ended it.
 *
 * Not strace, because that stops at every call: here a seccomp filter stops the few that count, and a run costs
 * milliseconds. Registers are x86-64's.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define PLACES_MAX 16
#define REFUSED_MAX 8

/* Where a call's target stands among its arguments; -1: nowhere. A path without a descriptor starts in the current directory.
 */
static const struct call {
	const char *name;
	int nr, descriptor, path;
} calls[] = {
    {"openat", SYS_openat, 0, 1},
    {"openat2", SYS_openat2, 0, 1},
    {"mkdir", SYS_mkdir, -1, 0},
    {"mkdirat", SYS_mkdirat, 0, 1},
    {"unlink", SYS_unlink, -1, 0},
    {"unlinkat", SYS_unlinkat, 0, 1},
    {"rmdir", SYS_rmdir, -1, 0},
    {"link", SYS_link, -1, 1},
    {"linkat", SYS_linkat, 2, 3},
    {"symlink", SYS_symlink, -1, 1},
    {"symlinkat", SYS_symlinkat, 1, 2},
    {"rename", SYS_rename, -1, 1},
    {"renameat", SYS_renameat, 2, 3},
    {"renameat2", SYS_renameat2, 2, 3},
    {"chmod", SYS_chmod, -1, 0},
    {"fchmod", SYS_fchmod, 0, -1},
    {"fchown", SYS_fchown, 0, -1},
    {"fchownat", SYS_fchownat, 0, 1},
    {"stat", SYS_stat, -1, 0},
    {"lstat", SYS_lstat, -1, 0},
    {"fstat", SYS_fstat, 0, -1},
    {"newfstatat", SYS_newfstatat, 0, 1},
    {"statx", SYS_statx, 0, 1},
    {"statfs", SYS_statfs, -1, 0},
    {"fstatfs", SYS_fstatfs, 0, -1},
    {"access", SYS_access, -1, 0},
    {"faccessat", SYS_faccessat, 0, 1},
    {"faccessat2", SYS_faccessat2, 0, 1},
    {"readlink", SYS_readlink, -1, 0},
    {"readlinkat", SYS_readlinkat, 0, 1},
    {"getdents64", SYS_getdents64, 0, -1},
    {"read", SYS_read, 0, -1},
    {"pread64", SYS_pread64, 0, -1},
    {"write", SYS_write, 0, -1},
    {"pwrite64", SYS_pwrite64, 0, -1},
    {"fsync", SYS_fsync, 0, -1},
    {"fdatasync", SYS_fdatasync, 0, -1},
    {"sync_file_range", SYS_sync_file_range, 0, -1},
    {"ftruncate", SYS_ftruncate, 0, -1},
    {"fallocate", SYS_fallocate, 0, -1},
    {"lseek", SYS_lseek, 0, -1},
    {"flock", SYS_flock, 0, -1},
    {"ioctl", SYS_ioctl, 0, -1},
    {"close", SYS_close, 0, -1},
    {"recvfrom", SYS_recvfrom, 0, -1},
    {"sendto", SYS_sendto, 0, -1},
};

static const struct {
	const char *name;
	int number;
} errors[] = {
    {"EIO", EIO},
    {"ENOSPC", ENOSPC},
    {"EDQUOT", EDQUOT},
    {"EACCES", EACCES},
    {"EPERM", EPERM},
    {"ENOENT", ENOENT},
    {"ESTALE", ESTALE},
    {"EINTR", EINTR},
    {"EMFILE", EMFILE},
    {"EROFS", EROFS},
    {"EINVAL", EINVAL},
    {"ENOSYS", ENOSYS},
    {"EOPNOTSUPP", EOPNOTSUPP},
    {"ECONNRESET", ECONNRESET},
};

enum action { COUNT, KILL_ALL, KILL_PROCESS, ASIDE, FAIL, SHORTEN };

struct refusal {
	int nr, error;
	bool tmpfile; /* only this kind of openat */
};

static struct {
	const char *log;
	const char *places[PLACES_MAX];
	size_t n_places;
	bool wanted[ARRAY_LEN(calls)];
	struct refusal refused[REFUSED_MAX];
	size_t n_refused;
	enum action action;
	int error;
	const char *aside;
	uint64_t nth; /* 0: spoil nothing */
	char **command;
} options;

static _Noreturn void
die(const char *what)
{
	(void)fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static int
error_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].number;
	return 0;
}

static bool
want(const char *names)
{
	while (*names != '\0') {
		size_t n = strcspn(names, ","), i = 0;

		while (i < ARRAY_LEN(calls) && (strlen(calls[i].name) != n || strncmp(calls[i].name, names, n) != 0))
			i++;
		if (i == ARRAY_LEN(calls))
			return false;
		options.wanted[i] = true;
		names += names[n] == ',' ? n + 1 : n;
	}
	return true;
}

static bool
refuse(const char *text)
{
	const char *equals = strchr(text, '=');
	struct refusal r = {.nr = -1};
	size_t n = equals == NULL ? 0 : (size_t)(equals - text);

	if (n == 0 || options.n_refused == REFUSED_MAX)
		return false;
	r.error = error_number(equals + 1);
	r.tmpfile = n == strlen("tmpfile") && strncmp(text, "tmpfile", n) == 0;
	if (r.tmpfile)
		r.nr = SYS_openat;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (strlen(calls[i].name) == n && strncmp(calls[i].name, text, n) == 0)
			r.nr = calls[i].nr;
	options.refused[options.n_refused++] = r;
	return r.nr >= 0 && r.error != 0;
}

static bool
set_option(const char *name, const char *value)
{
	if (strcmp(name, "--log") == 0)
		options.log = value;
	else if (strcmp(name, "--under") == 0 && options.n_places < PLACES_MAX)
		options.places[options.n_places++] = value;
	else if (strcmp(name, "--calls") == 0)
		return want(value);
	else if (strcmp(name, "--refuse") == 0)
		return refuse(value);
	else if (strcmp(name, "--nth") == 0)
		return sscanf(value, "%" SCNu64, &options.nth) == 1 && options.nth > 0;
	else if (strcmp(name, "--kill") == 0)
		options.action = strcmp(value, "process") == 0 ? KILL_PROCESS : KILL_ALL;
	else if (strcmp(name, "--error") == 0) {
		options.action = FAIL;
		options.error = error_number(value);
		return options.error != 0;
	} else if (strcmp(name, "--aside") == 0) {
		options.action = ASIDE;
		options.aside = value;
	} else
		return false;
	return true;
}

static void
parse(char **argv)
{
	bool any = false;
	int i = 1;

	for (; argv[i] != NULL && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--short") == 0) {
			options.action = SHORTEN;
			continue;
		}
		errno = EINVAL;
		if (argv[i + 1] == NULL || !set_option(argv[i], argv[i + 1]))
			die(argv[i]);
		i++;
	}
	errno = EINVAL;
	if (argv[i] == NULL || argv[i + 1] == NULL || options.log == NULL || (options.nth > 0) != (options.action != COUNT))
		die("usage: see the top of inject.c");
	options.command = argv + i + 1;
	for (size_t k = 0; k < ARRAY_LEN(calls); k++)
		any |= options.wanted[k];
	for (size_t k = 0; k < ARRAY_LEN(calls) && !any; k++)
		options.wanted[k] = true;
}

struct filter {
	struct sock_filter code[16 + 5 * REFUSED_MAX + 2 * ARRAY_LEN(calls)];
	unsigned short n;
};

static void
emit(struct filter *f, struct sock_filter instruction)
{
	f->code[f->n++] = instruction;
}

#define LOAD(field) (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, value)
#define UNLESS_EQUAL(value, skip) (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, skip)

/* The kernel answers what is refused, and stops at what counts. */
static void
build_filter(struct filter *f)
{
	const uint32_t tmpfile = O_TMPFILE & ~O_DIRECTORY;

	emit(f, LOAD(arch));
	emit(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	emit(f, ANSWER(SECCOMP_RET_KILL_PROCESS));
	emit(f, LOAD(nr));
	/* a process that makes itself undumpable hides its memory and descriptors from us: let it believe that it did */
	emit(f, UNLESS_EQUAL(SYS_prctl, 4));
	emit(f, LOAD(args[0]));
	emit(f, UNLESS_EQUAL(PR_SET_DUMPABLE, 1));
	emit(f, ANSWER(SECCOMP_RET_ERRNO));
	emit(f, LOAD(nr));
	for (size_t i = 0; i < options.n_refused; i++) {
		const struct refusal *r = &options.refused[i];

		if (r->tmpfile) {
			emit(f, UNLESS_EQUAL(r->nr, 4));
			emit(f, LOAD(args[2]));
			emit(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, tmpfile, 0, 1));
			emit(f, ANSWER(SECCOMP_RET_ERRNO | (uint32_t)r->error));
			emit(f, LOAD(nr));
		} else {
			emit(f, UNLESS_EQUAL(r->nr, 1));
			emit(f, ANSWER(SECCOMP_RET_ERRNO | (uint32_t)r->error));
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (!options.wanted[i])
			continue;
		emit(f, UNLESS_EQUAL(calls[i].nr, 1));
		emit(f, ANSWER(SECCOMP_RET_TRACE));
	}
	emit(f, ANSWER(SECCOMP_RET_ALLOW));
}

static _Noreturn void
become_command(void)
{
	struct filter f = {0};
	struct sock_fprog program;

	build_filter(&f);
	program = (struct sock_fprog){.len = f.n, .filter = f.code};
	/* a process group of its own, so that one kill reaches all of it */
	if (setpgid(0, 0) < 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
		die("trace");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("filter");
	(void)execv(options.command[0], options.command);
	die(options.command[0]);
}

/* The text at an address of the process; cut at PATH_MAX. */
static void
read_text(pid_t pid, uint64_t at, char out[PATH_MAX])
{
	for (size_t n = 0; n + sizeof(long) < PATH_MAX; n += sizeof(long)) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)(at + n), NULL);
		if (errno != 0) {
			out[n] = '\0';
			return;
		}
		memcpy(out + n, &word, sizeof(word));
		if (memchr(&word, '\0', sizeof(word)) != NULL)
			return;
	}
	out[PATH_MAX - 1] = '\0';
}

/* What /proc says that a descriptor is; AT_FDCWD is the current directory. */
static void
read_descriptor(pid_t pid, int fd, char out[PATH_MAX])
{
	char link[64];
	ssize_t n;

	if (fd == AT_FDCWD)
		(void)snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
	else
		(void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
}

static void
read_target(pid_t pid, const struct call *c, const uint64_t args[4], char out[PATH_MAX])
{
	char path[PATH_MAX];
	size_t n;

	out[0] = '\0';
	if (c->descriptor >= 0 || c->path >= 0)
		read_descriptor(pid, c->descriptor >= 0 ? (int)args[c->descriptor] : AT_FDCWD, out);
	if (c->path < 0)
		return;
	read_text(pid, args[c->path], path);
	n = strlen(out);
	if (path[0] == '/')
		memcpy(out, path, PATH_MAX);
	else if (path[0] != '\0' && n + 1 + strlen(path) < PATH_MAX)
		(void)snprintf(out + n, PATH_MAX - n, "/%s", path);
}

static bool
counts(const char *target)
{
	for (size_t i = 0; i < options.n_places; i++)
		if (strncmp(target, options.places[i], strlen(options.places[i])) == 0)
			return true;
	return options.n_places == 0;
}

static pid_t
process_of(pid_t thread)
{
	char path[64], line[256];
	int process = thread;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Tgid: %d", &process) == 1)
			break;
	if (f != NULL)
		(void)fclose(f);
	return process;
}

/* After an error a socket is dead: who waits for an answer on one that lives on waits for what no kernel does. */
static void
break_connection(pid_t process, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
	int copy = pidfd >= 0 ? (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0) : -1;

	if (copy < 0 || shutdown(copy, SHUT_RDWR) < 0)
		die("break a connection");
	(void)close(copy);
	(void)close(pidfd);
}

static bool
is_transient(int error)
{
	return error == EINTR || error == EAGAIN;
}

/* All that is traced may run on meanwhile, but for the one that waits. */
static void
run_aside(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		(void)execl("/bin/sh", "sh", "-c", options.aside, (char *)NULL);
		_exit(127);
	}
	errno = ECANCELED;
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		die(options.aside);
}

static void
spoil(pid_t pid, pid_t group, const char *target, struct user_regs_struct regs)
{
	if (options.action == KILL_ALL)
		(void)kill(-group, SIGKILL);
	if (options.action == KILL_PROCESS)
		(void)kill(process_of(pid), SIGKILL);
	if (options.action == ASIDE)
		run_aside();
	if (options.action < FAIL)
		return;
	if (options.action == FAIL && strncmp(target, "socket:", 7) == 0 && !is_transient(options.error))
		break_connection(process_of(pid), (int)regs.rdi);
	if (options.action == FAIL) {
		regs.orig_rax = UINT64_MAX; /* no call: the kernel gives back what stands in rax */
		regs.rax = -(uint64_t)options.error;
	} else {
		regs.rdx = (regs.rdx + 1) / 2;
	}
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0)
		die("write registers");
}

/* A call that may count is about to be made. */
static void
on_call(pid_t pid, pid_t group, FILE *log)
{
	static uint64_t number;
	struct user_regs_struct regs;
	const struct call *c = NULL;
	char target[PATH_MAX];

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		return; /* killed meanwhile */
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (options.wanted[i] && calls[i].nr == (int)regs.orig_rax)
			c = &calls[i];
	if (c == NULL)
		return;
	read_target(pid, c, (const uint64_t[]){regs.rdi, regs.rsi, regs.rdx, regs.r10}, target);
	if (!counts(target))
		return;
	number++;
	if (options.nth == 0 || number == options.nth)
		(void)fprintf(log, "%" PRIu64 " %s %s\n", number, c->name, target);
	if (number == options.nth)
		spoil(pid, group, target, regs);
}

/* Whether this stop is a signal that the process is to get. A new thread begins with a stop that is ours. */
static int
signal_of(int status)
{
	int sig = WSTOPSIG(status);

	return status >> 16 != 0 || sig == SIGSTOP ? 0 : sig;
}

static int
watch(pid_t child, FILE *log)
{
	const unsigned long traced = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
				     PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int status, result = 125;
	pid_t pid;

	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)traced) < 0 || ptrace(PTRACE_CONT, child, NULL, NULL) < 0)
		die("trace the command");
	/* all of it, so that nothing runs on when this has ended */
	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (pid <= 0)
			continue;
		if (WIFSTOPPED(status)) {
			if (status >> 16 == PTRACE_EVENT_SECCOMP)
				on_call(pid, child, log);
			(void)ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signal_of(status));
		} else if (pid == child) {
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
	}
	return result;
}

int
main(int argc, char **argv)
{
	FILE *log;
	pid_t child;
	int result;

	(void)argc;
	parse(argv);
	log = fopen(options.log, "we");
	if (log == NULL)
		die(options.log);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		become_command();
	result = watch(child, log);
	if (fclose(log) != 0)
		die(options.log);
	return result;
}
