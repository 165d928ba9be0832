#include "ops/restore_settings.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "base/clock.h"
#include "base/str.h"
#include "build-config.h"

#define COMMAND "pgcairn-wal-restore"
#define HEADING "# pgcairn restore of backup "

/* Settings of an earlier recovery, or of the original's standby life: a prefix ends in '*'. */
static const char *const dropped[] = {"recovery_target*", "restore_command", "recovery_end_command", "archive_cleanup_command",
    "primary_conninfo", "primary_slot_name", "promote_trigger_file", "recovery_min_apply_delay"};

static bool
matches(const char *pattern, const char *name, size_t len)
{
	size_t n = strlen(pattern);

	if (pattern[n - 1] == '*')
		return len >= n - 1 && strncasecmp(pattern, name, n - 1) == 0;
	return len == n && strncasecmp(pattern, name, n) == 0;
}

/* A setting that a copy gets, with the value that it gets: any other value is the original's, kept for who adopts it. */
static bool
is_our_limit(const char *name, size_t name_len, const char *rest, size_t rest_len, const char *setting, const char *ours)
{
	size_t n = strlen(ours), at = 0;

	if (!matches(setting, name, name_len))
		return false;
	while (at < rest_len && strchr(" \t='", rest[at]) != NULL)
		at++;
	return rest_len - at >= n && memcmp(rest + at, ours, n) == 0 && (rest_len - at == n || rest[at + n] == '\'');
}

/* The setting's name at the start of a line; a file that ALTER SYSTEM writes has one a line. */
static bool
is_dropped(const char *line, size_t len)
{
	size_t from = 0, to;

	while (from < len && (line[from] == ' ' || line[from] == '\t'))
		from++;
	to = from;
	while (to < len && line[to] != ' ' && line[to] != '\t' && line[to] != '=')
		to++;
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
		if (matches(dropped[i], line + from, to - from))
			return true;
	if (len >= strlen(HEADING) && memcmp(line, HEADING, strlen(HEADING)) == 0)
		return true;
	/* what a copy may not do is decided anew each time */
	return is_our_limit(line + from, to - from, line + to, len - to, "archive_mode", "off") ||
	       is_our_limit(line + from, to - from, line + to, len - to, "max_logical_replication_workers", "0");
}

static int
keep_lines(const char *old, size_t len, struct buf *out, struct err *err)
{
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < len;) {
		const char *end = memchr(old + at, '\n', len - at);
		size_t n = end != NULL ? (size_t)(end - (old + at)) : len - at;

		if (!is_dropped(old + at, n)) {
			rc = buf_append(out, old + at, n, err);
			if (rc == 0)
				rc = buf_append(out, "\n", 1, err);
		}
		at += n + 1;
	}
	return rc;
}

int
restore_auto_conf_adopted(const char *old, size_t old_len, struct buf *out, struct err *err)
{
	return keep_lines(old, old_len, out, err);
}

int
restore_quote_setting(const char *value, struct buf *out, struct err *err)
{
	int rc = buf_append(out, "'", 1, err);

	for (const char *p = value; rc == 0 && *p != '\0'; p++) {
		if (*p == '\n' || *p == '\r')
			return err_set(err, ERR_CONFIG, 0, "a setting cannot hold a line break");
		if (*p == '\'' || *p == '\\')
			rc = buf_append(out, p, 1, err);
		if (rc == 0)
			rc = buf_append(out, p, 1, err);
	}
	return rc < 0 ? rc : buf_append(out, "'", 1, err);
}

static int
setting(struct buf *out, const char *name, const char *value, struct err *err)
{
	int rc = buf_printf(out, err, "%s = ", name);

	if (rc == 0)
		rc = restore_quote_setting(value, out, err);
	return rc < 0 ? rc : buf_append(out, "\n", 1, err);
}

static int
write_target(const struct target *t, struct buf *out, struct err *err)
{
	char text[64];

	switch (t->kind) {
	case TARGET_LATEST:
		return 0;
	case TARGET_IMMEDIATE:
		return setting(out, "recovery_target", "immediate", err);
	case TARGET_TIME: {
		/* always UTC, always with its offset: no time zone of a server or a person comes into it */
		clock_format_utc(text, sizeof(text), t->time_us);
		text[10] = ' ';
		(void)snprintf(text + strlen(text) - 1, 4, "+00");
		return setting(out, "recovery_target_time", text, err);
	}
	case TARGET_LSN:
		lsn_format(text, t->lsn);
		return setting(out, "recovery_target_lsn", text, err);
	case TARGET_XID:
		(void)snprintf(text, sizeof(text), "%" PRIu32, t->xid);
		return setting(out, "recovery_target_xid", text, err);
	case TARGET_NAME:
		return setting(out, "recovery_target_name", t->name, err);
	}
	return 0;
}

static const char *
action_word(const struct restore_options *o)
{
	switch (o->action) {
	case ACTION_PROMOTE:
		return "promote";
	case ACTION_PAUSE:
		return "pause";
	case ACTION_SHUTDOWN:
		return "shutdown";
	case ACTION_DEFAULT:
		break;
	}
	return o->plan.target.kind == TARGET_LATEST ? "promote" : "pause";
}

/* Of a recovery that ends: where, and what comes then. */
static int
write_recovery(const struct restore_options *o, const struct plan *plan, struct buf *out, struct err *err)
{
	char timeline[16] = "current";
	int rc = setting(out, "primary_conninfo", "", err);

	if (rc == 0)
		rc = setting(out, "primary_slot_name", "", err);
	if (rc == 0)
		rc = write_target(&o->plan.target, out, err);
	/* a number, so that a timeline that appears meanwhile does not change the plan; the backup's own needs no history file
	 */
	if (plan->path.timeline != plan->backup->head.stop_timeline)
		(void)snprintf(timeline, sizeof(timeline), "%" PRIu32, plan->path.timeline);
	if (rc == 0)
		rc = setting(out, "recovery_target_timeline", timeline, err);
	if (rc == 0)
		rc = setting(out, "recovery_target_inclusive", o->plan.target.exclusive ? "off" : "on", err);
	if (rc == 0)
		rc = setting(out, "recovery_target_action", action_word(o), err);
	if (rc == 0) /* a delayed standby's copy would wait for hours */
		rc = setting(out, "recovery_min_apply_delay", "0", err);
	return rc;
}

/* Of a standby: whoever is promoted next is its primary too. */
static int
write_following(const struct restore_options *o, struct buf *out, struct err *err)
{
	int rc = setting(out, "recovery_target_timeline", "latest", err);

	if (rc == 0 && o->primary_conninfo != NULL)
		rc = setting(out, "primary_conninfo", o->primary_conninfo, err);
	return rc;
}

int
restore_auto_conf(const char *old, size_t old_len, const struct restore_options *o, const struct plan *plan,
    const char *restore_command, struct buf *out, struct err *err)
{
	static const char *const clears[] = {"recovery_target", "recovery_target_lsn", "recovery_target_name",
	    "recovery_target_time", "recovery_target_xid",
	    /* it would remove from the archive of the original what this copy needs no more */
	    "archive_cleanup_command"};
	char when[40];
	int rc = keep_lines(old, old_len, out, err);

	clock_format_utc(when, sizeof(when), clock_now_us() / 1000000 * 1000000);
	if (rc == 0)
		rc = buf_printf(out, err, HEADING "%s, %s\n", plan->backup->label, when);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(clears); i++)
		rc = setting(out, clears[i], "", err);
	if (rc == 0)
		rc = o->standby ? write_following(o, out, err) : write_recovery(o, plan, out, err);
	if (rc == 0)
		rc = setting(out, "restore_command", restore_command, err);
	if (rc == 0)
		rc = setting(out, "recovery_end_command", "rm -f " SESSION_FILE, err);
	if (rc == 0 && !restore_is_member(o))
		rc = setting(out, "archive_mode", "off", err);
	if (rc == 0 &&
	    !restore_is_member(o)) /* a copy's subscriptions must not take changes away from the original's publisher */
		rc = setting(out, "max_logical_replication_workers", "0", err);
	return rc;
}

/* Quoted for the shell, with % doubled: the server expands placeholders first. */
static int
word(struct buf *out, const char *text, struct err *err)
{
	FREE_AUTO char *quoted = str_shell_quote(text);
	int rc = buf_append(out, " ", 1, err);

	if (quoted == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for restore_command");
	for (const char *p = quoted; rc == 0 && *p != '\0'; p++) {
		if (*p == '%')
			rc = buf_append(out, "%", 1, err);
		if (rc == 0)
			rc = buf_append(out, p, 1, err);
	}
	return rc;
}

/* The binary that belongs to this one: beside it, else where it was installed. */
static void
find_command(char *out, size_t size)
{
	char self[PATH_MAX - sizeof(COMMAND)];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	(void)snprintf(out, size, "%s/%s", PGCAIRN_BINDIR, COMMAND);
	if (n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	char beside[PATH_MAX];

	(void)snprintf(beside, sizeof(beside), "%s/%s", self, COMMAND);
	if (access(beside, X_OK) == 0)
		(void)snprintf(out, size, "%s", beside);
}

int
restore_command_text(const struct op *op, const struct restore_options *o, char **out, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	const struct fetch_options *r = &o->plan.repositories;
	char command[PATH_MAX];
	int rc;

	find_command(command, sizeof(command));
	rc = word(&b, command, err);
	if (rc == 0 && o->config_path != NULL) {
		rc = word(&b, "--config", err);
		if (rc == 0)
			rc = word(&b, o->config_path, err);
	}
	if (rc == 0)
		rc = word(&b, "--cluster", err);
	if (rc == 0)
		rc = word(&b, op->cluster->name, err);
	for (size_t i = 0; rc == 0 && i < r->n_only; i++)
		if ((rc = word(&b, "--repository", err)) == 0)
			rc = word(&b, r->only[i], err);
	for (size_t i = 0; rc == 0 && i < r->n_without; i++)
		if ((rc = word(&b, "--without-repository", err)) == 0)
			rc = word(&b, r->without[i], err);
	if (rc == 0)
		rc = buf_printf(&b, err, " --session " SESSION_FILE " %%f %%p");
	if (rc < 0)
		return rc;
	*out = strdup(buf_text(&b) + 1);
	return *out != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for restore_command");
}
