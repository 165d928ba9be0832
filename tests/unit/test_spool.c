/* A prefetch spool from before a reboot: nothing in it was synced, so nothing of it is believed. */
#include "world.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "keys/secret.h"
#include "ops/spool_entry.h"

#define NAME "000000010000000000000009"

static const char *boot;

static int
fake_boot_id(char out[CLOCK_BOOT_ID], struct err *err)
{
	if (boot == NULL)
		return err_set(err, ERR_IO, EACCES, "no boot id");
	(void)snprintf(out, CLOCK_BOOT_ID, "%s", boot);
	return 0;
}

static const struct clock_ops booted = {.boot_id = fake_boot_id};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err = {0};

	must(keys_init(&err), &err);
	world_make(w, &(struct world_options){0});
	assert_int_equal(chdir(w->op.cluster->pgdata), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	clock_replace(NULL);
	assert_int_equal(chdir("/"), 0);
	return world_teardown(state);
}

/* Under a boot, with the real clock for all but finding it. */
static int
find(struct world *w, const char *boot_id, struct spool *s, struct err *err)
{
	int rc;

	*s = SPOOL_NONE;
	boot = boot_id;
	clock_replace(&booted);
	rc = spool_find(s, &w->op, &(struct fetch_options){0}, err);
	clock_replace(NULL);
	return rc;
}

/* The spool of that boot, with one segment. */
static void
fill(struct world *w, const char *boot_id, struct spool *s)
{
	SPOOL_WRITER_AUTO struct spool_writer *writer = NULL;
	static const struct spool_origin origin = {.repository = "a"};
	struct err err = {0};

	must(find(w, boot_id, s, &err), &err);
	must(spool_own(s, &err), &err);
	must(spool_writer_new(&writer, s, NAME, &err), &err);
	must(spool_writer_add(writer, "segment", 7, 0, &err), &err);
	must(spool_writer_end(writer, &origin, &err), &err);
	must(spool_writer_publish(writer, &err), &err);
}

static int
take(struct world *w, const struct spool *s, struct err *err)
{
	struct fetch_target t;
	struct spool_origin origin;
	const char *path = world_path(w, "target");

	(void)unlink(path);
	must(fetch_target_init(&t, path, err), err);
	return spool_take(s, NAME, &t, &origin, err);
}

#define BEFORE "11111111-1111-4111-8111-111111111111"
#define AFTER "21111111-1111-4111-8111-111111111111"

static void
a_spool_is_found_again_in_the_same_boot_alone(void **state)
{
	struct world *w = *state;
	SPOOL_AUTO struct spool before = SPOOL_NONE, same = SPOOL_NONE, after = SPOOL_NONE;
	struct err err = {0};

	fill(w, BEFORE, &before);
	must(find(w, BEFORE, &same, &err), &err);
	assert_string_equal(same.path, before.path);
	must(find(w, AFTER, &after, &err), &err);
	assert_string_not_equal(after.path, before.path);
	assert_int_equal(spool_open(&after, false, &err), ERR_NOT_FOUND);
	must(spool_open(&same, false, &err), &err);
	must(take(w, &same, &err), &err);
	assert_int_equal(access(world_path(w, "target"), F_OK), 0);
}

/* Wherever it came to lie: its digest is of the other boot's key. */
static void
an_entry_from_before_a_reboot_is_refused_and_gone(void **state)
{
	struct world *w = *state;
	SPOOL_AUTO struct spool before = SPOOL_NONE, after = SPOOL_NONE;
	struct err err = {0};

	fill(w, BEFORE, &before);
	must(find(w, AFTER, &after, &err), &err);
	must(spool_own(&after, &err), &err);
	assert_int_equal(renameat(before.fd, NAME, after.fd, NAME), 0);
	assert_int_equal(take(w, &after, &err), ERR_CORRUPT);
	assert_int_equal(access(world_path(w, "target"), F_OK), -1);
	assert_int_equal(faccessat(after.fd, NAME, F_OK, 0), -1);
}

static void
the_spool_of_an_earlier_boot_is_swept(void **state)
{
	struct world *w = *state;
	SPOOL_AUTO struct spool before = SPOOL_NONE, after = SPOOL_NONE;
	struct err err = {0};

	fill(w, BEFORE, &before);
	fill(w, AFTER, &after);
	spool_sweep(&after);
	assert_int_equal(access(before.path, F_OK), 0); /* its prefetcher lives */
	spool_close(&before);
	spool_sweep(&after);
	assert_int_equal(access(before.path, F_OK), -1);
	must(take(w, &after, &err), &err);
}

static void
without_a_boot_id_there_is_no_spool(void **state)
{
	SPOOL_AUTO struct spool s = SPOOL_NONE;
	struct err err = {0};

	assert_int_equal(find(*state, NULL, &s, &err), ERR_IO);
	assert_non_null(strstr(err.msg, "no boot id"));
}

static void
the_kernel_says_which_boot_it_is(void **state)
{
	char once[CLOCK_BOOT_ID], again[CLOCK_BOOT_ID];
	struct err err = {0};

	(void)state;
	must(clock_boot_id(once, &err), &err);
	must(clock_boot_id(again, &err), &err);
	assert_string_equal(once, again);
	assert_int_equal(strlen(once), CLOCK_BOOT_ID - 1);
	assert_int_equal(strspn(once, "0123456789abcdef-"), CLOCK_BOOT_ID - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_spool_is_found_again_in_the_same_boot_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_entry_from_before_a_reboot_is_refused_and_gone, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_spool_of_an_earlier_boot_is_swept, setup, teardown),
	    cmocka_unit_test_setup_teardown(without_a_boot_id_there_is_no_spool, setup, teardown),
	    cmocka_unit_test(the_kernel_says_which_boot_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
