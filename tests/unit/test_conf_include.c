/* Which files a configuration file includes, as the server reads it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scope.h"
#include "base/str.h"
#include "pg/conf_include.h"
#include "pg/path.h"

static int
note(const struct conf_include *i, void *arg, struct err *err)
{
	return buf_printf(arg, err, "%u %s [%s];", i->line, conf_include_word(i->kind), i->value);
}

static void
directives_are_read_as_the_server_reads_them(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
	    {"include 'a.conf'", "1 include [a.conf];"},
	    {"include a.conf\n", "1 include [a.conf];"},
	    {"work_mem = 4MB\n\n  Include_Dir\t=\t'conf.d'\r\n", "3 include_dir [conf.d];"},
	    {"include_if_exists='/x/y z.conf' # why\n", "1 include_if_exists [/x/y z.conf];"},
	    {"include'a'\ninclude=b# c\n", "1 include [a];2 include [b];"},
	    {"include 'it''s \\'here\\' \\\\ \\101'", "1 include [it's 'here' \\ A];"},
	    {"include 'x\\'", ""},
	    {"include 'x\\", ""},
	    {"include 'x''", ""},
	    {"include 'x\ninclude 'y'\n", "2 include [y];"},
	    {"#include 'x'\n#include_dir = 'y'", ""},
	    {"includes 'x'\ninclude_dirs 'x'\nincl 'x'\n", ""},
	    {"include\ninclude =\ninclude ''\ninclude /x\n", "4 include [/x];"},
	    {"include 'x' y\ninclude x y\n", ""},
	    {"work_mem = 'include x'\nx = include 'y'\n", ""},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BUF_AUTO struct buf got = {0};
		/* exactly as long as the text, so that reading behind it is seen */
		size_t len = strlen(rows[i].text);
		FREE_AUTO char *exact = memcpy(malloc(len + 1), rows[i].text, len);
		FREE_AUTO char *tight = realloc(exact, len > 0 ? len : 1);

		exact = NULL;
		assert_int_equal(conf_includes(tight, len, note, &got, NULL), 0);
		if (strcmp(buf_text(&got), rows[i].want) != 0)
			fail_msg("row %zu: %s", i, buf_text(&got));
	}
}

static void
a_value_that_is_longer_than_a_path_is_no_directive(void **state)
{
	BUF_AUTO struct buf text = {0}, got = {0};

	(void)state;
	assert_int_equal(buf_printf(&text, NULL, "include '%0*d'\ninclude 'x'\n", CONF_VALUE_MAX, 0), 0);
	assert_int_equal(conf_includes(buf_text(&text), text.len, note, &got, NULL), 0);
	assert_string_equal(buf_text(&got), "2 include [x];");
}

static void
the_longest_value_is_one_in_quotes_or_without(void **state)
{
	static const char *const quotes[] = {"'", ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(quotes); i++) {
		BUF_AUTO struct buf text = {0}, got = {0};

		assert_int_equal(buf_printf(&text, NULL, "include %s%0*d%s\n", quotes[i], CONF_VALUE_MAX - 1, 0, quotes[i]), 0);
		assert_int_equal(conf_includes(buf_text(&text), text.len, note, &got, NULL), 0);
		assert_int_equal(got.len, CONF_VALUE_MAX - 1 + strlen("1 include [];"));
	}
}

static void
paths_collapse_as_text(void **state)
{
	static const char *const rows[][2] = {
	    {"/etc//pg/./main/../x.conf", "/etc/pg/x.conf"},
	    {"/../../x", "/x"},
	    {"/a/..", "/"},
	    {"/", "/"},
	    {"/a/b/", "/a/b"},
	    {"/..a/.b/c..", "/..a/.b/c.."},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FREE_AUTO char *path = strdup(rows[i][0]);

		path_collapse(path);
		assert_string_equal(path, rows[i][1]);
	}
}

/* A tree of files below a directory of its own. */
struct tree {
	char dir[64];
};

static int
setup(void **state)
{
	static struct tree t;

	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/pgcairn-conf-XXXXXX");
	*state = &t;
	return mkdtemp(t.dir) == NULL;
}

static int
teardown(void **state)
{
	return fs_remove_tree(((struct tree *)*state)->dir, NULL);
}

static void
file(const struct tree *t, const char *name, const char *text)
{
	FREE_AUTO char *path = str_printf("%s/%s", t->dir, name), *dir = strdup(path);

	*strrchr(dir, '/') = '\0';
	assert_int_equal(fs_make_dirs(dir, 0700, NULL), 0);
	assert_int_equal(fs_write_file(path, text, strlen(text), 0600, FS_CREATE_ONLY, NULL), 0);
}

struct seen {
	const struct tree *tree;
	struct buf text;
	const char *skip; /* a value that is not followed */
};

static int
see_file(const char *path, void *arg, struct err *err)
{
	struct seen *s = arg;

	assert_true(str_starts(path, s->tree->dir));
	return buf_printf(&s->text, err, "%s ", path + strlen(s->tree->dir) + 1);
}

static int
see_directive(const char *path, const struct conf_include *i, char **leads_to, void *arg, struct err *err)
{
	const struct seen *s = arg;

	(void)path;
	(void)err;
	if (s->skip != NULL && strcmp(i->value, s->skip) == 0) {
		free(*leads_to);
		*leads_to = NULL;
	}
	return 0;
}

static void
expect_walk(const struct tree *t, const char *skip, const char *want)
{
	struct seen s = {.tree = t, .skip = skip};
	const struct conf_visitor v = {see_directive, see_file, &s};
	FREE_AUTO char *top = str_printf("%s/top.conf", t->dir);
	struct err err = {0};

	if (conf_walk(top, &v, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(buf_text(&s.text), want);
	buf_free(&s.text);
}

static void
relative_names_are_those_of_the_file_that_has_them(void **state)
{
	file(*state, "top.conf", "include 'd/a.conf'\n");
	file(*state, "d/a.conf", "include 'b.conf'\n");
	file(*state, "d/b.conf", "# sets nothing\n");
	file(*state, "b.conf", "include 'wrong'\n");
	expect_walk(*state, NULL, "d/a.conf d/b.conf ");
	expect_walk(*state, "b.conf", "d/a.conf ");
}

static void
what_is_missing_is_named_only_where_the_server_needs_it(void **state)
{
	file(*state, "top.conf", "include 'gone.conf'\ninclude_if_exists 'never.conf'\ninclude_dir 'nowhere'\n");
	expect_walk(*state, NULL, "gone.conf ");
}

static void
of_a_directory_only_conf_files_are_read_in_the_order_of_bytes(void **state)
{
	file(*state, "top.conf", "include_dir 'd'\n");
	file(*state, "d/b.conf", "");
	file(*state, "d/B.conf", "");
	file(*state, "d/.hidden.conf", "");
	file(*state, "d/a.conf.bak", "");
	file(*state, "d/conf", "");
	file(*state, "d/dir.conf/x", "");
	expect_walk(*state, NULL, "d/B.conf d/b.conf ");
}

static void
circles_end(void **state)
{
	file(*state, "top.conf", "include 'top.conf'\ninclude 'd/back.conf'\ninclude './top.conf'\n");
	file(*state, "d/back.conf", "include '../top.conf'\ninclude 'back.conf'\ninclude '../d/back.conf'\n");
	expect_walk(*state, NULL, "d/back.conf ");
}

static void
deeper_than_the_server_goes_nothing_is_read(void **state)
{
	const struct tree *t = *state;
	BUF_AUTO struct buf want = {0};

	file(t, "top.conf", "include '1'\n");
	for (int i = 1; i < 15; i++) {
		char name[8], text[32];

		(void)snprintf(name, sizeof(name), "%d", i);
		(void)snprintf(text, sizeof(text), "include '%d'\n", i + 1);
		file(t, name, text);
		if (i <= CONF_DEPTH_MAX)
			assert_int_equal(buf_printf(&want, NULL, "%d ", i), 0);
	}
	expect_walk(t, NULL, buf_text(&want));
}

static void
too_many_files_are_an_error(void **state)
{
	BUF_AUTO struct buf text = {0};
	const struct tree *t = *state;
	const struct conf_visitor v = {0};
	FREE_AUTO char *top = str_printf("%s/top.conf", t->dir);
	struct err err = {0};

	for (int i = 0; i < CONF_FILES_MAX; i++)
		assert_int_equal(buf_printf(&text, NULL, "include 'f%d'\n", i), 0);
	file(t, "top.conf", buf_text(&text));
	assert_int_equal(conf_walk(top, &v, &err), ERR_CONFIG);
	assert_non_null(strstr(err.msg, "/f4095' is one more"));
}

#define IN_A_TREE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(directives_are_read_as_the_server_reads_them),
	    cmocka_unit_test(a_value_that_is_longer_than_a_path_is_no_directive),
	    cmocka_unit_test(the_longest_value_is_one_in_quotes_or_without),
	    cmocka_unit_test(paths_collapse_as_text),
	    IN_A_TREE(relative_names_are_those_of_the_file_that_has_them),
	    IN_A_TREE(what_is_missing_is_named_only_where_the_server_needs_it),
	    IN_A_TREE(of_a_directory_only_conf_files_are_read_in_the_order_of_bytes),
	    IN_A_TREE(circles_end),
	    IN_A_TREE(deeper_than_the_server_goes_nothing_is_read),
	    IN_A_TREE(too_many_files_are_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
