#include "cli/wal_command.h"

#include "keys/secret.h"

#define THREADS_MAX 4 /* memory: 24 MiB with that many, for a segment that does not compress */

static int
usage(struct err *err, const char *program, const char *what, const char *word)
{
	err_set(err, ERR_CONFIG, 0, "%s: %s", what, word);
	return err_hint(err, "see %s --help", program);
}

/* The value of "--name VALUE" or "--name=VALUE"; NULL when argv[*i] is another option. */
static const char *
value_of(char **argv, int argc, int *i, const char *name, bool *bad)
{
	size_t n = strlen(name);
	const char *arg = argv[*i];

	if (strncmp(arg, name, n) != 0)
		return NULL;
	if (arg[n] == '=')
		return arg + n + 1;
	if (arg[n] != '\0')
		return NULL;
	if (*i + 1 >= argc) {
		*bad = true;
		return NULL;
	}
	return argv[++*i];
}

static bool
add_name(const char **list, size_t *n, const char *value)
{
	if (*n == WAL_COMMAND_NAMES)
		return false;
	list[(*n)++] = value;
	return true;
}

static int
parse_option(struct wal_command *c, char **argv, int argc, int *i, const char *program, bool fetching, struct err *err)
{
	const char *option = argv[*i], *v;
	bool bad = false, ok = true;

	if (strcmp(option, "--help") == 0)
		c->help = true;
	else if (strcmp(option, "--version") == 0)
		c->version = true;
	else if ((v = value_of(argv, argc, i, "--config", &bad)) != NULL)
		c->config_path = v;
	else if ((v = value_of(argv, argc, i, "--cluster", &bad)) != NULL)
		c->cluster_name = v;
	else if (fetching && strcmp(option, "--prefetch") == 0)
		c->prefetch = true;
	else if (fetching && (v = value_of(argv, argc, i, "--session", &bad)) != NULL)
		c->session = v;
	else if (fetching && (v = value_of(argv, argc, i, "--repository", &bad)) != NULL)
		ok = add_name(c->only, &c->n_only, v);
	else if (fetching && (v = value_of(argv, argc, i, "--without-repository", &bad)) != NULL)
		ok = add_name(c->without, &c->n_without, v);
	else
		return usage(err, program, bad ? "this option needs a value" : "unknown option", option);
	return ok ? 0 : usage(err, program, "given too often", option);
}

int
wal_command_parse(struct wal_command *c, int argc, char **argv, const char *program, bool fetching, struct err *err)
{
	size_t n = 0;

	memset(c, 0, sizeof(*c));
	c->log = (struct log){.level = LOG_INFO, .fd = STDERR_FILENO, .program = program};
	for (int i = 1; i < argc; i++) {
		int rc = 0;

		if (argv[i][0] == '-' && argv[i][1] == '-' && argv[i][2] != '\0')
			rc = parse_option(c, argv, argc, &i, program, fetching, err);
		else if (n == 2)
			rc = usage(err, program, "one argument too many", argv[i]);
		else
			c->arguments[n++] = argv[i];
		if (rc < 0)
			return rc;
	}
	if (!c->help && !c->version && n != 2)
		return usage(err, program, "two arguments are needed", fetching ? "%f %p" : "%p %f");
	return 0;
}

int
wal_command_load(struct wal_command *c, struct err *err)
{
	int rc = config_load(&c->config, c->config_path != NULL ? c->config_path : config_default_path(), err);

	if (rc == 0)
		rc = config_cluster(c->config, c->cluster_name, &c->op.cluster, err);
	if (rc < 0)
		return rc;
	c->log.level = c->config->log_level;
	c->op.config = c->config;
	c->op.log = &c->log;
	return 0;
}

int
wal_command_start(struct wal_command *c, int64_t limit_ms, struct err *err)
{
	const struct guard_options limits = {.limit_ms = limit_ms};
	int threads = config_threads(c->config), rc = keys_init(err);

	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (rc == 0 && threads > 1) {
		rc = worker_pool_new(&c->pool, threads, err);
		c->op.pool = c->pool;
	}
	if (rc == 0)
		rc = guards_new(&c->op.guards, c->config, &limits, err);
	c->op.guards_open_only = true;
	return rc;
}

void
wal_command_close(struct wal_command *c)
{
	worker_pool_free(c->pool);
	guards_free(c->op.guards);
	config_free(c->config);
}
