/* Plans over real WAL and backups of a few files: which timeline, which backup, and what is refused before any byte
 * moves. */
#include "chain_fixture.h"

#include <unistd.h>

#include "ops/plan.h"

static const char *const on_two[] = {
    "000000020000000000000013", "000000020000000000000014", "000000020000000000000015", "00000002.history"};

/* A pg_upgrade: another system goes on under the cluster's name. */
static void
put_lineage(struct world *w, uint64_t sysid)
{
	WRITER_AUTO struct writer *writer = world_writer(w);
	FANOUT_AUTO struct fanout *f = world_fanout(w, writer);
	WRITER_OBJECT_AUTO struct writer_object o = {0};
	BUF_AUTO struct buf clear = {0};
	struct err err = {0};

	must(buf_printf(&clear, &err, "{\"system_identifier\":\"%llu\",\"major\":16,\"segment_size\":1048576}",
		 (unsigned long long)sysid),
	    &err);
	must(writer_start(writer, f, &o, OBJECT_RECORD, "lineage/0001", NULL, NULL, NULL, &err), &err);
	must(object_writer_finish(o.object, &clear, NULL, NULL, &err), &err);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	world_open(w, &(struct world_options){.repositories = 2});
	world_archive_all(w, main_segments, ARRAY_LEN(main_segments));
	world_backup(w, "first", 1, 9);
	world_backup(w, "second", 1, 0x10);
	*state = w;
	return 0;
}

static int
make(struct world *w, const struct plan_options *o, struct plan **out, struct err *err)
{
	KEYRING_AUTO struct keyring *ring = world_keyring(w);

	*err = (struct err){0};
	return plan_make(&w->op, o, ring, out, err);
}

/* From both repositories. */
static void
remove_segment(struct world *w, const char *file)
{
	static const char *const repositories[] = {"a", "b"};

	for (size_t i = 0; i < ARRAY_LEN(repositories); i++) {
		char name[OBJECT_NAME_MAX];

		(void)snprintf(name, sizeof(name), "wal/%llu/00000001/00000000/%s", (unsigned long long)w->sysid, file);
		assert_int_equal(unlink(world_object(w, repositories[i], name)), 0);
	}
}

static void
the_newest_backup_that_reaches_the_target_is_taken(void **state)
{
	static const struct {
		struct plan_options o;
		const char *want; /* NULL: refused */
	} rows[] = {
	    {{.target.kind = TARGET_LATEST}, "second"},
	    {{.target.kind = TARGET_IMMEDIATE}, "second"},
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x11) + 0x28}}, "second"},
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x0d)}}, "first"},
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(8)}}, NULL},
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x100)}}, NULL},
	    {{.target = {.kind = TARGET_NAME, .name = "after the big one"}}, "first"},
	    {{.target = {.kind = TARGET_NAME, .name = "never"}}, NULL},
	    {{.target = {.kind = TARGET_XID, .xid = 4000000000U}}, NULL},
	    {{.target = {.kind = TARGET_TIME, .time_us = 0}}, NULL},
	    {{.target = {.kind = TARGET_TIME, .time_us = INT64_MAX}}, NULL},
	    {{.label = "first"}, "first"},
	    {{.label = "first", .target.kind = TARGET_IMMEDIATE}, "first"},
	    {{.label = "second", .target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x0d)}}, NULL},
	    {{.label = "third"}, NULL},
	    {{.timeline = 1}, "second"},
	    {{.timeline = 2}, NULL},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		PLAN_AUTO struct plan *p = NULL;
		struct err err;
		int rc = make(w, &rows[i].o, &p, &err);
		char row[32];

		(void)snprintf(row, sizeof(row), "row %zu", i);
		if (rows[i].want == NULL) {
			must_fail(rc, ERR_REFUSED, &err, row);
			assert_null(p);
			continue;
		}
		must(rc, &err);
		assert_string_equal(p->backup->label, rows[i].want);
		assert_int_equal(p->backup_mask, 3);
		assert_int_equal(p->path.timeline, 1);
		assert_true(plan_segments(p) >= 1 && plan_segments(p) <= p->chain->n);
	}
}

static void
the_end_of_the_backup_is_that_of_the_newest_system(void **state)
{
	static const enum target_kind kinds[] = {TARGET_IMMEDIATE, TARGET_LATEST};
	struct world *w = *state;
	struct err err;

	/* the old system's backups lie further on, and on a timeline that the new one does not have */
	world_archive_all(w, on_two, ARRAY_LEN(on_two));
	world_backup(w, "old", 2, 0x14);
	put_lineage(w, w->sysid + 1);
	world_backup_of(w, w->sysid + 1, "upgraded", 1, 2);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		PLAN_AUTO struct plan *p = NULL, *chosen = NULL;

		must_fail(
		    make(w, &(struct plan_options){.target.kind = kinds[i]}, &p, &err), ERR_REFUSED, &err, "no WAL of it");
		assert_non_null(strstr(err.msg, "upgraded"));
		must(make(w, &(struct plan_options){.target.kind = kinds[i], .label = "old"}, &chosen, &err), &err);
		assert_string_equal(chosen->backup->label, "old");
	}
}

static void
latest_follows_the_newest_timeline_that_holds_a_backup(void **state)
{
	struct world *w = *state;
	PLAN_AUTO struct plan *two = NULL, *one = NULL, *late = NULL, *none = NULL;
	struct err err;

	world_archive_all(w, on_two, ARRAY_LEN(on_two));
	must(make(w, &(struct plan_options){0}, &two, &err), &err);
	assert_int_equal(two->path.timeline, 2);
	assert_string_equal(two->backup->label, "second");
	must(make(w, &(struct plan_options){.timeline = 1}, &one, &err), &err);
	assert_int_equal(one->path.timeline, 1);
	/* a backup of timeline 1 from behind the fork is not on 2's path */
	world_backup(w, "behind", 1, 0x14);
	must(make(w, &(struct plan_options){.timeline = 2}, &late, &err), &err);
	assert_string_equal(late->backup->label, "second");
	must_fail(make(w, &(struct plan_options){.timeline = 2, .label = "behind"}, &none, &err), ERR_REFUSED, &err,
	    "not on the path");
}

static void
a_repository_that_does_not_open_stops_the_plan_until_it_is_left_out(void **state)
{
	static const char *const a[] = {"a"}, *const nobody[] = {"x"};
	struct world *w = *state;
	PLAN_AUTO struct plan *p = NULL, *none = NULL;
	struct err err;

	assert_int_equal(rename(world_path(w, "repo/a"), world_path(w, "away")), 0);
	must_fail(make(w, &(struct plan_options){0}, &none, &err), ERR_IO, &err, "a is gone");
	assert_non_null(strstr(err.hint, "--without-repository a"));
	must_fail(
	    make(w, &(struct plan_options){.repositories = {.only = a, .n_only = 1}}, &none, &err), ERR_IO, &err, "only a");
	must_fail(make(w, &(struct plan_options){.repositories = {.without = nobody, .n_without = 1}}, &none, &err), ERR_CONFIG,
	    &err, "no such name");
	must(make(w, &(struct plan_options){.repositories = {.without = a, .n_without = 1}}, &p, &err), &err);
	assert_int_equal(p->n, 1);
	assert_int_equal(p->n_left_out, 1);
	assert_string_equal(p->left_out[0], "a");
	assert_int_equal(p->backup_mask, 1);
}

static void
a_damaged_manifest_is_read_elsewhere_or_passed_over(void **state)
{
	struct world *w = *state;
	PLAN_AUTO struct plan *elsewhere = NULL, *older = NULL, *none = NULL;
	struct err err;

	world_flip(world_object(w, "a", "backup/second/manifest-0000"), -1);
	must(make(w, &(struct plan_options){0}, &elsewhere, &err), &err);
	assert_string_equal(elsewhere->backup->label, "second");
	assert_int_equal(elsewhere->backup_mask, 2);
	world_flip(world_object(w, "b", "backup/second/manifest-0000"), -1);
	must(make(w, &(struct plan_options){0}, &older, &err), &err);
	assert_string_equal(older->backup->label, "first");
	must_fail(make(w, &(struct plan_options){.label = "second"}, &none, &err), ERR_CORRUPT, &err, "asked for by name");
}

static void
missing_wal_is_told_before_anything_is_touched(void **state)
{
	struct world *w = *state;
	PLAN_AUTO struct plan *p = NULL, *none = NULL;
	struct err err;

	remove_segment(w, main_segments[7]);
	must_fail(make(w, &(struct plan_options){.label = "second"}, &none, &err), ERR_REFUSED, &err, "its first segment");
	assert_non_null(strstr(err.msg, main_segments[7]));
	must_fail(make(w, &(struct plan_options){.label = "first"}, &none, &err), ERR_REFUSED, &err, "latest over a gap");
	must(make(w, &(struct plan_options){.label = "first", .target.kind = TARGET_IMMEDIATE}, &p, &err), &err);
}

/* A backup spoils no target that lies before it. */
static void
a_backup_without_its_wal_does_not_stand_before_an_older_one(void **state)
{
	static const struct {
		struct plan_options o;
		const char *want; /* NULL: refused */
	} rows[] = {
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x0d)}}, "first"},
	    {{.target = {.kind = TARGET_NAME, .name = "after the big one"}}, "first"},
	    {{.target = {.kind = TARGET_NAME, .name = "never"}}, NULL},
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x11)}}, NULL},
	    {{.target = {.kind = TARGET_IMMEDIATE}}, NULL},
	    {{.target = {.kind = TARGET_LATEST}}, NULL},
	};
	struct world *w = *state;

	for (int i = 0; i < 2; i++) {
		char name[OBJECT_NAME_MAX];

		(void)snprintf(
		    name, sizeof(name), "wal/%llu/00000001/00000000/%s", (unsigned long long)w->sysid, main_segments[7]);
		assert_int_equal(unlink(world_object(w, i == 0 ? "a" : "b", name)), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		PLAN_AUTO struct plan *p = NULL;
		struct err err;
		int rc = make(w, &rows[i].o, &p, &err);
		char row[32];

		(void)snprintf(row, sizeof(row), "row %zu", i);
		if (rows[i].want == NULL) {
			must_fail(rc, ERR_REFUSED, &err, row);
			continue;
		}
		must(rc, &err);
		assert_string_equal(p->backup->label, rows[i].want);
	}
}

/* After a pg_upgrade: what lies before it is the older system's, and nothing of the two is mixed. */
static void
a_target_is_looked_for_in_the_system_that_had_it(void **state)
{
	static const struct {
		struct plan_options o;
		const char *want; /* NULL: refused */
	} rows[] = {
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x0d)}}, "first"},
	    {{.target = {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x11) + 0x28}}, "second"},
	    {{.target = {.kind = TARGET_NAME, .name = "after the big one"}}, "first"},
	    {{.target = {.kind = TARGET_IMMEDIATE}, .label = "second"}, "second"},
	    {{.target = {.kind = TARGET_LATEST}}, NULL}, /* the newest system's, of which no WAL is there */
	    {{.target = {.kind = TARGET_IMMEDIATE}}, NULL},
	    {{.target = {.kind = TARGET_LATEST}, .label = "second"}, "second"},
	};
	struct world *w = *state;
	const struct lineage_entry next = {.sysid = 7, .segment_size = 1 << 20, .major = 16};
	uint64_t old = w->sysid;
	struct decision d;
	struct err err = {0};

	must(decision_make(&d, "pg_upgrade", &err), &err);
	for (int i = 0; i < 2; i++) {
		REPOSITORY_AUTO struct repository *r = world_repository(w, i == 0 ? "a" : "b");
		WRITER_AUTO struct writer *writer = world_writer(w);

		must(repository_append_lineage(r, 1, &next, &d, &writer->signing, &err), &err);
	}
	w->sysid = 7;
	world_backup(w, "upgraded", 1, 0x40);
	w->sysid = old;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		PLAN_AUTO struct plan *p = NULL;
		int rc = make(w, &rows[i].o, &p, &err);
		char row[32];

		(void)snprintf(row, sizeof(row), "row %zu", i);
		if (rows[i].want == NULL) {
			must_fail(rc, ERR_REFUSED, &err, row);
			assert_non_null(strstr(err.msg, "upgraded"));
			continue;
		}
		must(rc, &err);
		assert_string_equal(p->backup->label, rows[i].want);
		assert_int_equal(p->wal->sysid, old);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

/* The primary of timeline 1 is gone in its segment 13; what was promoted has archived the part of it, and no more yet. */
static void
a_partial_segment_behind_the_end_is_named(void **state)
{
	static const timeline_t asked[] = {0, 1, 2};
	struct world *w = *state;
	struct err err;

	world_archive_all(w, (const char *[]){"000000010000000000000013.partial", "00000002.history"}, 2);
	for (size_t i = 10; i < ARRAY_LEN(main_segments); i++) /* from 13 on */
		remove_segment(w, main_segments[i]);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		PLAN_AUTO struct plan *p = NULL;

		must(make(w, &(struct plan_options){.timeline = asked[i]}, &p, &err), &err);
		assert_string_equal(p->partial, "000000010000000000000013.partial");
		assert_int_equal(p->stop.lsn, SEGMENT_LSN(0x13));
		assert_int_equal(p->overrun, 0);
	}
	world_archive_all(w, (const char *[]){"000000020000000000000013"}, 1);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		PLAN_AUTO struct plan *p = NULL;

		must(make(w, &(struct plan_options){.timeline = asked[i]}, &p, &err), &err);
		assert_string_equal(p->partial, asked[i] == 1 ? "000000010000000000000013.partial" : "");
	}
}

/* The primary went on when another was promoted, whose first segment has not come. */
static void
an_end_behind_the_fork_is_told_until_the_new_timeline_is_there(void **state)
{
	struct world *w = *state;
	PLAN_AUTO struct plan *p = NULL, *whole = NULL, *old = NULL;
	struct err err;

	world_archive_all(w, (const char *[]){"000000010000000000000013.partial", "00000002.history"}, 2);
	must(make(w, &(struct plan_options){0}, &p, &err), &err);
	assert_int_equal(p->path.timeline, 2);
	assert_int_equal(p->stop.timeline, 1);
	assert_int_equal(p->overrun, p->path.entries[0].switch_lsn);
	assert_true(p->overrun < p->stop.lsn);
	assert_string_equal(p->partial, ""); /* the whole one is there */
	must(make(w, &(struct plan_options){.timeline = 1}, &old, &err), &err);
	assert_int_equal(old->overrun, 0);
	world_archive_all(w, (const char *[]){"000000020000000000000013"}, 1);
	must(make(w, &(struct plan_options){0}, &whole, &err), &err);
	assert_int_equal(whole->overrun, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(the_newest_backup_that_reaches_the_target_is_taken),
	    CASE(latest_follows_the_newest_timeline_that_holds_a_backup),
	    CASE(the_end_of_the_backup_is_that_of_the_newest_system),
	    CASE(a_repository_that_does_not_open_stops_the_plan_until_it_is_left_out),
	    CASE(a_damaged_manifest_is_read_elsewhere_or_passed_over),
	    CASE(missing_wal_is_told_before_anything_is_touched),
	    CASE(a_backup_without_its_wal_does_not_stand_before_an_older_one),
	    CASE(a_target_is_looked_for_in_the_system_that_had_it),
	    CASE(a_partial_segment_behind_the_end_is_named),
	    CASE(an_end_behind_the_fork_is_told_until_the_new_timeline_is_there),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
