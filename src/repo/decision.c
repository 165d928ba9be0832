#include "repo/decision.h"

#include <pwd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define YEAR_9999_US (INT64_C(253402300799) * 1000000) /* what four digits can say */

static void
name_caller(char out[DECISION_BY_MAX])
{
	const char *user = clock_env("SUDO_USER");
	const struct passwd *pw = getpwuid(getuid());
	char host[64] = "";

	if (user == NULL || *user == '\0' || getuid() != 0)
		user = pw != NULL ? pw->pw_name : "?";
	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		(void)snprintf(host, sizeof(host), "?");
	(void)snprintf(out, DECISION_BY_MAX, "%.60s@%s", user, host);
}

/* What is wrong with it; NULL when nothing is. One line: it is printed beside others, in logs and on terminals. */
static const char *
complaint(const char *reason)
{
	int rc = json_check_utf8(reason, strlen(reason), NULL);

	if (reason[strspn(reason, " ")] == '\0')
		return "is empty";
	if (strlen(reason) >= DECISION_REASON_MAX)
		return "is too long: 511 bytes are kept";
	if (rc < 0)
		return rc == ERR_NOMEM ? "cannot be looked at: out of memory" : "is not UTF-8";
	for (const char *p = reason; *p != '\0'; p++)
		if ((*p > 0 && *p < ' ') || *p == 127)
			return "is not one line of text";
	return NULL;
}

int
decision_make(struct decision *d, const char *reason, struct err *err)
{
	const char *wrong = complaint(reason);
	int rc;

	if (wrong != NULL) {
		err_set(err, ERR_CONFIG, 0, "the reason %s", wrong);
		return err_hint(err, "say what a colleague needs to know a year from now: --reason 'disk 3 returns zeros'");
	}
	rc = str_copy(d->reason, sizeof(d->reason), reason, "reason", err);
	if (rc < 0)
		return rc;
	d->time_us = clock_now_us() / 1000000 * 1000000;
	name_caller(d->by);
	return 0;
}

int
decision_encode(const struct decision *d, json_t *o, struct err *err)
{
	char when[32];

	clock_format_utc(when, sizeof(when), d->time_us);
	if (json_object_set_new(o, "time", json_string(when)) < 0 || json_object_set_new(o, "by", json_text(d->by)) < 0 ||
	    json_object_set_new(o, "reason", json_string(d->reason)) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a decision");
	return 0;
}

static int
take(char *out, size_t size, const json_t *o, const char *member, struct err *err)
{
	const char *text;
	int rc = json_get_str(o, member, &text, err);

	if (rc < 0)
		return rc;
	if (strlen(text) >= size)
		return err_set(err, ERR_CORRUPT, 0, "member '%s' is longer than %zu bytes", member, size - 1);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

int
decision_decode(struct decision *d, const json_t *o, struct err *err)
{
	const char *when;
	int rc = json_get_str(o, "time", &when, err);

	if (rc == 0 && (clock_parse_utc(when, &d->time_us, err) < 0 || d->time_us < 0 || d->time_us > YEAR_9999_US))
		rc = err_set(err, ERR_CORRUPT, 0, "member 'time' is not a time");
	if (rc == 0)
		rc = take(d->by, sizeof(d->by), o, "by", err);
	return rc < 0 ? rc : take(d->reason, sizeof(d->reason), o, "reason", err);
}

void
decision_describe(const struct decision *d, char out[DECISION_TEXT])
{
	char when[32];

	clock_format_utc(when, sizeof(when), d->time_us);
	(void)snprintf(out, DECISION_TEXT, "since %s, by %s: %s", when, d->by, d->reason);
}
