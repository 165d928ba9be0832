/* One repository is brought up to the others, whatever is wrong with them. Repository b misses what a and c have. */
#include "catch_up_fixture.h"

static void
what_lacks_is_copied_and_can_be_read(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS);
	assert_int_equal(r.troubles, 0);
	assert_true(r.bytes > 0 && r.heard_all && !r.stopped);
	must_be_level(&r);
	must_read_all(&l, "b");
	r = must_round(&l, &(struct catch_up_round){0}); /* and again: nothing to do */
	assert_int_equal(r.copied, 0);
	must_be_level(&r);
	lagging_close(&l);
}

static void
a_dry_run_says_what_lacks_and_copies_nothing(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	for (int i = 0; i < 2; i++) {
		r = must_round(&l, &(struct catch_up_round){.dry_run = true});
		assert_int_equal(r.lacking, LAGGING_OBJECTS);
		assert_true(r.lacking_bytes > 0 && r.oldest_us > 0 && r.copied == 0);
		assert_int_equal(world_count(&l.w, "b", "wal/"), 0);
		assert_int_equal(world_count(&l.w, "b", "keys/"), 0);
	}
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS);
	lagging_close(&l);
}

/* Stopped in front of every object in turn: what is there is a beginning of the order, and each key came before its data. */
static void
it_can_be_stopped_anywhere_and_goes_on(void **state)
{
	static const char *const order[] = {"00000002.history", "000000010000000000000009", "00000001000000000000000A",
	    "00000001000000000000000B", "00000001000000000000000C", "000000010000000000000012.00000028.backup",
	    "000000010000000000000013.partial", "000000020000000000000013"};
	struct lagging l;

	(void)state;
	assert_int_equal(ARRAY_LEN(order), LAGGING_OBJECTS);
	lagging_open(&l, 2);
	for (unsigned n = 0; n <= ARRAY_LEN(order); n++) {
		struct catch_up_result r;

		l.stop_after = n > 0 ? 1 : 0;
		l.asked = 0;
		l.stops = n < ARRAY_LEN(order);
		r = must_round(&l, &(struct catch_up_round){.full = n % 2 == 0});
		assert_int_equal(r.stopped, n < ARRAY_LEN(order));
		assert_int_equal(r.lacking, ARRAY_LEN(order) - (n < ARRAY_LEN(order) ? n : n));
		for (unsigned i = 0; i < ARRAY_LEN(order); i++)
			if (has(&l, "b", order[i]) != (i < n))
				fail_msg("%u objects, and '%s' is %s", n, order[i], i < n ? "not there" : "there");
		if (n > 1) /* a history needs no key */
			assert_true(world_count(&l.w, "b", "keys/") > 0);
	}
	must_read_all(&l, "b");
	lagging_close(&l);
}

static void
a_damaged_object_is_taken_from_another_source_and_reported(void **state)
{
	struct lagging l;

	(void)state;
	lagging_open(&l, 3);
	/* in its frames, in its end, cut, empty, another object's bytes */
	for (int how = 0; how < 5; how++) {
		struct catch_up_result r;

		damage(&l, "a", "00000001000000000000000B", how);
		r = must_round(&l, &(struct catch_up_round){.full = true});
		assert_int_equal(r.copied, LAGGING_OBJECTS);
		assert_int_equal(r.troubles, 1);
		assert_int_equal(l.told.kind, ERR_CORRUPT);
		assert_string_equal(l.told_repository, "a");
		assert_non_null(strstr(l.told_relative, "00000001000000000000000B"));
		must_be_level(&r);
		must_read_all(&l, "b");
		restore_from(&l, "a", "00000001000000000000000B");
		empty(&l, "b");
	}
	lagging_close(&l);
}

static void
an_object_that_is_whole_nowhere_stays_behind_alone(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 3);
	damage(&l, "a", "00000001000000000000000B", 0);
	damage(&l, "c", "00000001000000000000000B", 1);
	for (int i = 0; i < 2; i++) { /* it is looked at again, and nothing else is */
		r = must_round(&l, &(struct catch_up_round){0});
		assert_int_equal(r.copied, i == 0 ? LAGGING_OBJECTS - 1 : 0);
		assert_int_equal(r.troubles, 2);
		assert_int_equal(r.lacking, 1);
		assert_true(r.oldest_us > 0 && r.lacking_bytes > 0);
		assert_false(has(&l, "b", "00000001000000000000000B"));
	}
	restore_from(&l, "c", "00000001000000000000000B"); /* somebody repaired it */
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, 1);
	must_be_level(&r);
	lagging_close(&l);
}

static void
a_key_that_one_source_has_lost_comes_from_the_other(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 3);
	must(fs_remove_tree(world_object(&l.w, "a", "keys"), NULL), &(struct err){0});
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS);
	assert_int_equal(r.troubles, 0);
	must_read_all(&l, "b");
	lagging_close(&l);
}

static void
without_its_key_an_object_is_not_copied(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	must(fs_remove_tree(world_object(&l.w, "a", "keys"), NULL), &(struct err){0});
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, 1); /* the history is not encrypted */
	assert_int_equal(r.lacking, LAGGING_OBJECTS - 1);
	assert_int_equal(r.troubles, LAGGING_OBJECTS - 1);
	assert_int_equal(l.told.kind, ERR_CORRUPT);
	assert_non_null(strstr(l.told.msg, "in no repository"));
	lagging_close(&l);
}

/* The target already has the key that its only source lost. */
static void
a_key_that_the_target_has_is_enough(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	l.stop_after = 2;
	l.stops = true;
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, 2);
	l.stops = false;
	must(fs_remove_tree(world_object(&l.w, "a", "keys"), NULL), &(struct err){0});
	r = must_round(&l, &(struct catch_up_round){0});
	assert_true(r.copied > 1); /* those of the same epoch */
	lagging_close(&l);
}

static void
other_content_under_a_taken_name_is_left_alone_and_reported(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	l.plant = "00000001000000000000000B"; /* between the listing and the copy */
	l.plant_other = true;
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS - 1);
	assert_int_equal(r.troubles, 1);
	assert_int_equal(l.told.kind, ERR_CONFLICT);
	assert_string_equal(l.told_repository, "b");
	assert_int_equal(r.lacking, 1);
	lagging_close(&l);
}

static void
whoever_was_faster_with_the_same_content_has_done_the_work(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	l.plant = "00000001000000000000000B";
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS - 1);
	assert_int_equal(r.troubles, 0);
	must_be_level(&r);
	must_read_all(&l, "b");
	lagging_close(&l);
}

static void
a_target_that_fails_ends_the_round_and_blames_no_source(void **state)
{
	static const struct {
		enum mood_call call;
		int kind;
	} rows[] = {{MOOD_PUT, ERR_NOSPACE}, {MOOD_PUT, ERR_RETRY}, {MOOD_PUT, ERR_AUTH}, {MOOD_WRITE, ERR_NOSPACE},
	    {MOOD_FINISH, ERR_IO}, {MOOD_LIST, ERR_IO}, {MOOD_STAT, ERR_RETRY}};

	struct lagging l;

	(void)state;
	lagging_open(&l, 3);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct catch_up_result r;
		struct err err = {0};

		mood_set(l.target, rows[i].call, rows[i].kind, 0);
		must_fail(run_round(&l, &(struct catch_up_round){0}, &r, &err), rows[i].kind, &err, "target");
		assert_int_equal(r.troubles, 0);
		assert_int_equal(r.copied, 0);
		assert_int_equal(world_count(&l.w, "b", "wal/"), 0);
		mood_set(l.target, rows[i].call, 0, 0);
		r = must_round(&l, &(struct catch_up_round){0});
		assert_int_equal(r.copied, LAGGING_OBJECTS);
		empty(&l, "b");
		catch_up_free(l.c);
		must(catch_up_new(&l.c, &err), &err);
	}
	lagging_close(&l);
}

static void
a_source_that_fails_costs_itself_alone(void **state)
{
	static const struct {
		enum mood_call call;
		int kind;
		unsigned after; /* calls that work */
	} rows[] = {{MOOD_LIST, ERR_RETRY, 0}, {MOOD_LIST, ERR_IO, 2}, {MOOD_GET, ERR_RETRY, 0}, {MOOD_GET, ERR_RETRY, 7},
	    {MOOD_GET, ERR_IO, 5}, {MOOD_GET, ERR_AUTH, 0}};

	struct lagging l;

	(void)state;
	lagging_open(&l, 3);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct catch_up_result r;

		mood_set(l.sources[0], rows[i].call, rows[i].kind, rows[i].after);
		r = must_round(&l, &(struct catch_up_round){.full = true});
		assert_int_equal(r.copied, LAGGING_OBJECTS);
		assert_true(r.troubles >= 1);
		assert_string_equal(l.told_repository, "a");
		assert_int_equal(l.told.kind, rows[i].kind);
		if (rows[i].kind == ERR_RETRY) {
			assert_int_equal(r.troubles, 1); /* it was not asked again */
			assert_false(r.heard_all);
		}
		must_be_level(&r);
		must_read_all(&l, "b");
		mood_set(l.sources[0], rows[i].call, 0, 0);
		empty(&l, "b");
	}
	lagging_close(&l);
}

static void
when_no_source_can_be_asked_nothing_is_called_complete(void **state)
{
	struct lagging l;
	struct catch_up_result r;
	struct err err = {0};

	(void)state;
	lagging_open(&l, 3);
	for (int i = 0; i < 2; i++)
		mood_set(l.sources[i], MOOD_LIST, ERR_RETRY, 0);
	must_fail(run_round(&l, &(struct catch_up_round){0}, &r, &err), ERR_RETRY, &err, "both hang");
	assert_false(r.heard_all);
	mood_set(l.sources[1], MOOD_LIST, 0, 0);
	mood_set(l.sources[1], MOOD_GET, ERR_RETRY, 0); /* dies on the way */
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, 0);
	assert_int_equal(r.lacking, LAGGING_OBJECTS);
	assert_false(r.heard_all);
	lagging_close(&l);
}

static void
another_cluster_is_no_source(void **state)
{
	struct lagging l;
	struct world other;
	struct repository *foreign, *own;
	struct catch_up_result r;
	struct err err = {0};

	(void)state;
	lagging_open(&l, 2);
	world_open(&other, &(struct world_options){0});
	world_archive_all(&other, main_segments, 2);
	foreign = world_repository(&other, "a");
	l.sources[l.n_sources++] = foreign;
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS);
	assert_int_equal(r.troubles, 1);
	assert_int_equal(l.told.kind, ERR_CONFIG);
	assert_false(r.heard_all);

	own = l.sources[0];
	l.sources[0] = foreign;
	l.n_sources = 1;
	must_fail(run_round(&l, &(struct catch_up_round){0}, &r, &err), ERR_RETRY, &err, "only a foreign one");
	l.sources[0] = l.target;
	must_fail(run_round(&l, &(struct catch_up_round){0}, &r, &err), ERR_RETRY, &err, "itself");
	assert_non_null(strstr(l.told.msg, "one place"));
	repository_free(foreign);
	l.sources[0] = own;
	world_close(&other);
	lagging_close(&l);
}

static void
a_system_that_the_target_does_not_know_is_reported(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	l.sources[0]->lineage[l.sources[0]->n_lineage++] = (struct lineage_entry){.sysid = 77};
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS); /* of the system that it knows */
	assert_int_equal(r.troubles, 1);
	assert_string_equal(l.told_repository, "b");
	assert_non_null(strstr(l.told.hint, "init --upgrade"));
	lagging_close(&l);
}

static void
what_was_decided_about_wal_comes_with_it(void **state)
{
	static const struct {
		uint8_t kind;
		const char *folder, *name;
	} rows[] = {{OBJECT_QUARANTINE, "gaps", "00000001000000000000000D/00112233445566778899aabbccddeeff/bytes"},
	    {OBJECT_RECORD, "gaps", "00000001000000000000000D/00112233445566778899aabbccddeeff/record"},
	    {OBJECT_WAL, "conflict/wal", "00000001/00000000/000000010000000000000009/00112233445566778899aabbccddeeff"},
	    {OBJECT_RECORD, "conflict/wal",
		"00000001/00000000/000000010000000000000009/00112233445566778899aabbccddeeff.resolved"},
	    {OBJECT_RECORD, "conflict/wal",
		"00000001/00000000/000000010000000000000009/00112233445566778899aabbccddeeff.released"}};
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FREE_AUTO char *relative =
		    str_printf("%s/%llu/%s", rows[i].folder, (unsigned long long)l.w.sysid, rows[i].name);

		synthesize_as(&l, "a", rows[i].kind, relative, "bytes");
	}
	r = must_round(&l, &(struct catch_up_round){.dry_run = true});
	assert_int_equal(r.lacking, LAGGING_OBJECTS + ARRAY_LEN(rows));
	r = must_round(&l, &(struct catch_up_round){.full = true});
	assert_int_equal(r.copied, LAGGING_OBJECTS + ARRAY_LEN(rows));
	assert_int_equal(r.troubles, 0);
	must_be_level(&r);
	assert_int_equal(world_count(&l.w, "b", "gaps/"), 2);
	assert_int_equal(world_count(&l.w, "b", "conflict/"), 3);
	lagging_close(&l);
}

/* Names that no server gave, and objects under names that are not theirs. */
static void
strange_names_are_not_copied(void **state)
{
	static const char *const names[][2] = {{"wal", "00000001/00000000/x"},
	    {"wal", "00000001/00000000/00000001000000010000000A"}, {"wal", "00000001/000000010000000000000099"},
	    {"wal", "00000001/00000000/00000002000000000000000A"}, {"wal", "junk/00000001.historyx"}, {"gaps", "x/y"},
	    {"conflict/wal", "z"}};
	struct lagging l;
	struct catch_up_result r;
	struct err err = {0};

	(void)state;
	lagging_open(&l, 2);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		FREE_AUTO char *key =
		    str_printf("clusters/c/%s/%llu/%s", names[i][0], (unsigned long long)l.w.sysid, names[i][1]);

		must(store_put_bytes(l.sources[0]->store, key, "junk", 4, &err), &err);
	}
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS);
	assert_int_equal(world_count(&l.w, "b", "wal/"), LAGGING_OBJECTS);
	lagging_close(&l);
}

/* Many folders, none of which was seen by the target. Rounds behind the first look at the newest alone. */
static void
a_backlog_of_many_folders_is_copied_and_then_watched_at_its_end(void **state)
{
	struct lagging l;
	struct catch_up_result r;

	(void)state;
	lagging_open(&l, 2);
	for (unsigned i = 0; i < 400; i++) {
		const struct wal_name name = {.timeline = 3, .log = i / 20, .seg = i % 20};

		synthesize(&l, "a", &name, "bytes");
	}
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, LAGGING_OBJECTS + 400);
	must_be_level(&r);
	assert_int_equal(world_count(&l.w, "b", "wal/"), LAGGING_OBJECTS + 400);

	/* what comes behind them, in the folder that was the newest, in the next, and in the one behind it */
	for (unsigned i = 0; i < 3; i++)
		synthesize(&l, "a", &(struct wal_name){.timeline = 3, .log = 19 + i, .seg = 200}, "more");
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, 3);
	/* a new timeline */
	must(world_archive(&l.w, "000000020000000000000014", &(struct err){0}), &(struct err){0});
	synthesize(&l, "a", &(struct wal_name){.timeline = 4, .log = 22, .seg = 0}, "another life");
	synthesize(&l, "a", &(struct wal_name){.kind = WAL_NAME_HISTORY, .timeline = 4}, "history");
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, 2);
	/* and what appears where all was complete, when everything is looked at */
	synthesize(&l, "a", &(struct wal_name){.timeline = 3, .log = 5, .seg = 200}, "late");
	r = must_round(&l, &(struct catch_up_round){0});
	assert_int_equal(r.copied, 0);
	r = must_round(&l, &(struct catch_up_round){.full = true});
	assert_int_equal(r.copied, 1);
	lagging_close(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_lacks_is_copied_and_can_be_read),
	    cmocka_unit_test(a_dry_run_says_what_lacks_and_copies_nothing),
	    cmocka_unit_test(it_can_be_stopped_anywhere_and_goes_on),
	    cmocka_unit_test(a_damaged_object_is_taken_from_another_source_and_reported),
	    cmocka_unit_test(an_object_that_is_whole_nowhere_stays_behind_alone),
	    cmocka_unit_test(a_key_that_one_source_has_lost_comes_from_the_other),
	    cmocka_unit_test(without_its_key_an_object_is_not_copied),
	    cmocka_unit_test(a_key_that_the_target_has_is_enough),
	    cmocka_unit_test(other_content_under_a_taken_name_is_left_alone_and_reported),
	    cmocka_unit_test(whoever_was_faster_with_the_same_content_has_done_the_work),
	    cmocka_unit_test(a_target_that_fails_ends_the_round_and_blames_no_source),
	    cmocka_unit_test(a_source_that_fails_costs_itself_alone),
	    cmocka_unit_test(when_no_source_can_be_asked_nothing_is_called_complete),
	    cmocka_unit_test(another_cluster_is_no_source),
	    cmocka_unit_test(a_system_that_the_target_does_not_know_is_reported),
	    cmocka_unit_test(what_was_decided_about_wal_comes_with_it),
	    cmocka_unit_test(a_backlog_of_many_folders_is_copied_and_then_watched_at_its_end),
	    cmocka_unit_test(strange_names_are_not_copied),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
