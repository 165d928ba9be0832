/* pgcairn: one verb a run. Argument vector, exit codes and printing live in this folder and nowhere else. */
#include <signal.h>
#include <unistd.h>

#include "build-config.h"
#include "cli/exit_code.h"
#include "cli/nagios.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "keys/secret.h"

static const struct cli_verb *const verbs[] = {
    &verb_adopt,
    &verb_agent,
    &verb_backup,
    &verb_check,
    &verb_conflict,
    &verb_find,
    &verb_gap,
    &verb_index,
    &verb_info,
    &verb_init,
    &verb_key,
    &verb_restore,
    &verb_start,
    &verb_stop,
    &verb_verify,
};

static const struct cli_program program = {
    .name = "pgcairn",
    .summary = "PostgreSQL backup, WAL archiving and point-in-time recovery",
    .options = cli_common_options,
    .verbs = verbs,
    .n_verbs = ARRAY_LEN(verbs),
};

static int
fail(const struct log *log, const struct err *err)
{
	log_err(log, LOG_ERROR, err);
	return exit_code_of(err->kind);
}

static int
print_help(const struct cli_invocation *inv, const struct log *log)
{
	BUF_AUTO struct buf text = {0};
	struct err err = {0};
	int rc = cli_help(&program, cli_verb_of(inv), &text, &err);

	if (rc == 0)
		rc = output_text(&text, &err);
	return rc < 0 ? fail(log, &err) : EXIT_DONE;
}

/* What --log-level and --quiet say wins over the configuration. */
static void
set_level(struct log *log, const struct cli_invocation *inv, const struct config *cfg)
{
	const char *word = cli_value(inv, "log-level");

	log->level = cfg->log_level;
	if (word != NULL)
		log->level = (enum log_level)log_level_parse(word);
	if (cli_flag(inv, "quiet"))
		log->level = LOG_ERROR;
}

/* What kept a verb from running at all; a monitoring system hears it as it hears all else. */
static int
fail_before(const struct log *log, int argc, char *const *argv, const struct err *err)
{
	int code = fail(log, err);

	return nagios_wanted(argc, argv) ? (int)nagios_unknown(err) : code;
}

static int
run_verb(struct cli_invocation *inv, struct log *log, int argc, char *const *argv)
{
	struct op op = {.log = log};
	struct config *cfg = NULL;
	const char *path = cli_value(inv, "config");
	struct worker_pool *pool = NULL;
	struct err err = {0};
	int rc = keys_init(&err), code;

	if (rc == 0)
		rc = config_load(&cfg, path != NULL ? path : config_default_path(), &err);
	if (rc == 0 && !cli_verb_of(inv)->resident)
		rc = config_cluster(cfg, cli_value(inv, "cluster"), &op.cluster, &err);
	if (rc < 0) {
		config_free(cfg);
		return fail_before(log, argc, argv, &err);
	}
	set_level(log, inv, cfg);
	op.config = cfg;
	if (!cli_verb_of(inv)->resident)
		rc = worker_pool_new(&pool, config_threads(cfg), &err);
	op.pool = pool;
	cli_set_context(inv, &op);
	code = rc < 0 ? fail(log, &err) : cli_verb_of(inv)->run(inv);
	worker_pool_free(pool);
	config_free(cfg);
	return code;
}

int
main(int argc, char **argv)
{
	CLI_AUTO struct cli_invocation *inv = NULL;
	struct log log = {.level = LOG_INFO, .fd = STDERR_FILENO, .program = "pgcairn"};
	struct err err = {0};

	(void)signal(SIGPIPE, SIG_IGN);
	if (cli_parse(&inv, &program, argc, argv, &err) < 0)
		return fail_before(&log, argc, argv, &err);
	if (cli_flag(inv, "version")) {
		BUF_AUTO struct buf text = {0};

		if (buf_printf(&text, &err, "pgcairn %s\n", PGCAIRN_VERSION) < 0 || output_text(&text, &err) < 0)
			return fail(&log, &err);
		return EXIT_DONE;
	}
	if (cli_flag(inv, "help"))
		return print_help(inv, &log);
	return run_verb(inv, &log, argc, argv);
}
