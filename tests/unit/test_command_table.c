/* Command lines against a small program's tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/scope.h"
#include "cli/command_table.h"

#define WORDS_MAX 16

static const char *const actions[] = {"pause", "promote", NULL};

static const struct cli_option restore_options[] = {
    {"dry-run", 'n', .doc = "print the plan, change nothing"},
    {"pgdata", 'D', .type = CLI_STRING, .value_name = "DIR", .doc = "where to"},
    {"repository", .type = CLI_STRING, .repeatable = true, .value_name = "NAME",
	.doc = "ask only this one; several may be named, and what they hold together is what can be restored, in the order "
	       "in which they are named here"},
    {"target-action", .type = CLI_WORD, .words = actions, .doc = "what to do there"},
    {"jobs", 'j', .type = CLI_INT, .lo = 1, .hi = 64, .doc = "threads"},
    {"timeout", .type = CLI_DURATION, .doc = "total time"},
    {NULL},
};
static const struct cli_option hold_options[] = {
    {"a-name-that-is-really-far-too-long-for-a-column", .type = CLI_STRING, .value_name = "VALUE", .doc = "x"},
    {NULL},
};

static int
run_restore(struct cli_invocation *inv)
{
	*(int *)cli_context(inv) += 1;
	return 3;
}

static const struct cli_verb restore = {.name = "restore",
    .summary = "writes a data directory",
    .details = "It must be empty.",
    .options = restore_options,
    .run = run_restore};
static const struct cli_verb hold = {.name = "hold",
    .summary = "keeps a backup",
    .options = hold_options,
    .arguments = "LABEL [REASON]",
    .min_arguments = 1,
    .max_arguments = 2};
static const struct cli_verb info = {.name = "info", .summary = "what is there"};
static const struct cli_verb *const verbs[] = {&restore, &hold, &info};
static const struct cli_program program = {
    .name = "prog", .summary = "Keeps things.", .options = cli_common_options, .verbs = verbs, .n_verbs = ARRAY_LEN(verbs)};

/* The line cut at single blanks; two in a row make an empty word. text holds the words. */
static int
parse(struct cli_invocation **out, const char *line, char text[256], struct err *err)
{
	char *argv[WORDS_MAX] = {"prog"};
	int argc = 1;

	(void)snprintf(text, 256, "%s", line);
	for (char *p = text; *line != '\0' && p != NULL; argc++) {
		assert_true(argc < WORDS_MAX - 1);
		argv[argc] = p;
		p = strchr(p, ' ');
		if (p != NULL)
			*p++ = '\0';
	}
	return cli_parse(out, &program, argc, argv, err);
}

static void
a_wrong_command_line_is_refused_with_a_remedy(void **state)
{
	static const struct {
		const char *line, *msg, *hint;
	} rows[] = {
	    {"", "no verb is given", "prog --help"},
	    {"--json", "no verb is given", "prog --help"},
	    {"--", "no verb is given", "prog --help"},
	    {"restroe", "unknown verb 'restroe'", "did you mean 'restore'?"},
	    {"xyzzy", "unknown verb 'xyzzy'", "prog --help"},
	    {"Info", "unknown verb 'Info'", "did you mean 'info'?"},
	    {"rest", "unknown verb 'rest'", "prog --help"},
	    {"-", "unknown verb '-'", "prog --help"},
	    {"--jsn info", "unknown option --jsn", "did you mean --json?"},
	    {"--dry-run restore", "unknown option --dry-run", "an option of restore and stands behind that"},
	    {"--zzzzzzzz", "unknown option --zzzzzzzz", "prog --help"},
	    {"restore --dryrun", "restore has no option --dryrun", "did you mean --dry-run?"},
	    {"restore --repo x", "restore has no option --repo", "prog restore --help"},
	    {"restore --repositor x", "restore has no option --repositor", "did you mean --repository?"},
	    {"restore --repositor=x", "restore has no option --repositor", "did you mean --repository?"},
	    {"restore --=x", "restore has no option --", "prog restore --help"},
	    {"info --pgdata=/x", "info has no option --pgdata", ""},
	    {"restore --dry-run=yes", "--dry-run takes no value", ""},
	    {"restore --dry-run=", "--dry-run takes no value", ""},
	    {"restore --dry-run -n", "--dry-run is given twice", ""},
	    {"restore --pgdata /a --pgdata /b", "--pgdata is given twice", ""},
	    {"--json restore --json", "--json is given twice", ""},
	    {"restore --pgdata", "--pgdata needs a value", "--pgdata=VALUE"},
	    {"restore -D", "--pgdata needs a value", "--pgdata=VALUE"},
	    {"restore --pgdata --dry-run", "--pgdata needs a value", "--pgdata=VALUE"},
	    {"restore --pgdata=", "--pgdata: the value is empty", "variable"},
	    {"restore --pgdata  --dry-run", "--pgdata: the value is empty", "variable"},
	    {"restore -x", "unknown option -x", "two dashes"},
	    {"restore -nj", "unknown option -nj", "two dashes"},
	    {"restore -D/x", "unknown option -D/x", "two dashes"},
	    {"restore -dry-run", "unknown option -dry-run", "two dashes"},
	    {"restore --target-action pauze", "--target-action: 'pauze' is none of its words", "did you mean 'pause'?"},
	    {"restore --target-action x", "--target-action: 'x' is none of its words", "--help"},
	    {"restore -j 0", "--jobs: '0' is not a number that fits", "from 1 to 64"},
	    {"restore -j 65", "--jobs: '65' is not a number that fits", "from 1 to 64"},
	    {"restore --jobs=-1", "--jobs: '-1' is not a number that fits", "from 1 to 64"},
	    {"restore --timeout 30", "--timeout: '30' is not a duration", "90s"},
	    {"restore --log-level warn", "--log-level: 'warn' is none of its words", ""},
	    {"restore x", "restore: one argument too many: 'x'", "options only"},
	    {"info -- --json", "info: one argument too many: '--json'", "options only"},
	    {"hold", "hold: an argument is missing", "prog hold [options] LABEL [REASON]"},
	    {"hold a b c", "hold: one argument too many: 'c'", "prog hold [options] LABEL [REASON]"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLI_AUTO struct cli_invocation *inv = NULL;
		char text[256];
		struct err err = {0};

		assert_int_equal(parse(&inv, rows[i].line, text, &err), ERR_CONFIG);
		assert_null(inv);
		assert_string_equal(err.msg, rows[i].msg);
		if (strstr(err.hint, rows[i].hint) == NULL)
			fail_msg("'%s' has not the hint '%s' but '%s'", rows[i].line, rows[i].hint, err.hint);
		assert_int_equal(parse(&inv, rows[i].line, text, NULL), ERR_CONFIG);
	}
}

static void
options_stand_before_and_behind_the_verb(void **state)
{
	static const char *const lines[] = {"--config /c --json restore --pgdata /d", "restore --config=/c --pgdata=/d --json",
	    "--json restore -D /d --config /c"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		CLI_AUTO struct cli_invocation *inv = NULL;
		char text[256];
		struct err err = {0};

		assert_int_equal(parse(&inv, lines[i], text, &err), 0);
		assert_ptr_equal(cli_verb_of(inv), &restore);
		assert_ptr_equal(cli_program_of(inv), &program);
		assert_string_equal(cli_value(inv, "config"), "/c");
		assert_string_equal(cli_value(inv, "pgdata"), "/d");
		assert_true(cli_flag(inv, "json"));
		assert_false(cli_flag(inv, "quiet"));
		assert_false(cli_flag(inv, "dry-run"));
		assert_null(cli_value(inv, "cluster"));
		assert_int_equal(cli_n_arguments(inv), 0);
		assert_null(cli_argument(inv, 0));
	}
}

static void
values_of_every_type_are_read(void **state)
{
	CLI_AUTO struct cli_invocation *inv = NULL;
	char text[256];
	struct err err = {0};
	size_t at = 0;

	(void)state;
	assert_int_equal(
	    parse(&inv, "restore -n -j 8 --timeout=2min --repository b --repository=a=b --target-action promote -D -x", text,
		&err),
	    0);
	assert_true(cli_flag(inv, "dry-run"));
	assert_int_equal(cli_int(inv, "jobs", 1), 8);
	assert_int_equal(cli_duration_ms(inv, "timeout", 7), 120000);
	assert_string_equal(cli_values(inv, "repository", &at), "b");
	assert_string_equal(cli_values(inv, "repository", &at), "a=b");
	assert_null(cli_values(inv, "repository", &at));
	assert_null(cli_values(inv, "repository", &at));
	assert_string_equal(cli_value(inv, "repository"), "a=b");
	assert_string_equal(cli_value(inv, "target-action"), "promote");
	assert_string_equal(cli_value(inv, "pgdata"), "-x");
}

static void
a_list_has_all_values_and_a_limit(void **state)
{
	CLI_AUTO struct cli_invocation *inv = NULL, *full = NULL;
	const char *list[CLI_LIST_MAX];
	char text[256], *argv[CLI_LIST_MAX + 3] = {"pgcairn", "restore"};
	struct err err = {0};
	size_t n;

	(void)state;
	assert_int_equal(parse(&inv, "restore --repository b --repository=a", text, &err), 0);
	assert_int_equal(cli_list(inv, "repository", list, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(list[0], "b");
	assert_string_equal(list[1], "a");
	for (size_t i = 2; i < CLI_LIST_MAX + 3; i++)
		argv[i] = "--repository=a";
	assert_int_equal(cli_parse(&full, cli_program_of(inv), CLI_LIST_MAX + 3, argv, &err), 0);
	assert_int_equal(cli_list(full, "repository", list, &n, &err), ERR_CONFIG);
	assert_non_null(strstr(err.msg, "--repository is given more than 64 times"));
}

static void
what_is_not_given_is_the_callers_default(void **state)
{
	CLI_AUTO struct cli_invocation *inv = NULL;
	char text[256];
	size_t at = 0;

	(void)state;
	assert_int_equal(parse(&inv, "restore", text, NULL), 0);
	assert_int_equal(cli_int(inv, "jobs", 5), 5);
	assert_int_equal(cli_duration_ms(inv, "timeout", -1), -1);
	assert_null(cli_values(inv, "repository", &at));
}

static void
behind_two_dashes_everything_is_an_argument(void **state)
{
	CLI_AUTO struct cli_invocation *inv = NULL;
	char text[256];

	(void)state;
	assert_int_equal(parse(&inv, "hold -- --json --", text, NULL), 0);
	assert_int_equal(cli_n_arguments(inv), 2);
	assert_string_equal(cli_argument(inv, 0), "--json");
	assert_string_equal(cli_argument(inv, 1), "--");
	assert_null(cli_argument(inv, 2));
	assert_false(cli_flag(inv, "json"));
}

static void
help_and_version_demand_nothing_else(void **state)
{
	static const char *const lines[] = {"--help", "-h", "--version", "hold --help", "--help hold", "hold -h a b c"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		CLI_AUTO struct cli_invocation *inv = NULL;
		char text[256];

		assert_int_equal(parse(&inv, lines[i], text, NULL), 0);
		assert_int_equal(cli_verb_of(inv) == &hold, strstr(lines[i], "hold") != NULL);
		assert_true(cli_flag(inv, "help") != cli_flag(inv, "version"));
	}
}

static void
a_verb_is_run_with_the_programs_context(void **state)
{
	CLI_AUTO struct cli_invocation *inv = NULL;
	char text[256];
	int runs = 0;

	(void)state;
	assert_int_equal(parse(&inv, "restore", text, NULL), 0);
	cli_set_context(inv, &runs);
	assert_int_equal(cli_verb_of(inv)->run(inv), 3);
	assert_int_equal(runs, 1);
}

static void
an_empty_vector_is_refused(void **state)
{
	CLI_AUTO struct cli_invocation *inv = NULL;
	char *argv[] = {NULL};

	(void)state;
	assert_int_equal(cli_parse(&inv, &program, 0, argv, NULL), ERR_CONFIG);
}

static void
help_shows_every_row_and_is_not_too_wide(void **state)
{
	const struct cli_verb *const shown[] = {NULL, &restore, &hold, &info};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		BUF_AUTO struct buf out = {0};
		const struct cli_option *rows = shown[i] != NULL ? shown[i]->options : cli_common_options;

		assert_int_equal(cli_help(&program, shown[i], &out, NULL), 0);
		for (const char *line = buf_text(&out); *line != '\0'; line += strcspn(line, "\n") + 1)
			assert_in_range(strcspn(line, "\n"), 0, 100);
		for (; rows != NULL && rows->name != NULL; rows++)
			assert_non_null(strstr(buf_text(&out), rows->name));
		assert_non_null(strstr(buf_text(&out), "--log-level error|warning|info|debug\n   "));
		assert_null(strstr(buf_text(&out), " \n"));
	}
}

static void
the_help_of_a_verb_reads_well(void **state)
{
	static const char want[] =
	    "Usage: prog restore [options]\n\nwrites a data directory\n\nIt must be empty.\n\nOptions:\n"
	    "  -n, --dry-run                      print the plan, change nothing\n"
	    "  -D, --pgdata DIR                   where to\n"
	    "      --repository NAME...           ask only this one; several may be named, and what they hold\n"
	    "                                     together is what can be restored, in the order in which they\n"
	    "                                     are named here\n"
	    "      --target-action pause|promote  what to do there\n"
	    "  -j, --jobs N                       threads\n"
	    "      --timeout TIME                 total time\n\nOptions of every verb:\n";
	BUF_AUTO struct buf out = {0};

	(void)state;
	assert_int_equal(cli_help(&program, &restore, &out, NULL), 0);
	assert_true(out.len > sizeof(want));
	assert_memory_equal(buf_text(&out), want, sizeof(want) - 1);
}

static void
the_help_of_the_program_lists_the_verbs(void **state)
{
	BUF_AUTO struct buf out = {0};

	(void)state;
	assert_int_equal(cli_help(&program, NULL, &out, NULL), 0);
	assert_non_null(strstr(buf_text(&out),
	    "Usage: prog [options] VERB [options] [arguments]\n\nKeeps things.\n\nVerbs:\n"
	    "  restore  writes a data directory\n  hold     keeps a backup\n  info     what is there\n\nOptions:\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_wrong_command_line_is_refused_with_a_remedy),
	    cmocka_unit_test(options_stand_before_and_behind_the_verb),
	    cmocka_unit_test(values_of_every_type_are_read),
	    cmocka_unit_test(a_list_has_all_values_and_a_limit),
	    cmocka_unit_test(what_is_not_given_is_the_callers_default),
	    cmocka_unit_test(behind_two_dashes_everything_is_an_argument),
	    cmocka_unit_test(help_and_version_demand_nothing_else),
	    cmocka_unit_test(a_verb_is_run_with_the_programs_context),
	    cmocka_unit_test(an_empty_vector_is_refused),
	    cmocka_unit_test(help_shows_every_row_and_is_not_too_wide),
	    cmocka_unit_test(the_help_of_a_verb_reads_well),
	    cmocka_unit_test(the_help_of_the_program_lists_the_verbs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
