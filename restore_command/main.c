/*
 * pgcairn-wal-restore: restore_command = 'pgcairn-wal-restore %f %p'.
 *
 * PostgreSQL takes exits 1 to 125 as "there is no such file", ends recovery there and may promote with rows missing. So 1 is
 * said only where ops/fetch.c proved it, and everything else, usage and a crash of ours included, is above 125 (never 143,
 * which is taken for a shutdown). On SIGTERM the temporary is removed and we die of SIGTERM.
 */
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "build-config.h"
#include "cli/supervise.h"
#include "cli/wal_command.h"
#include "ops/fetch.h"
#include "ops/fetch_target.h"
#include "ops/histories.h"
#include "ops/prefetch.h"
#include "restore_command/prefetcher.h"

#define PROGRAM "pgcairn-wal-restore"
#define OPEN_SHARE 8 /* of the time limit, for one repository to open */

enum { DELIVERED = 0, PROVEN_MISSING = 1, USAGE = 200, FAILED = 201, CORRUPT = 202, NO_KEY = 203, TIMED_OUT = 204 };

static const char help[] =
    "usage: " PROGRAM " [--config FILE] [--cluster NAME] [options] %f %p\n"
    "\n"
    "Fetches one file of WAL for a recovering server. `pgcairn restore` writes the setting; by hand:\n"
    "  restore_command = '" PROGRAM " %f %p'\n"
    "\n"
    "  --config FILE               configuration (default: $PGCAIRN_CONFIG, else " PGCAIRN_SYSCONFDIR "/pgcairn/pgcairn.conf)\n"
    "  --cluster NAME              which of its clusters, where there are several\n"
    "  --session FILE              what restore left for this recovery\n"
    "  --repository NAME           ask this repository only (may be repeated)\n"
    "  --without-repository NAME   go on without a repository that is gone for good (may be repeated)\n"
    "  --version                   print the version\n"
    "  --help                      print this\n"
    "\n"
    "exit codes: 0 delivered and verified; 1 every repository that was asked proved that it has no such file; 200 usage or\n"
    "configuration; 201 failed; 202 damaged; 203 no key that opens it; 204 out of time. Above 125 PostgreSQL stops recovery\n"
    "instead of ending it early.\n";

static int
exit_code(int kind)
{
	switch (kind) {
	case 0:
		return DELIVERED;
	case ERR_NOT_FOUND:
		return PROVEN_MISSING;
	case ERR_CONFIG:
		return USAGE;
	case ERR_CORRUPT:
		return CORRUPT;
	case ERR_AUTH:
		return NO_KEY;
	default:
		return FAILED;
	}
}

static bool
is_standby(void)
{
	return access("standby.signal", F_OK) == 0;
}

static bool
is_segment(const struct wal_command *c)
{
	return !str_ends(c->arguments[0], ".history");
}

/* Has this host seen the timeline taken, or can that not be told? */
static bool
is_taken(const struct wal_command *c)
{
	uint64_t sysid;
	struct err why;

	return fetch_find_sysid(&c->op, &sysid, &why) < 0 || histories_know(&c->op, sysid, c->arguments[0]);
}

/* Hearing of a miss the server takes its own copy; a failure as recovery ends would leave it without timeline. */
static bool
server_has(const char *name)
{
	char own[sizeof("pg_wal/") + 64];

	(void)snprintf(own, sizeof(own), "pg_wal/%.63s", name);
	return access(own, F_OK) == 0;
}

/*
 * May the server be told that there is no such file, although that is not proved?
 *
 * On a standby a failure would stop the server. A segment that cannot be had now is called missing: the primary may have it,
 * and the standby comes back for it. So is one that is damaged or cannot be opened, which is never delivered, and one that was
 * given up: a standby promotes when it is told to only, and may get past it by streaming. A history file is different: a false
 * miss makes a promotion reuse a timeline. That is said only where the configuration allows it, of repositories that are
 * silent, and never of a timeline that this host has seen.
 */
static bool
may_pass(const struct wal_command *c, int kind)
{
	if (kind == ERR_CONFIG)
		return false;
	if (is_segment(c))
		return is_standby();
	if (server_has(c->arguments[0]))
		return true;
	return is_standby() && fetch_is_silence(kind) && c->config->promote_without_archive == CONFIG_PROMOTE_ALLOW &&
	       !is_taken(c);
}

/* Why a standby's server has to stop here, and what would let it live. */
static void
explain_refusal(const struct wal_command *c, int kind, struct err *err)
{
	if (is_segment(c) || !is_standby() || !fetch_is_silence(kind))
		return;
	err->hint[0] = '\0';
	if (c->config->promote_without_archive == CONFIG_PROMOTE_ALLOW)
		err_hint(err,
		    "this host has seen that timeline: it is taken, and the server needs a repository that has its history");
	else
		err_hint(err,
		    "for a standby that shall live on without its repositories: [restore] promote-without-archive = allow");
}

#define WHAT_MAY_COME "the server may go on: promoted now, it may take a timeline that another server has taken"

/* The same for a fetch that has not come to an end: nobody is left then to think about it. */
static void
word_of_limit(const struct wal_command *c, char *out, size_t size)
{
	const char *name = c->arguments[0];

	if (is_segment(c))
		(void)snprintf(out, size,
		    PROGRAM
		    " warning: out of time ([restore] timeout): %.64s is not to be had now, and the standby asks again\n",
		    name);
	else if (server_has(name))
		(void)snprintf(out, size,
		    PROGRAM " error: out of time ([restore] timeout): %.64s is called missing: the server has its own\n", name);
	else
		(void)snprintf(out, size,
		    PROGRAM " error: out of time ([restore] timeout)\n" PROGRAM
			    " error: ALARM: whether %.64s exists is not known, since no answer came in time, and " WHAT_MAY_COME
			    "\n",
		    name);
}

/* The answer that is no proof, told as loudly as it may be wrong. */
static int
pass(const struct wal_command *c, int kind, struct err *err)
{
	log_err(&c->log, is_segment(c) && fetch_is_silence(kind) ? LOG_WARN : LOG_ERROR, err);
	if (is_segment(c))
		return err_set(err, ERR_NOT_FOUND, 0,
		    "%s is not to be had now: the standby asks again, and promoted now it would end before it",
		    c->arguments[0]);
	if (server_has(c->arguments[0]))
		return err_set(err, ERR_NOT_FOUND, 0, "%s is called missing: the server has its own", c->arguments[0]);
	log_write(&c->log, LOG_ERROR,
	    "ALARM: whether %s exists is not known, since not every repository answers, and " WHAT_MAY_COME, c->arguments[0]);
	return err_set(err, ERR_NOT_FOUND, 0, "%s is called missing without proof", c->arguments[0]);
}

/* From the repositories. */
static int
fetch(struct wal_command *c, struct fetch_options *o, struct err *err)
{
	struct deadline patience = deadline_in_ms(c->config->restore_timeout_ms / 2);
	int rc = wal_command_start(c, c->config->restore_timeout_ms / OPEN_SHARE, err);

	if (rc < 0)
		return rc;
	o->retry_ms = c->config->restore_timeout_ms / 2;
	for (;;) {
		rc = fetch_file(&c->op, o, c->arguments[0], c->arguments[1], err);
		if (rc == 0 || rc == ERR_NOT_FOUND)
			return rc;
		if (!may_pass(c, rc)) {
			explain_refusal(c, rc, err);
			return rc;
		}
		if (!is_segment(c) || !fetch_is_silence(rc) || deadline_passed(patience))
			return pass(c, rc, err);
		log_err(&c->log, LOG_WARN, err);
		clock_sleep_ms(1000);
	}
}

/* From the spool where it is there, else from the repositories: what is answered is the same. */
static int
answer(struct wal_command *c, struct err *err)
{
	struct fetch_options o = fetch_options_of(c);
	PREFETCH_AUTO struct prefetch ahead = {.spool = SPOOL_NONE};
	int rc = fetch_check_selection(&c->op, &o, err);

	if (rc < 0)
		return rc;
	prefetch_open(&ahead, &c->op, &o, c->arguments[0]);
	if (!prefetch_take(&ahead, c->arguments[1]))
		rc = fetch(c, &o, err);
	if (rc == 0 && prefetch_delivered(&ahead))
		prefetcher_start(c);
	return rc;
}

int
main(int argc, char **argv)
{
	static char temporary[4096], unproved[512];
	struct supervision supervision = {
	    .program = PROGRAM,
	    .too_late = PROGRAM " error: out of time ([restore] timeout)\n",
	    .failed = FAILED,
	    .interrupted = FAILED,
	    .timed_out = TIMED_OUT,
	    .dies_of_term = true,
	};
	struct wal_command c;
	struct err err = {0};
	int rc;

	rc = wal_command_parse(&c, argc, argv, PROGRAM, true, &err);
	if (rc == 0 && (c.help || c.version)) {
		(void)fputs(c.help ? help : PROGRAM " " PGCAIRN_VERSION "\n", stdout);
		return fflush(stdout) == 0 ? DELIVERED : FAILED;
	}
	if (rc == 0 && fetch_temporary_name(temporary, sizeof(temporary), c.arguments[1]) < 0)
		rc = err_set(&err, ERR_CONFIG, 0, "the path '%.64s...' is too long", c.arguments[1]);
	if (rc == 0) {
		word_of_limit(&c, unproved, sizeof(unproved));
		supervision.unproved = unproved;
		supervision.temporary = temporary;
	}
	if (rc == 0 && c.prefetch)
		return prefetcher_main(&c);
	supervise_signals(&supervision);
	supervise();
	(void)signal(SIGPIPE, SIG_IGN); /* a prefetcher that has just ended is no reason to end */
	if (rc == 0)
		rc = wal_command_load(&c, &err);
	if (rc == 0)
		rc = keys_init(&err);
	if (rc == 0) {
		supervise_limit(c.config->restore_timeout_ms, may_pass(&c, ERR_RETRY) ? PROVEN_MISSING : TIMED_OUT);
		rc = answer(&c, &err);
	}
	if (rc == ERR_NOT_FOUND) /* nothing is wrong: recovery asks for what may not be there */
		log_write(&c.log, LOG_INFO, "%s", err.msg);
	else if (rc < 0)
		log_err(&c.log, LOG_ERROR, &err);
	if (c.op.guards != NULL)
		supervise_done(exit_code(rc));
	wal_command_close(&c);
	return exit_code(rc);
}
