#include "restore_command/prefetcher.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "ops/prefetch.h"

#define SELF "/proc/self/exe"
#define WORDS_MAX (2 * (3 + 2 * WAL_COMMAND_NAMES) + 5)
#define FIRST_OTHER 3 /* descriptor behind the three that every process has */

extern char **environ;

struct words {
	const char *list[WORDS_MAX];
	size_t n;
};

static void
add(struct words *w, const char *option, const char *value)
{
	if (value == NULL)
		return;
	w->list[w->n++] = option;
	w->list[w->n++] = value;
}

static struct words
words_of(const struct wal_command *c)
{
	struct words w = {.list = {"pgcairn-wal-restore", "--prefetch"}, .n = 2};

	add(&w, "--config", c->config_path);
	add(&w, "--cluster", c->cluster_name);
	add(&w, "--session", c->session);
	for (size_t i = 0; i < c->n_only; i++)
		add(&w, "--repository", c->only[i]);
	for (size_t i = 0; i < c->n_without; i++)
		add(&w, "--without-repository", c->without[i]);
	w.list[w.n++] = c->arguments[0];
	w.list[w.n++] = c->arguments[1];
	return w;
}

/* A session of its own, all signals as they come: the server's go to a group that it does not belong to. */
static int
detach(posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int rc;

	(void)sigfillset(&all);
	(void)sigemptyset(&none);
	rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(attributes, &all);
	return rc == 0 ? posix_spawnattr_setsigmask(attributes, &none) : rc;
}

/* Whoever reads what the server writes must not have to wait for our end. */
static int
let_go(posix_spawn_file_actions_t *actions)
{
	int rc = 0;

	for (int fd = 0; rc == 0 && fd < FIRST_OTHER; fd++)
		rc = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
	return rc == 0 ? posix_spawn_file_actions_addclosefrom_np(actions, FIRST_OTHER) : rc;
}

void
prefetcher_start(const struct wal_command *c)
{
	struct words w = words_of(c);
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t actions;
	pid_t child;

	if (posix_spawnattr_init(&attributes) != 0)
		return;
	if (posix_spawn_file_actions_init(&actions) == 0) {
		if (detach(&attributes) == 0 && let_go(&actions) == 0)
			(void)posix_spawn(&child, SELF, &actions, &attributes, (char *const *)(uintptr_t)w.list, environ);
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	(void)posix_spawnattr_destroy(&attributes);
}

struct fetch_options
fetch_options_of(const struct wal_command *c)
{
	return (struct fetch_options){
	    .session = c->session,
	    .only = c->only,
	    .n_only = c->n_only,
	    .without = c->without,
	    .n_without = c->n_without,
	    .lives_on = access("standby.signal", F_OK) == 0,
	};
}

int
prefetcher_main(struct wal_command *c)
{
	struct err unseen;

	if (wal_command_load(c, &unseen) == 0 && keys_init(&unseen) == 0) {
		const struct fetch_options o = fetch_options_of(c);

		prefetch_run(&c->op, &o, c->arguments[0]);
	}
	wal_command_close(c);
	return 0;
}
