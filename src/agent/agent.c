#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/notify.h"
#include "agent/server.h"
#include "agent/shipper.h"
#include "base/clock.h"
#include "build-config.h"

#define THREADS_MAX 3 /* files in flight: memory, about 10 MiB for each */
#define TICK_MS 1000
#define LIMIT_SHARE 8                 /* of [archive] timeout, for one operation of a repository */
#define QUEUE_BYTES ((size_t)2 << 20) /* of one file to one repository; memory again */

struct agent {
	const struct config *cfg;
	const struct agent_options *options;
	const struct log *log;
	uint64_t configuration; /* as it was before anything of it was read */
	struct shared shared;
	struct guards *guards;
	struct shipper **shippers;
	size_t n_shippers, next; /* next: whose turn it is; with the lock */
	pthread_t threads[THREADS_MAX];
	size_t n_threads;
	struct server *server;
	int signals; /* a signalfd */
	int64_t started_us, tick_ms, watchdog_ms, alive_ms;
	bool stale;       /* a caller had another configuration, or a file of keys has changed */
	uint64_t refused; /* that could not be read, as it was when a file of keys had changed: said once */
};

/* ---- ship threads ---- */

/* One file of whoever's turn it is. With the lock. */
static bool
work_once(struct agent *a, struct object_slots *slots)
{
	for (size_t i = 0; i < a->n_shippers; i++) {
		struct shipper *s = a->shippers[a->next++ % a->n_shippers];

		if (shipper_work(s, slots))
			return true;
	}
	return false;
}

static int64_t
wakes_ms(const struct agent *a)
{
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < a->n_shippers; i++)
		if (shipper_wakes_ms(a->shippers[i]) < at)
			at = shipper_wakes_ms(a->shippers[i]);
	return at;
}

static void *
ship(void *arg)
{
	struct agent *a = arg;
	struct object_slots *slots = NULL;

	(void)object_slots_new(&slots, NULL, NULL); /* without them each object has its own */
	shared_lock(&a->shared);
	while (!a->shared.ending)
		if (!work_once(a, slots))
			shared_wait(&a->shared, wakes_ms(a));
	shared_unlock(&a->shared);
	object_slots_free(slots);
	return NULL;
}

/* ---- what the server asks ---- */

static enum ask
ask(const struct agent_request *r, struct ask_state *state, struct err *err, void *arg)
{
	struct agent *a = arg;
	enum ask answer = ASK_ELSEWHERE;

	if (r->configuration != a->configuration) {
		a->stale = true;
		return ASK_ELSEWHERE;
	}
	shared_lock(&a->shared);
	for (size_t i = 0; i < a->n_shippers; i++)
		if (strcmp(a->shippers[i]->op.cluster->name, r->cluster) == 0)
			answer = shipper_ask(a->shippers[i], r, state, err);
	shared_unlock(&a->shared);
	return answer;
}

static json_t *
report(void *arg)
{
	struct agent *a = arg;
	json_t *clusters = json_array();
	char since[32];
	bool ok = clusters != NULL;

	clock_format_utc(since, sizeof(since), a->started_us);
	shared_lock(&a->shared);
	for (size_t i = 0; ok && i < a->n_shippers; i++)
		ok = json_array_append_new(clusters, shipper_report(a->shippers[i])) == 0;
	shared_unlock(&a->shared);
	if (!ok) {
		json_decref(clusters);
		return NULL;
	}
	return json_pack(
	    "{ss sI ss so}", "version", PGCAIRN_VERSION, "pid", (json_int_t)getpid(), "since", since, "clusters", clusters);
}

/* ---- the main thread ---- */

/* Everything that ends here ends with the process; nothing has to be put away. */
static int
reload(struct agent *a, struct err *err)
{
	struct config *fresh = NULL;

	a->stale = false;
	if (config_load(&fresh, a->options->config_path, err) < 0) {
		log_err(a->log, LOG_ERROR, err);
		log_write(a->log, LOG_ERROR, "the agent goes on with the configuration it has; who calls goes the direct way");
		a->refused = agent_configuration(a->cfg);
		return 0;
	}
	config_free(fresh);
	log_write(a->log, LOG_INFO, "the configuration is read again");
	notify_reloading();
	server_close(STEAL(a->server));
	(void)execv("/proc/self/exe", a->options->argv);
	return err_set(err, ERR_IO, errno, "execute the agent again");
}

/* True to end. */
static bool
take_signals(struct agent *a)
{
	struct signalfd_siginfo info;
	bool end = false;

	while (read(a->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			a->stale = true;
		else
			end = true;
	}
	return end;
}

static bool
keys_changed(const struct agent *a)
{
	uint64_t now = agent_configuration(a->cfg);

	return now != a->configuration && now != a->refused;
}

static void
tick(struct agent *a)
{
	int64_t now = clock_monotonic_ms();

	if (now >= a->tick_ms) {
		for (size_t i = 0; i < a->n_shippers; i++)
			shipper_tick(a->shippers[i]);
		a->stale |= keys_changed(a);
		a->tick_ms = now + TICK_MS;
	}
	if (a->watchdog_ms > 0 && now >= a->alive_ms) {
		notify_send("WATCHDOG=1");
		a->alive_ms = now + a->watchdog_ms;
	}
}

static int64_t
wait_ms(const struct agent *a)
{
	int64_t at = a->tick_ms, now = clock_monotonic_ms();

	if (a->watchdog_ms > 0 && a->alive_ms < at)
		at = a->alive_ms;
	return at > now ? at - now : 0;
}

/* One turn of the loop. True to end. */
static bool
turn(struct agent *a, struct pollfd *set)
{
	size_t n = server_poll_set(a->server, set), own = n;
	uint64_t rings;

	set[n++] = (struct pollfd){.fd = a->signals, .events = POLLIN};
	set[n++] = (struct pollfd){.fd = a->shared.event, .events = POLLIN};
	for (size_t i = 0; i < a->n_shippers; i++) {
		struct ready *r = a->shippers[i]->ready;

		set[n++] = (struct pollfd){.fd = r != NULL ? ready_fd(r) : -1, .events = POLLIN};
	}
	if (poll(set, (nfds_t)n, (int)wait_ms(a)) < 0)
		return errno != EINTR;
	for (size_t i = 0; i < a->n_shippers; i++)
		if (set[own + 2 + i].revents != 0)
			shipper_take(a->shippers[i]);
	server_polled(a->server, set, own);
	if (set[own + 1].revents != 0 && read(a->shared.event, &rings, sizeof(rings)) > 0)
		server_answer(a->server);
	tick(a);
	return set[own].revents != 0 && take_signals(a);
}

/* Nothing is left to do that could be done now: 0, or the last error. */
static bool
is_done(struct agent *a, int *rc, struct err *err)
{
	bool done = true;

	shared_lock(&a->shared);
	for (size_t i = 0; i < a->n_shippers; i++)
		done = shipper_is_done(a->shippers[i], rc, err) && done;
	shared_unlock(&a->shared);
	return done;
}

static int
loop(struct agent *a, struct err *err)
{
	struct pollfd *set = calloc(SERVER_CALLERS + 3 + a->n_shippers, sizeof(*set));
	bool end = false;
	int rc = 0;

	if (set == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the agent");
	notify_send("READY=1\nSTATUS=%zu cluster%s", a->n_shippers, a->n_shippers == 1 ? "" : "s");
	tick(a);
	while (!end && rc == 0) {
		end = turn(a, set) || (a->options->once && is_done(a, &rc, err));
		if (a->stale && !end)
			rc = reload(a, err);
	}
	free(set);
	notify_send("STOPPING=1");
	return rc;
}

/* ---- start and end ---- */

static int
make_shippers(struct agent *a, struct err *err)
{
	const struct config *cfg = a->cfg;
	const struct guard_options limits = {
	    .limit_ms = cfg->archive_timeout_ms / LIMIT_SHARE,
	    .stall_ms = cfg->archive_timeout_ms / LIMIT_SHARE / 2,
	    .queue_bytes = QUEUE_BYTES,
	};
	int rc = guards_new(&a->guards, cfg, &limits, err);

	if (rc < 0)
		return rc;
	a->shippers = calloc(cfg->n_clusters + 1, sizeof(struct shipper *));
	if (a->shippers == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the agent");
	for (size_t i = 0; i < cfg->n_clusters; i++) {
		const struct op op = {.config = cfg, .cluster = &cfg->clusters[i], .log = a->log, .guards = a->guards};

		if (cfg->clusters[i].pgdata == NULL) {
			log_write(a->log, LOG_INFO, "cluster '%s' has no pgdata: nothing to ship", cfg->clusters[i].name);
			continue;
		}
		rc = shipper_new(&a->shippers[a->n_shippers], &a->shared, &op, err);
		if (rc < 0)
			return rc;
		a->shippers[a->n_shippers++]->once = a->options->once;
	}
	if (a->n_shippers > 0)
		return 0;
	err_set(err, ERR_CONFIG, 0, "no cluster of the configuration has a pgdata");
	return err_hint(err, "the agent runs where the server runs: set pgdata in its [cluster:NAME]");
}

/* The server's files and repositories are its owner's. */
static int
become_owner(const struct config *cfg, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < cfg->n_clusters; i++) {
		const struct op op = {.config = cfg, .cluster = &cfg->clusters[i]};

		if (cfg->clusters[i].pgdata != NULL)
			rc = op_become_owner(&op, err);
	}
	return rc;
}

/* Before any thread: they inherit what is blocked. */
static int
catch_signals(struct agent *a, struct err *err)
{
	sigset_t mine;

	(void)sigemptyset(&mine);
	(void)sigaddset(&mine, SIGTERM);
	(void)sigaddset(&mine, SIGINT);
	(void)sigaddset(&mine, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &mine, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	a->signals = signalfd(-1, &mine, SFD_NONBLOCK | SFD_CLOEXEC);
	return a->signals >= 0 ? 0 : err_set(err, ERR_RETRY, errno, "make a signalfd");
}

static int
start_threads(struct agent *a, struct err *err)
{
	size_t n = (size_t)config_threads(a->cfg) + 1;

	if (n > THREADS_MAX)
		n = THREADS_MAX;
	while (a->n_threads < n) {
		int sys = pthread_create(&a->threads[a->n_threads], NULL, ship, a);

		if (sys != 0)
			return err_set(err, ERR_RETRY, sys, "start a thread");
		a->n_threads++;
	}
	return 0;
}

static void
end_threads(struct agent *a)
{
	shared_lock(&a->shared);
	a->shared.ending = true;
	shared_ring(&a->shared);
	shared_unlock(&a->shared);
	for (size_t i = 0; i < a->n_threads; i++)
		(void)pthread_join(a->threads[i], NULL);
	for (size_t i = 0; i < a->n_shippers; i++)
		shipper_free(a->shippers[i]);
	free(a->shippers);
	guards_free(a->guards);
}

static int
run(struct agent *a, struct err *err)
{
	const struct server_ops ops = {.ask = ask, .report = report, .arg = a};
	int rc = catch_signals(a, err);

	if (rc == 0)
		rc = become_owner(a->cfg, err);
	if (rc == 0)
		rc = server_open(&a->server, a->cfg, &ops, a->log, err);
	if (rc == 0)
		rc = make_shippers(a, err);
	if (rc == 0)
		rc = start_threads(a, err);
	if (rc == 0) {
		log_write(a->log, LOG_INFO, "the agent serves %zu cluster%s", a->n_shippers, a->n_shippers == 1 ? "" : "s");
		rc = loop(a, err);
	}
	return rc;
}

int
agent_run(const struct config *cfg, const struct agent_options *o, const struct log *log, struct err *err)
{
	struct agent a = {.cfg = cfg, .options = o, .log = log, .signals = -1};
	int rc;

	a.configuration = agent_configuration(cfg);
	a.started_us = clock_now_us();
	a.watchdog_ms = notify_watchdog_ms();
	rc = shared_init(&a.shared, err);
	if (rc < 0)
		return rc;
	rc = run(&a, err);
	server_close(a.server);
	end_threads(&a);
	if (a.signals >= 0)
		(void)close(a.signals);
	shared_close(&a.shared);
	return rc;
}
