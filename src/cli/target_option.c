#include "cli/target_option.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

static int
take(enum target_kind kind, const char *value, const char *option, struct target *t, struct err *err)
{
	uint64_t n;

	t->kind = kind;
	switch (kind) {
	case TARGET_TIME:
		return clock_parse_utc(value, &t->time_us, err);
	case TARGET_LSN:
		if (lsn_parse(value, &t->lsn) && t->lsn != 0)
			return 0;
		break;
	case TARGET_XID:
		if (str_to_u64(value, 3, UINT32_MAX, &n)) {
			t->xid = (uint32_t)n;
			return 0;
		}
		break;
	case TARGET_NAME:
		return str_copy(t->name, sizeof(t->name), value, option, err);
	default:
		return err_set(err, ERR_BUG, 0, "no option names this kind of target");
	}
	return err_set(err, ERR_CONFIG, 0, "%s: '%s' is not one", option, value);
}

int
target_option_parse(const struct cli_invocation *inv, const char *prefix, struct target *t, size_t *given, struct err *err)
{
	static const struct {
		const char *name;
		enum target_kind kind;
	} rows[] = {{"time", TARGET_TIME}, {"lsn", TARGET_LSN}, {"xid", TARGET_XID}, {"name", TARGET_NAME}};

	*given = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char option[32];
		const char *value;
		int rc;

		(void)snprintf(option, sizeof(option), "--%s%s", prefix, rows[i].name);
		value = cli_value(inv, option + 2);
		if (value == NULL)
			continue;
		++*given;
		rc = take(rows[i].kind, value, option, t, err);
		if (rc < 0)
			return err_hint(err, "see pgcairn %s --help", cli_verb_of(inv)->name);
	}
	return 0;
}
