#include <inttypes.h>
#include <signal.h>

#include "base/json.h"
#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/backup.h"

static const char *const checkpoints[] = {"fast", "spread", NULL};

static const struct cli_option options[] = {
    {.name = "full", .type = CLI_FLAG, .doc = "store every file (at present every backup does)"},
    {.name = "checkpoint", .type = CLI_WORD, .words = checkpoints, .doc = "begin at once, or let the server take its time"},
    {.name = "max-rate", .type = CLI_STRING, .value_name = "SIZE", .doc = "bytes a second, as 50MB; 0: no limit"},
    {.name = "wal-timeout",
	.type = CLI_DURATION,
	.doc = "how long to wait for the backup's WAL to be archived (default: 10min)"},
    {.name = "dry-run", .type = CLI_FLAG, .doc = "connect, check everything and say what would be done"},
    {.name = NULL},
};

static volatile sig_atomic_t interrupted; /* the one thing that a signal handler may touch */

static void
on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void
catch_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}; /* a second one ends it at once */

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &act, NULL);
}

static json_t *
lists(json_t *o, const struct backup_result *r)
{
	json_t *pages = json_array(), *repositories = json_array();

	for (size_t i = 0; i < r->n_bad_pages; i++) {
		json_t *one = json_object();

		report_text(one, "path", r->bad_pages[i].path);
		json_object_set_new(one, "block", json_integer(r->bad_pages[i].block));
		json_array_append_new(pages, one);
	}
	json_object_set_new(o, "bad_pages", pages);
	for (size_t i = 0; i < r->n_repositories; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "name", json_string(r->repositories[i].name));
		json_object_set_new(one, "complete", json_boolean(r->repositories[i].complete));
		json_array_append_new(repositories, one);
	}
	json_object_set_new(o, "repositories", repositories);
	return o;
}

static json_t *
report(const struct backup_result *r, bool dry_run)
{
	const struct manifest_head *h = &r->head;
	json_t *o = json_object();

	if (dry_run)
		json_object_set_new(o, "dry_run", json_true());
	else
		json_object_set_new(o, "label", json_string(h->label));
	json_object_set_new(o, "type", json_string(h->incremental ? "incremental" : "full"));
	json_object_set_new(o, "timeline", json_integer(h->start_timeline));
	report_lsn(o, "start_lsn", h->start_lsn);
	if (!dry_run) {
		report_lsn(o, "stop_lsn", h->stop_lsn);
		report_time(o, "start_time", h->start_time_us);
		report_time(o, "stop_time", h->stop_time_us);
		json_object_set_new(o, "stored", json_integer((json_int_t)r->stored));
		json_object_set_new(o, "files", json_integer((json_int_t)h->files));
	}
	json_object_set_new(o, "size", json_integer((json_int_t)h->size));
	return lists(o, r);
}

static int
print_text(const struct backup_result *r, bool dry_run, struct err *err)
{
	const struct manifest_head *h = &r->head;
	BUF_AUTO struct buf b = {0};
	char size[16], stored[16], from[LSN_TEXT], to[LSN_TEXT];
	int rc;

	str_from_size(size, sizeof(size), h->size);
	str_from_size(stored, sizeof(stored), r->stored);
	lsn_format(from, h->start_lsn);
	lsn_format(to, h->stop_lsn);
	if (dry_run)
		rc = buf_printf(&b, err, "would take a full backup of about %s%s, timeline %u\n",
		    h->size > 0 ? size : "unknown size", h->from_standby ? " from a standby" : "", h->start_timeline);
	else
		rc = buf_printf(&b, err, "backup %s: full, timeline %u, %s to %s, %" PRIu64 " files, %s, stored %s, %.1f s\n",
		    h->label, h->start_timeline, from, to, h->files, size, stored,
		    (double)(h->stop_time_us - h->start_time_us) / 1e6);
	for (size_t i = 0; rc == 0 && i < r->n_repositories; i++)
		rc = buf_printf(&b, err, "repository %s: %s\n", r->repositories[i].name,
		    dry_run                       ? r->repositories[i].err.kind == 0 ? "ready" : "NOT READY"
		    : r->repositories[i].complete ? "complete"
						  : "MISSING");
	if (rc == 0 && h->bad_pages > 0)
		rc = buf_printf(
		    &b, err, "%" PRIu64 " pages fail their checksum; they are in the backup as they are\n", h->bad_pages);
	return rc < 0 ? rc : output_text(&b, err);
}

/* "backup LABEL is complete in A, missing in B": a failure, although what A has is valid. */
static void
tell_missing(const struct op *op, const struct backup_result *r)
{
	BUF_AUTO struct buf in = {0}, missing = {0};

	for (size_t i = 0; i < r->n_repositories; i++) {
		struct buf *b = r->repositories[i].complete ? &in : &missing;

		(void)buf_printf(b, NULL, "%s%s", b->len > 0 ? ", " : "", r->repositories[i].name);
	}
	log_write(
	    op->log, LOG_ERROR, "backup %s is complete in %s, missing in %s", r->head.label, buf_text(&in), buf_text(&missing));
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const char *checkpoint = cli_value(inv, "checkpoint"), *rate = cli_value(inv, "max-rate");
	const struct progress_options shown = {
	    .fd = STDERR_FILENO, .label = "backup", .log = op->log, .disabled = cli_flag(inv, "quiet")};
	struct progress *progress = progress_new(&shown);
	struct backup_options o = {
	    .has_max_rate = rate != NULL,
	    .dry_run = cli_flag(inv, "dry-run"),
	    .wal_timeout_ms = cli_duration_ms(inv, "wal-timeout", 0),
	    .interrupted = &interrupted,
	};
	struct backup_result r = {0};
	struct err err = {0};
	int rc = 0;

	o.progress.update = progress_show;
	o.progress.arg = progress;
	if (checkpoint != NULL)
		o.checkpoint = strcmp(checkpoint, "fast") == 0 ? BACKUP_CHECKPOINT_FAST : BACKUP_CHECKPOINT_SPREAD;
	if (rate != NULL && !str_to_size(rate, &o.max_rate))
		rc = err_set(&err, ERR_CONFIG, 0, "--max-rate '%s' is not a size, as 50MB", rate);
	catch_signals();
	if (rc == 0)
		rc = backup_run(op, &o, &r, &err);
	progress_free(progress);
	if (rc == 0 && cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(&r, o.dry_run);

		rc = output_json(j, &err);
	} else if (rc == 0) {
		rc = print_text(&r, o.dry_run, &err);
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	else if (!o.dry_run && r.n_complete < r.n_repositories)
		tell_missing(op, &r);
	rc = rc < 0                                          ? exit_code_of(rc)
	     : !o.dry_run && r.n_complete < r.n_repositories ? EXIT_FAILED
	     : r.head.bad_pages > 0                          ? EXIT_FOUND
							     : EXIT_DONE;
	backup_result_free(&r);
	return rc;
}

const struct cli_verb verb_backup = {
    .name = "backup",
    .summary = "take a base backup into every repository",
    .details =
	"Reads the running server once and writes to every active repository. The backup exists when its WAL is archived and "
	"its "
	"manifest is in place. Exit codes: 0 complete everywhere; 1 failed, or missing in a repository; 2 configuration; 3 "
	"complete, with pages that fail their checksum; 4 refused, because another backup runs or the server is another "
	"cluster.",
    .options = options,
    .run = run,
};
