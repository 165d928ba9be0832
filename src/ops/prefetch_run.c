/*
 * The prefetcher's processes. The one that stays holds the lock of the spool, waits for the one that works, and cleans up
 * behind it however that ends. Both are orphans from the start: where the server is process 1, in a container, it is their
 * parent, and takes an orphan that ends otherwise than with 0 or 1 for a server process that crashed. So the one that stays
 * ends with 0.
 */
#include "ops/prefetch.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/worker.h"
#include "ops/fetch_source.h"
#include "ops/postmaster.h"
#include "ops/prefetch_window.h"
#include "ops/spool_entry.h"

#define IDLE_MS 60000
#define TICK_MS 500
#define LESS_URGENT 10 /* the replay goes first, and it waits for us when there is nothing to replay */
#define THREADS_MAX 4  /* memory: 6 MiB each */
#define THREADS_MIN 2
#define KEEP_MEMORY (16 << 20)
#define KEEP_OPEN_MS 2000 /* repositories, that nobody needs: one that is held cannot be unmounted */

struct prefetcher {
	const struct op *op; /* without log and pool: who runs it has nobody to speak to */
	const struct fetch_options *options;
	const struct spool *spool;
	uint32_t segment_size;
	struct postmaster server;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t more;
	struct prefetch_window window;
	struct err trouble; /* of the spool; kind 0: none */

	int changed; /* eventfd: a thread has come to an end of what it can do */
};

/* One segment on its way into the spool. */
struct passage {
	struct prefetcher *p;
	char name[WAL_NAME_MAX];
	struct spool_writer *writer;
	bool spool_failed;
};

static int
write_piece(const void *data, size_t len, uint64_t offset, void *arg, struct err *err)
{
	struct passage *g = arg;
	int rc = spool_writer_add(g->writer, data, len, offset, err);

	g->spool_failed |= rc < 0;
	return rc;
}

static int
deliver(struct stored *s, uint64_t size, void *arg, struct err *err)
{
	struct passage *g = arg;
	int rc;

	if (size != g->p->segment_size)
		return err_set(err, ERR_CORRUPT, 0, "%s is not as long as a segment", g->name);
	spool_writer_free(STEAL(g->writer)); /* of a repository that failed in the middle */
	rc = spool_writer_new(&g->writer, g->p->spool, g->name, err);
	g->spool_failed |= rc < 0 && rc != ERR_EXISTS;
	return rc < 0 ? rc : stored_scatter(s, NULL, write_piece, g, err);
}

/* Verified as any other fetch, and in the spool, but without its name there yet. */
static int
fetch_ahead(struct passage *g, struct fetch_source *source, struct err *err)
{
	struct fetch_query q = {.source = source, .deliver = deliver, .arg = g};
	struct spool_origin origin = {.doubt = {0}};
	const struct config *cfg = g->p->op->config;
	int rc = fetch_parse_name(g->name, &q.name, err);

	if (rc == 0 && source->open == NULL)
		rc = fetch_source_open(source, g->p->op, g->p->options, err);
	if (rc == 0)
		rc = fetch_ask(&q, err);
	if (rc < 0)
		return rc;
	(void)snprintf(origin.repository, sizeof(origin.repository), "%s", cfg->repositories[q.from].name);
	if (q.doubt.kind != 0)
		origin.doubt = q.doubt;
	rc = spool_writer_end(g->writer, &origin, err);
	g->spool_failed |= rc < 0;
	return rc;
}

/* Called with the lock held: what is no longer wanted gets no name. */
static int
publish(struct passage *g, const struct prefetch_piece *piece, struct err *err)
{
	int rc;

	if (!prefetch_window_wants(&g->p->window, piece))
		return ERR_NOT_FOUND;
	rc = spool_writer_publish(g->writer, err);
	g->spool_failed |= rc < 0;
	return rc;
}

static void
fetch_piece(struct prefetcher *p, struct fetch_source *source, const struct prefetch_piece *piece)
{
	static const uint64_t one = 1;
	struct passage g = {.p = p};
	struct err err = {0};
	int rc;

	wal_segment_name(g.name, piece->timeline, piece->segno, p->segment_size);
	rc = fetch_ahead(&g, source, &err);
	if (rc < 0)
		fetch_source_close(source);
	pthread_mutex_lock(&p->lock);
	if (rc == 0)
		rc = publish(&g, piece, &err);
	prefetch_window_done(&p->window, piece, rc == 0);
	if (g.spool_failed && p->trouble.kind == 0)
		p->trouble = err;
	pthread_mutex_unlock(&p->lock);
	spool_writer_free(g.writer);
	if (rc < 0 && write(p->changed, &one, sizeof(one)) < 0)
		return; /* it is looked at with the next tick */
}

/* False when there is none for a while. */
static bool
next_piece(struct prefetcher *p, struct prefetch_piece *piece)
{
	int64_t until = clock_monotonic_ms() + KEEP_OPEN_MS;
	bool found;

	pthread_mutex_lock(&p->lock);
	while (!(found = prefetch_window_next(&p->window, piece)) && clock_wait(&p->more, &p->lock, until))
		;
	pthread_mutex_unlock(&p->lock);
	return found;
}

static void *
work(void *arg)
{
	struct prefetcher *p = arg;
	struct fetch_source source = {0};
	struct prefetch_piece piece;

	for (;;) {
		if (next_piece(p, &piece))
			fetch_piece(p, &source, &piece);
		else
			fetch_source_close(&source);
	}
	return NULL;
}

static void
drop(void *arg, timeline_t timeline, uint64_t segno)
{
	const struct prefetcher *p = arg;
	char name[WAL_NAME_MAX];

	wal_segment_name(name, timeline, segno, p->segment_size);
	(void)unlinkat(p->spool->fd, name, 0); /* PostgreSQL mostly has it by now */
}

static void
hear(struct prefetcher *p, struct spool_message *m)
{
	struct wal_name name;
	uint64_t segno;

	m->name[sizeof(m->name) - 1] = '\0';
	if (!wal_name_parse(m->name, &name) || name.kind != WAL_NAME_SEGMENT || !wal_name_fits(&name, p->segment_size))
		return;
	segno = wal_name_segno(&name, p->segment_size);
	pthread_mutex_lock(&p->lock);
	if (m->word == SPOOL_DELIVERED)
		prefetch_window_delivered(&p->window, name.timeline, segno, drop, p);
	else if (m->word == SPOOL_ASKED)
		prefetch_window_asked(&p->window, name.timeline, segno);
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
}

static bool
is_over(struct prefetcher *p)
{
	struct postmaster now;
	bool over;

	if (access("recovery.signal", F_OK) < 0 && access("standby.signal", F_OK) < 0)
		return true;
	if (!postmaster_find(".", &now) || now.pid != p->server.pid)
		return true;
	pthread_mutex_lock(&p->lock);
	over = p->trouble.kind != 0 || prefetch_window_at_end(&p->window);
	pthread_mutex_unlock(&p->lock);
	return over;
}

/* Until there is nothing more to do. server: readable when it is gone; -1 where the kernel cannot say so. */
static void
serve(struct prefetcher *p, int bell, int server)
{
	struct deadline idle = deadline_in_ms(IDLE_MS);
	struct spool_message m;
	uint64_t count;

	while (!is_over(p) && !deadline_passed(idle)) {
		struct pollfd fds[] = {{bell, POLLIN, 0}, {p->changed, POLLIN, 0}, {server, POLLIN, 0}};

		if (poll(fds, ARRAY_LEN(fds), TICK_MS) < 0 && errno != EINTR)
			return;
		if (fds[2].revents != 0)
			return;
		while (read(bell, &m, sizeof(m)) == (ssize_t)sizeof(m)) {
			hear(p, &m);
			idle = deadline_in_ms(IDLE_MS);
		}
		if (read(p->changed, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return;
	}
}

static int
threads_of(const struct op *op)
{
	int n = config_threads(op->config);

	return n < THREADS_MIN ? THREADS_MIN : n > THREADS_MAX ? THREADS_MAX : n;
}

static int
start_threads(struct prefetcher *p)
{
	int started = 0;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	for (int i = 0; i < threads_of(p->op); i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, work, p) == 0 && pthread_detach(thread) == 0)
			started++;
	}
	return started;
}

/* The process that works. It never returns: threads may hang in a file system, and go with it. */
static _Noreturn void
run_worker(struct prefetcher *p, const struct wal_name *last)
{
	int bell = -1, server = (int)syscall(SYS_pidfd_open, p->server.pid, 0);
	struct err err = {0};

	/* frames are taken and given back with every segment: not from and to the kernel each time */
	(void)mallopt(M_MMAP_THRESHOLD, KEEP_MEMORY);
	(void)mallopt(M_TRIM_THRESHOLD, 2 * KEEP_MEMORY);
	prefetch_window_init(&p->window, last->timeline, wal_name_segno(last, p->segment_size), prefetch_room(p->op, p->spool));
	p->changed = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (spool_listen(p->spool, &bell, &err) < 0)
		p->trouble = err;
	else if (start_threads(p) > 0)
		serve(p, bell, server);
	pthread_mutex_lock(&p->lock); /* and never given back: nothing is published from now on */
	if (p->trouble.kind != 0)
		spool_give_up(p->spool, &p->trouble);
	_exit(0);
}

static volatile sig_atomic_t child;

static void
end_child(int sig)
{
	(void)sig;
	if (child > 0)
		(void)kill((pid_t)child, SIGKILL);
}

/* The process that stays. */
static void
keep(pid_t worker)
{
	child = worker;
	(void)signal(SIGTERM, end_child);
	(void)signal(SIGINT, end_child);
	(void)signal(SIGHUP, SIG_IGN);
	while (waitpid(worker, NULL, 0) < 0 && errno == EINTR)
		;
}

static void
run(struct prefetcher *p, const struct wal_name *last)
{
	pid_t parent = getpid(), worker;

	spool_clear(p->spool);
	spool_sweep(p->spool);
	worker = fork();
	if (worker == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (getppid() == parent)
			run_worker(p, last);
		_exit(0);
	}
	if (worker > 0)
		keep(worker);
	spool_remove(p->spool);
}

void
prefetch_run(const struct op *op, const struct fetch_options *o, const char *name)
{
	SPOOL_AUTO struct spool spool = SPOOL_NONE;
	struct op quiet = *op;
	struct prefetcher p = {.op = &quiet, .options = o, .spool = &spool};
	struct wal_name last;
	struct err err = {0};

	quiet.log = NULL;
	quiet.pool = NULL;
	(void)setpriority(PRIO_PROCESS, 0, LESS_URGENT);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk */
	if (fetch_parse_name(name, &last, &err) < 0 || last.kind != WAL_NAME_SEGMENT || !postmaster_find(".", &p.server) ||
	    spool_find(&spool, op, o, &err) < 0)
		return;
	p.segment_size = spool.segment_size;
	if (wal_name_fits(&last, p.segment_size) && prefetch_room(op, &spool) > 0 && spool_own(&spool, &err) == 0)
		run(&p, &last);
}
