/* What a restored server reads: nothing of an earlier recovery, one target, quoted so that nothing else comes of it. */
#include "world.h"

#include "ops/restore_settings.h"

static struct backup_entry backup = {.label = "20260101T000000F", .head = {.stop_timeline = 3}};

/* postgresql.auto.conf made of old, for these options. */
static void
make(const char *old, struct restore_options *o, timeline_t timeline, const char *command, struct buf *out)
{
	const struct plan plan = {.backup = &backup, .path = {.timeline = timeline}};
	struct err err = {0};

	must(restore_auto_conf(old, strlen(old), o, &plan, command, out, &err), &err);
}

/* What of old is left. */
static void
expect_kept(const char *old, bool adopt, const char *want)
{
	BUF_AUTO struct buf out = {0};
	struct restore_options o = {.adopt = adopt};
	char *ours;

	make(old, &o, 3, "x", &out);
	ours = strstr((char *)out.data, "# pgcairn restore of backup");
	assert_non_null(ours);
	*ours = '\0';
	assert_string_equal((char *)out.data, want);
}

static void
settings_of_an_earlier_recovery_are_dropped(void **state)
{
	static const char *const dropped[] = {"recovery_target = 'immediate'", "recovery_target_time='2026-01-01'",
	    "recovery_target_lsn = '0/1'", "recovery_target_name = 'x'", "recovery_target_xid = '1'",
	    "recovery_target_inclusive = off", "recovery_target_timeline = 'latest'", "recovery_target_action = 'promote'",
	    "restore_command = 'cp x y'", "recovery_end_command = ''", "archive_cleanup_command = 'x'",
	    "primary_conninfo = 'host=x password=y'", "primary_slot_name = 's'", "promote_trigger_file = 'f'",
	    "recovery_min_apply_delay = '8h'", "  RESTORE_COMMAND\t'x'", "\tRecovery_Target_Time 'x'",
	    "restore_command='x' # recovery"};
	static const char *const kept[] = {"shared_buffers = '1GB'", "# recovery_target = 'x'", "#restore_command",
	    "recovery_prefetch = off", "restore_command_x = 'a'", "xrestore_command = 'a'", "primary_conninfo_old = ''",
	    "archive_command = 'x'", ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++) {
		char old[256];

		(void)snprintf(old, sizeof(old), "a = 1\n%s\nb = 2\n", dropped[i]);
		expect_kept(old, false, "a = 1\nb = 2\n");
		expect_kept(old, true, "a = 1\nb = 2\n");
		expect_kept(dropped[i], false, "");
		(void)snprintf(old, sizeof(old), "%s\r\nb = 2", dropped[i]);
		expect_kept(old, false, "b = 2\n");
	}
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		char old[256];

		(void)snprintf(old, sizeof(old), "%s\nb = 2\n", kept[i]);
		expect_kept(old, false, old);
	}
	expect_kept("", false, "");
}

static void
what_a_copy_may_not_do_is_decided_anew(void **state)
{
	static const char old[] = "archive_mode = on\nmax_logical_replication_workers = 8\nwal_level = 'logical'\n";

	(void)state;
	for (int adopt = 0; adopt < 2; adopt++) {
		/* the original's own values stay for who adopts the copy: ours stand behind them, and the last one counts */
		expect_kept(old, adopt != 0, old);
		/* the backup of a copy that nobody adopted carries what its restore wrote */
		expect_kept("archive_mode = 'off'\nmax_logical_replication_workers = '0'\nwal_level = 'logical'\n", adopt != 0,
		    "wal_level = 'logical'\n");
		expect_kept("# pgcairn restore of backup x, y\n# mine\n", adopt != 0, "# mine\n");
	}
	for (int adopt = 0; adopt < 2; adopt++) {
		BUF_AUTO struct buf out = {0};
		struct restore_options o = {.adopt = adopt != 0};

		make("", &o, 3, "x", &out);
		assert_int_equal(strstr(buf_text(&out), "archive_mode = 'off'\n") != NULL, adopt == 0);
		assert_int_equal(strstr(buf_text(&out), "max_logical_replication_workers = '0'\n") != NULL, adopt == 0);
	}
}

static void
adopting_leaves_the_file_as_it_was_before_the_restore(void **state)
{
	static const char old[] = "# mine\narchive_mode = 'on'\nwal_level = 'logical'\nwork_mem = '8MB'\n";
	BUF_AUTO struct buf restored = {0}, adopted = {0};
	struct restore_options o = {.plan.target = {.kind = TARGET_NAME, .name = "x"}};
	struct err err = {0};

	(void)state;
	make(old, &o, 3, "x", &restored);
	assert_int_equal(restore_auto_conf_adopted(buf_text(&restored), restored.len, &adopted, &err), 0);
	assert_string_equal(buf_text(&adopted), old);
}

static unsigned
times(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
the_target_stands_behind_every_clear(void **state)
{
	static const struct {
		struct target t;
		const char *want; /* NULL: none */
		const char *action;
	} rows[] = {
	    {{.kind = TARGET_LATEST}, NULL, "promote"},
	    {{.kind = TARGET_IMMEDIATE}, "recovery_target = 'immediate'\n", "pause"},
	    {{.kind = TARGET_TIME, .time_us = INT64_C(1767225600000001)},
		"recovery_target_time = '2026-01-01 00:00:00.000001+00'\n", "pause"},
	    {{.kind = TARGET_TIME, .time_us = INT64_C(253402300799000000)}, "recovery_target_time = '9999-12-31 23:59:59+00'\n",
		"pause"},
	    {{.kind = TARGET_LSN, .lsn = UINT64_MAX}, "recovery_target_lsn = 'FFFFFFFF/FFFFFFFF'\n", "pause"},
	    {{.kind = TARGET_XID, .xid = UINT32_MAX, .exclusive = true}, "recovery_target_xid = '4294967295'\n", "pause"},
	    {{.kind = TARGET_NAME, .name = "it's 100% \\ here"}, "recovery_target_name = 'it''s 100% \\\\ here'\n", "pause"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf out = {0};
		struct restore_options o = {.plan.target = rows[i].t};
		char want[64];
		const char *text, *at;

		make("recovery_target_xid = '7'\n", &o, i % 2 != 0 ? 5 : 3, "cmd %f %p", &out);
		text = buf_text(&out);
		(void)snprintf(want, sizeof(want), "recovery_target_action = '%s'\n", rows[i].action);
		assert_non_null(strstr(text, want));
		assert_non_null(strstr(
		    text, rows[i].t.exclusive ? "recovery_target_inclusive = 'off'\n" : "recovery_target_inclusive = 'on'\n"));
		assert_non_null(
		    strstr(text, i % 2 != 0 ? "recovery_target_timeline = '5'\n" : "recovery_target_timeline = 'current'\n"));
		assert_non_null(strstr(text, "restore_command = 'cmd %f %p'\n"));
		assert_null(strstr(text, "'7'"));
		assert_int_equal(times(text, "recovery_target = ''\n"), 1);
		if (rows[i].want == NULL)
			continue;
		at = strstr(text, rows[i].want);
		assert_non_null(at);
		for (size_t k = 0; k < 5; k++) {
			static const char *const clears[] = {"recovery_target = ''", "recovery_target_lsn = ''",
			    "recovery_target_name = ''", "recovery_target_time = ''", "recovery_target_xid = ''"};

			assert_true(strstr(text, clears[k]) != NULL && strstr(text, clears[k]) < at);
			assert_int_equal(times(text, clears[k]), 1);
		}
	}
}

static void
a_standby_gets_no_end_and_stays_what_its_original_is(void **state)
{
	static const char *const ends[] = {"recovery_target_action", "recovery_target_inclusive", "recovery_min_apply_delay"};
	struct restore_options o = {.standby = true, .primary_conninfo = "host='h' user=r"};

	(void)state;
	for (int streams = 0; streams < 2; streams++) {
		BUF_AUTO struct buf out = {0};
		const char *text;

		o.primary_conninfo = streams != 0 ? "host='h' user=r" : NULL;
		make("archive_mode = on\nprimary_conninfo = 'host=old'\nrecovery_target_lsn = '0/1'\n", &o, 5, "cmd %f %p",
		    &out);
		text = buf_text(&out);
		assert_non_null(strstr(text, "recovery_target_timeline = 'latest'\n"));
		assert_non_null(strstr(text, "restore_command = 'cmd %f %p'\n"));
		assert_non_null(strstr(text, "recovery_target_lsn = ''\n"));
		assert_non_null(strstr(text, "archive_mode = on\n"));
		assert_null(strstr(text, "archive_mode = 'off'"));
		assert_null(strstr(text, "max_logical_replication_workers"));
		assert_null(strstr(text, "host=old"));
		/* nothing said: what postgresql.conf says of the primary counts */
		assert_int_equal(times(text, "primary_conninfo"), streams);
		assert_int_equal(strstr(text, "primary_conninfo = 'host=''h'' user=r'\n") != NULL, streams != 0);
		for (size_t i = 0; i < ARRAY_LEN(ends); i++)
			assert_null(strstr(text, ends[i]));
	}
}

static void
a_value_is_quoted_or_refused(void **state)
{
	static const struct {
		const char *value, *want;
	} rows[] = {{"", "''"}, {"a b", "'a b'"}, {"'", "''''"}, {"\\", "'\\\\'"}, {"%p", "'%p'"}, {"a'b\\'c", "'a''b\\\\''c'"},
	    {"x # no comment", "'x # no comment'"}, {"a\nb", NULL}, {"\n", NULL}, {"a\r", NULL}};
	struct restore_options o = {.plan.target = {.kind = TARGET_NAME, .name = "two\nlines"}};
	const struct plan plan = {.backup = &backup, .path = {.timeline = 3}};
	BUF_AUTO struct buf none = {0};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf out = {0};
		int rc = restore_quote_setting(rows[i].value, &out, &err);

		if (rows[i].want == NULL) {
			must_fail(rc, ERR_CONFIG, &err, "line break");
			continue;
		}
		must(rc, &err);
		assert_string_equal(buf_text(&out), rows[i].want);
	}
	must_fail(restore_auto_conf("", 0, &o, &plan, "x", &none, &err), ERR_CONFIG, &err, "a name of two lines");
	o.plan.target = (struct target){0};
	must_fail(restore_auto_conf("", 0, &o, &plan, "x\ny", &none, &err), ERR_CONFIG, &err, "a command of two lines");
}

static void
restore_command_survives_server_and_shell(void **state)
{
	struct config_cluster cluster = {.name = (char *)"c"};
	const struct op op = {.cluster = &cluster};
	static const char *const only[] = {"a"}, *const without[] = {"b", "c%"};
	struct restore_options o = {.config_path = "/etc/it's 100%/p.conf",
	    .plan.repositories = {.only = only, .n_only = 1, .without = without, .n_without = 2}};
	FREE_AUTO char *text = NULL, *bare = NULL;
	struct err err = {0};

	(void)state;
	must(restore_command_text(&op, &o, &text, &err), &err);
	assert_non_null(strstr(text, " '--config' '/etc/it'\\''s 100%%/p.conf' '--cluster' 'c' "));
	assert_non_null(strstr(text, " '--repository' 'a' '--without-repository' 'b' '--without-repository' 'c%%' "));
	assert_non_null(strstr(text, " --session " SESSION_FILE " %f %p"));
	assert_string_equal(text + strlen(text) - 6, " %f %p");
	o = (struct restore_options){0};
	must(restore_command_text(&op, &o, &bare, &err), &err);
	assert_null(strstr(bare, "--config"));
	assert_null(strstr(bare, "repository"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(settings_of_an_earlier_recovery_are_dropped),
	    cmocka_unit_test(what_a_copy_may_not_do_is_decided_anew),
	    cmocka_unit_test(adopting_leaves_the_file_as_it_was_before_the_restore),
	    cmocka_unit_test(the_target_stands_behind_every_clear),
	    cmocka_unit_test(a_standby_gets_no_end_and_stays_what_its_original_is),
	    cmocka_unit_test(a_value_is_quoted_or_refused),
	    cmocka_unit_test(restore_command_survives_server_and_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
