/* Config files on a disk: which are read, and which are refused unread. */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/str.h"
#include "build-config.h"
#include "config/config_reader.h"

#define REPO "[repository:a]\nurl = file:///a\n"

/* A directory with these files, and what is read from it. */
static int
make_directory(void **state)
{
	char template[] = "/tmp/pgcairn-config-XXXXXX";

	*state = mkdtemp(template) != NULL ? strdup(template) : NULL;
	return *state == NULL;
}

static void
put_file(const char *dir, const char *name, const char *text)
{
	FREE_AUTO char *path = str_printf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0644), 0);
}

static int
remove_directory(void **state)
{
	static const char *const names[] = {
	    "/conf.d/b.conf", "/conf.d/a.conf", "/conf.d/.c.conf", "/conf.d/d.conf~", "/conf.d", "/main.conf", ""};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		FREE_AUTO char *path = str_printf("%s%s", (char *)*state, names[i]);

		(void)remove(path);
	}
	free(*state);
	return 0;
}

static int
load(const char *dir, struct config **cfg, struct err *err)
{
	FREE_AUTO char *path = str_printf("%s/main.conf", dir);

	config_free(*cfg);
	*cfg = NULL;
	return config_load(cfg, path, err);
}

static void
files_beside_the_main_one_are_read_in_byte_order(void **state)
{
	CONFIG_AUTO struct config *cfg = NULL;
	FREE_AUTO char *conf_d = str_printf("%s/conf.d", (char *)*state);
	FREE_AUTO char *want = str_printf(
	    "%s/conf.d/b.conf:3: section [keys] is there already, at %s/conf.d/a.conf:2", (char *)*state, (char *)*state);
	struct err err = {0};

	put_file(*state, "main.conf", REPO);
	assert_int_equal(load(*state, &cfg, &err), 0);
	assert_int_equal(cfg->n_clusters, 0);

	assert_int_equal(mkdir(conf_d, 0755), 0);
	put_file(*state, "conf.d/b.conf", "[cluster:b]\n");
	put_file(*state, "conf.d/a.conf", "[cluster:a]\n");
	put_file(*state, "conf.d/.c.conf", "[cluster:c]\n");
	put_file(*state, "conf.d/d.conf~", "[cluster:d]\n");
	assert_int_equal(load(*state, &cfg, &err), 0);
	assert_int_equal(cfg->n_clusters, 2);
	assert_string_equal(cfg->clusters[0].name, "a");
	assert_string_equal(cfg->clusters[1].name, "b");

	put_file(*state, "conf.d/a.conf", "\n[keys]\n");
	put_file(*state, "conf.d/b.conf", "\n\n[keys]\n");
	assert_int_equal(load(*state, &cfg, &err), ERR_CONFIG);
	assert_string_equal(err.msg, want);
	put_file(*state, "conf.d/b.conf", "threads = 1\n"); /* no section goes on into the next file */
	assert_int_equal(load(*state, &cfg, &err), ERR_CONFIG);
	assert_non_null(strstr(err.msg, "b.conf:1: key 'threads' stands before the first section"));
}

static void
a_file_that_everybody_may_write_is_refused(void **state)
{
	CONFIG_AUTO struct config *cfg = NULL;
	FREE_AUTO char *path = str_printf("%s/main.conf", (char *)*state);
	FREE_AUTO char *conf_d = str_printf("%s/conf.d", (char *)*state);
	FREE_AUTO char *more = str_printf("%s/conf.d/a.conf", (char *)*state);
	struct err err = {0};

	put_file(*state, "main.conf", REPO);
	assert_int_equal(mkdir(conf_d, 0755), 0);
	put_file(*state, "conf.d/a.conf", "[cluster:a]\n");
	assert_int_equal(chmod(path, 0664), 0);
	assert_int_equal(load(*state, &cfg, &err), 0);

	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(load(*state, &cfg, &err), ERR_CONFIG);
	assert_non_null(strstr(err.hint, "chmod o-w"));
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(more, 0646), 0);
	assert_int_equal(load(*state, &cfg, &err), ERR_CONFIG);
	assert_non_null(strstr(err.msg, "a.conf"));
	assert_int_equal(chmod(more, 0644), 0);
	assert_int_equal(chmod(conf_d, 0777), 0);
	assert_int_equal(load(*state, &cfg, &err), ERR_CONFIG);
	assert_non_null(strstr(err.msg, "conf.d'"));
}

/* "Not found" would let a restore take a missing configuration for a missing segment. */
static void
a_missing_file_is_a_configuration_error(void **state)
{
	CONFIG_AUTO struct config *cfg = NULL;
	struct err err = {0};

	assert_int_equal(load(*state, &cfg, &err), ERR_CONFIG);
	assert_non_null(strstr(err.msg, "there is no configuration file '"));
	assert_int_equal(load(*state, &cfg, NULL), ERR_CONFIG);
}

static void
a_file_too_large_is_a_configuration_error(void **state)
{
	CONFIG_AUTO struct config *cfg = NULL;
	FREE_AUTO char *path = str_printf("%s/main.conf", (char *)*state);
	struct err err = {0};

	put_file(*state, "main.conf", REPO);
	assert_int_equal(truncate(path, (off_t)CONFIG_FILE_MAX + 1), 0);
	assert_int_equal(load(*state, &cfg, &err), ERR_CONFIG);
	assert_non_null(strstr(err.msg, "larger than 1048576 bytes"));
}

static const char *env_value;

static const char *
fake_env(const char *name)
{
	return strcmp(name, "PGCAIRN_CONFIG") == 0 ? env_value : NULL;
}

static void
the_environment_names_another_file(void **state)
{
	static const struct clock_ops ops = {.env = fake_env};

	(void)state;
	clock_replace(&ops);
	env_value = "/x/y.conf";
	assert_string_equal(config_default_path(), "/x/y.conf");
	env_value = "";
	assert_string_equal(config_default_path(), PGCAIRN_SYSCONFDIR "/pgcairn/pgcairn.conf");
	env_value = NULL;
	assert_string_equal(config_default_path(), PGCAIRN_SYSCONFDIR "/pgcairn/pgcairn.conf");
	clock_replace(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(files_beside_the_main_one_are_read_in_byte_order, make_directory, remove_directory),
	    cmocka_unit_test_setup_teardown(a_file_that_everybody_may_write_is_refused, make_directory, remove_directory),
	    cmocka_unit_test_setup_teardown(a_missing_file_is_a_configuration_error, make_directory, remove_directory),
	    cmocka_unit_test_setup_teardown(a_file_too_large_is_a_configuration_error, make_directory, remove_directory),
	    cmocka_unit_test(the_environment_names_another_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
