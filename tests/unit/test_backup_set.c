/* Which backups a repository has, in the order of WAL. */
#include "repo_fixture.h"

#include "repo/backup_set.h"

struct made {
	const char *label, *says; /* name of the object, and the label inside; NULL: the same */
	unsigned generation;
	uint64_t sysid;
	timeline_t timeline;
	lsn_t stop;
};

static void
make(struct fixture *f, const struct made *m)
{
	struct manifest_head h = {.sysid = m->sysid,
	    .major = 15,
	    .server_version = 150000,
	    .segment_size = 1 << 20,
	    .start_timeline = m->timeline,
	    .stop_timeline = m->timeline,
	    .start_lsn = 1,
	    .checkpoint_lsn = 2,
	    .stop_lsn = m->stop};
	WRITER_OBJECT_AUTO struct writer_object o = {0};
	BUF_AUTO struct buf clear = {0};
	char name[OBJECT_NAME_MAX];

	(void)snprintf(h.label, sizeof(h.label), "%s", m->says != NULL ? m->says : m->label);
	assert_int_equal(manifest_head_encode(&h, &clear, NULL), 0);
	assert_int_equal(layout_manifest(name, m->label, m->generation, NULL), 0);
	assert_int_equal(writer_start(&f->writer, f->fanout, &o, OBJECT_MANIFEST, name, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(object_writer_finish(o.object, &clear, NULL, NULL, NULL), 0);
}

static void
no_backup_is_an_empty_set(void **state)
{
	struct fixture *f = *state;
	BACKUP_SET_AUTO struct backup_set set = {0};

	assert_int_equal(backup_set_read(&set, f->fanout->targets[0].repo, NULL), 0);
	assert_int_equal(set.n, 0);
}

static void
order_is_that_of_wal_and_not_of_labels(void **state)
{
	static const struct made made[] = {
	    {"20260101T000000Z-0001", NULL, 0, FIXTURE_SYSID, 1, UINT64_C(0x200000000)},
	    {"20250101T000000Z-0001", NULL, 0, FIXTURE_SYSID, 1, UINT64_C(0x300000000)}, /* the clock went back */
	    {"20270101T000000Z-0001", NULL, 0, FIXTURE_SYSID, 1, 100},
	    {"20230101T000000Z-0001", NULL, 0, FIXTURE_SYSID, 2, UINT64_C(0x300000000)},
	};
	static const size_t want[] = {2, 0, 1, 3};
	struct fixture *f = *state;
	BACKUP_SET_AUTO struct backup_set set = {0};

	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		make(f, &made[i]);
	assert_int_equal(backup_set_read(&set, f->fanout->targets[1].repo, NULL), 0);
	assert_int_equal(set.n, ARRAY_LEN(want));
	for (size_t i = 0; i < set.n; i++) {
		assert_false(set.list[i].damaged);
		assert_string_equal(set.list[i].label, made[want[i]].label);
		assert_true(set.list[i].stored > 0);
	}
}

static void
the_newest_generation_counts(void **state)
{
	static const struct made made[] = {{"x", NULL, 1, FIXTURE_SYSID, 1, 100}, {"x", NULL, 10, FIXTURE_SYSID, 1, 300},
	    {"x", NULL, 2, FIXTURE_SYSID, 1, 200}};
	struct fixture *f = *state;
	BACKUP_SET_AUTO struct backup_set set = {0};

	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		make(f, &made[i]);
	assert_int_equal(backup_set_read(&set, f->fanout->targets[0].repo, NULL), 0);
	assert_int_equal(set.n, 1);
	assert_int_equal(set.list[0].generation, 10);
	assert_int_equal(set.list[0].head.stop_lsn, 300);
}

static void
packs_without_a_manifest_and_other_things_are_no_backup(void **state)
{
	static const char *const names[] = {"backup/x/pack-000000", "backup/y/manifest-00000", "backup/y/manifest-000x",
	    "backup/y/other", "backup/loose", "backup/y/deep/manifest-0000"};
	struct fixture *f = *state;
	BACKUP_SET_AUTO struct backup_set set = {0};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char key[STORE_KEY_MAX];

		assert_int_equal(layout_key(key, "main", names[i], NULL), 0);
		assert_int_equal(store_put_bytes(f->fanout->targets[0].repo->store, key, "x", 1, NULL), 0);
	}
	assert_int_equal(backup_set_read(&set, f->fanout->targets[0].repo, NULL), 0);
	assert_int_equal(set.n, 0);
}

static void
a_damaged_manifest_hides_no_other(void **state)
{
	static const struct made good = {"m", NULL, 0, FIXTURE_SYSID, 1, 100};
	static const struct made foreign = {"a", NULL, 0, 5, 1, 100}, moved = {"z", "m", 0, FIXTURE_SYSID, 1, 100};
	struct fixture *f = *state;
	struct repository *r = f->fanout->targets[0].repo;
	BACKUP_SET_AUTO struct backup_set set = {0};

	make(f, &good);
	make(f, &foreign);
	make(f, &moved);
	assert_int_equal(store_put_bytes(r->store, "clusters/main/backup/b/manifest-0000", "not an object", 13, NULL), 0);
	assert_int_equal(backup_set_read(&set, r, NULL), 0);
	assert_int_equal(set.n, 4);
	assert_string_equal(set.list[0].label, "m");
	assert_false(set.list[0].damaged);
	for (size_t i = 1; i < set.n; i++) {
		assert_true(set.list[i].damaged);
		assert_int_equal(set.list[i].err.kind, ERR_CORRUPT);
		assert_int_equal(set.list[i].head.n_packs, 0);
	}
	assert_string_equal(set.list[1].label, "a");
	assert_string_equal(set.list[2].label, "b");
	assert_string_equal(set.list[3].label, "z");
}

static void
a_repository_that_went_away_is_an_error_and_not_empty(void **state)
{
	struct fixture *f = *state;
	struct repository *r = f->fanout->targets[0].repo;
	struct backup_set set = {.n = 7};
	struct err err;

	assert_int_equal(store_remove(f->store[0]->real, LAYOUT_MARKER, NULL), 0);
	assert_int_equal(backup_set_read(&set, r, &err), ERR_IO);
	assert_int_equal(set.n, 7);
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(no_backup_is_an_empty_set),
	    T(order_is_that_of_wal_and_not_of_labels),
	    T(the_newest_generation_counts),
	    T(packs_without_a_manifest_and_other_things_are_no_backup),
	    T(a_damaged_manifest_hides_no_other),
	    T(a_repository_that_went_away_is_an_error_and_not_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
