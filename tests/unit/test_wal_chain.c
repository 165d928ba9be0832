/* The chain of WAL that a recovery reads: gaps, damage, timelines, and records that lie over a segment's edge. */
#include "chain_fixture.h"

#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

static void
all_of_a_timeline_is_one_chain_with_the_servers_commits(void **state)
{
	struct world w;
	struct links l;
	struct found *f;
	FREE_AUTO char *oracle = NULL;
	char *line, *save = NULL;
	size_t len;

	(void)state;
	world_open(&w, &(struct world_options){0});
	world_archive_all(&w, main_segments, ARRAY_LEN(main_segments));
	must(links_open(&l, &w, 1, 9, 0), &l.err);
	assert_int_equal(l.chain->n, ARRAY_LEN(main_segments));
	assert_int_equal(l.chain->broken.kind, 0);
	f = find_all(&l);
	oracle = fixture_raw("oracle.txt", &len);
	for (line = strtok_r(oracle, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		struct wal_name name;
		char text[25];
		unsigned records, commits, seen = 0;
		lsn_t from;

		assert_int_equal(sscanf(line, "%24s %u %u", text, &records, &commits), 3);
		assert_true(wal_name_parse(text, &name));
		from = wal_segment_start(wal_name_segno(&name, 1 << 20), 1 << 20);
		for (size_t i = 0; i < f->n; i++)
			seen += ends_transaction(&f->list[i]) && f->list[i].lsn >= from && f->list[i].lsn < from + (1 << 20);
		if (seen != commits)
			fail_msg("%s: %u transactions end, the server says %u", text, seen, commits);
	}
	assert_true(wal_chain_last_record(l.chain) < wal_chain_end(l.chain));
	free(f);
	links_close(&l);
	world_close(&w);
}

static void
the_chain_ends_where_it_is_told_to(void **state)
{
	struct world w;
	struct links l;

	(void)state;
	world_open(&w, &(struct world_options){0});
	world_archive_all(&w, main_segments, 4);
	must(links_open(&l, &w, 1, 9, SEGMENT_LSN(10)), &l.err);
	assert_int_equal(l.chain->n, 2);
	links_close(&l);
	must(links_open(&l, &w, 1, 10, 0), &l.err);
	assert_int_equal(l.chain->n, 3);
	assert_int_equal(l.chain->links[0].segno, 10);
	assert_int_equal(l.chain->broken.kind, 0);
	links_close(&l);
	must_fail(links_open(&l, &w, 1, 8, 0), ERR_NOT_FOUND, &l.err, "before the first");
	assert_non_null(strstr(l.err.msg, "000000010000000000000008"));
	assert_null(l.chain);
	links_close(&l);
	must_fail(links_open(&l, &w, 1, 13, 0), ERR_NOT_FOUND, &l.err, "behind the last");
	links_close(&l);
	world_close(&w);
}

static void
a_gap_ends_the_chain_and_is_told(void **state)
{
	struct world w;
	struct links l;

	(void)state;
	world_open(&w, &(struct world_options){.repositories = 2});
	for (size_t i = 0; i < ARRAY_LEN(main_segments); i++)
		if (i != 7)
			world_archive_all(&w, &main_segments[i], 1);
	must(links_open(&l, &w, 1, 9, 0), &l.err);
	assert_int_equal(l.chain->n, 7);
	assert_int_equal(l.chain->broken.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(l.chain->broken.msg, main_segments[7]));
	assert_non_null(strstr(l.chain->broken.msg, main_segments[8]));
	links_close(&l);
	must(links_open(&l, &w, 1, 9, SEGMENT_LSN(15)), &l.err); /* what lies behind is not asked for */
	assert_int_equal(l.chain->n, 7);
	assert_int_equal(l.chain->broken.kind, 0);
	links_close(&l);
	world_close(&w);
}

static void
segments_of_two_repositories_make_one_chain(void **state)
{
	struct world w;
	struct links l;

	(void)state;
	world_open(&w, &(struct world_options){.repositories = 2});
	world_archive_all(&w, main_segments, ARRAY_LEN(main_segments));
	for (size_t i = 0; i < ARRAY_LEN(main_segments); i++) {
		FREE_AUTO char *relative =
		    str_printf("wal/%llu/00000001/00000000/%s", (unsigned long long)w.sysid, main_segments[i]);

		assert_int_equal(unlink(world_object(&w, i % 2 != 0 ? "a" : "b", relative)), 0);
	}
	must(links_open(&l, &w, 1, 9, 0), &l.err);
	assert_int_equal(l.chain->n, ARRAY_LEN(main_segments));
	for (size_t i = 0; i < l.chain->n; i++)
		assert_int_equal(wal_chain_mask(l.chain, i), i % 2 != 0 ? 2 : 1);
	links_close(&l);
	world_close(&w);
}

/* Damage to index or frames in one repository, then in both. */
static void
a_damaged_segment_is_read_elsewhere_or_ends_the_chain(void **state)
{
	struct world w;
	FREE_AUTO char *relative = NULL;

	(void)state;
	world_open(&w, &(struct world_options){.repositories = 2});
	world_archive_all(&w, main_segments, 6);
	relative = str_printf("wal/%llu/00000001/00000000/%s", (unsigned long long)w.sysid, main_segments[3]);
	for (int frames = 0; frames < 2; frames++) {
		long at = frames != 0 ? 600 : -300;
		struct links l;
		struct found *f, none = {.n = 0};

		world_flip(world_object(&w, "a", relative), at);
		must(links_open(&l, &w, 1, 9, 0), &l.err);
		assert_int_equal(l.chain->n, 6);
		f = find_all(&l);
		assert_true(f->n > 600);
		free(f);
		links_close(&l);
		world_flip(world_object(&w, "b", relative), at);
		must(links_open(&l, &w, 1, 9, 0), &l.err);
		if (frames == 0) {
			assert_int_equal(l.chain->n, 3);
			assert_int_equal(l.chain->broken.kind, ERR_CORRUPT);
		} else { /* frames are read by a scan alone */
			assert_int_equal(l.chain->n, 6);
			must_fail(
			    wal_chain_scan(l.chain, 3, 3, l.ring, find_record, &none, &l.err), ERR_CORRUPT, &l.err, "scan");
		}
		links_close(&l);
		world_flip(world_object(&w, "a", relative), at);
		world_flip(world_object(&w, "b", relative), at);
	}
	world_close(&w);
}

static const char *const on_two[] = {
    "000000020000000000000013", "000000020000000000000014", "000000020000000000000015", "00000002.history"};

static void
the_switch_segment_is_taken_from_the_newer_timeline(void **state)
{
	struct world w;
	struct links l;

	(void)state;
	world_open(&w, &(struct world_options){0});
	world_archive_all(&w, main_segments, ARRAY_LEN(main_segments));
	world_archive_all(&w, on_two, ARRAY_LEN(on_two));
	must(links_open(&l, &w, 2, 9, 0), &l.err);
	assert_int_equal(l.chain->n, 13);
	assert_int_equal(l.chain->broken.kind, 0);
	for (size_t i = 0; i < l.chain->n; i++)
		assert_int_equal(l.chain->links[i].timeline, l.chain->links[i].segno < 0x13 ? 1 : 2);
	links_close(&l);
	world_close(&w);
}

static void
an_older_timelines_segment_behind_the_switch_has_no_business_in_the_path(void **state)
{
	struct world w;
	FREE_AUTO char *folder = NULL;
	struct links l;

	(void)state;
	world_open(&w, &(struct world_options){0});
	world_archive_all(&w, main_segments, ARRAY_LEN(main_segments));
	world_archive_all(&w, on_two, ARRAY_LEN(on_two));
	folder = str_printf("wal/%llu/00000002/00000000", (unsigned long long)w.sysid);
	assert_int_equal(unlink(world_path(&w, "repo/a/clusters/c/%s/%s", folder, on_two[1])), 0);
	must(links_open(&l, &w, 2, 9, 0), &l.err);
	assert_int_equal(l.chain->n, 11); /* timeline 1 has 14, and it is not taken */
	assert_int_equal(l.chain->broken.kind, ERR_NOT_FOUND);
	links_close(&l);
	/* without 2's own switch segment 1's is what recovery would take; what follows does not join it */
	assert_int_equal(unlink(world_path(&w, "repo/a/clusters/c/%s/%s", folder, on_two[0])), 0);
	must(links_open(&l, &w, 2, 9, 0), &l.err);
	assert_int_equal(l.chain->links[l.chain->n - 1].timeline, 1);
	assert_int_not_equal(l.chain->broken.kind, 0);
	links_close(&l);
	world_close(&w);
}

static void
a_history_that_is_missing_or_damaged_is_told(void **state)
{
	struct world w;
	FREE_AUTO char *relative = NULL;
	struct links l;
	struct wal_set *set = NULL;
	struct repository *r;
	struct err err = {0};

	(void)state;
	world_open(&w, &(struct world_options){0});
	world_archive_all(&w, on_two, 3);
	must(links_open(&l, &w, 2, 0x14, 0), &l.err);
	assert_false(wal_set_timeline(l.set, 2)->known);
	assert_null(wal_set_timeline(l.set, 1));
	assert_null(wal_set_timeline(l.set, 3));
	assert_int_equal(wal_set_mask(l.set, 2, 0x13), 1);
	assert_int_equal(wal_set_mask(l.set, 2, 0x12), 0);
	assert_int_equal(wal_set_mask(l.set, 2, UINT64_MAX), 0);
	assert_int_equal(wal_set_mask(l.set, 1, 0x13), 0);
	links_close(&l);
	world_archive_all(&w, &on_two[3], 1);
	must(links_open(&l, &w, 2, 0x14, 0), &l.err);
	assert_true(wal_set_timeline(l.set, 2)->known);
	assert_int_equal(l.path.n, 1);
	links_close(&l);
	relative = str_printf("wal/%llu/00000002.history", (unsigned long long)w.sysid);
	world_flip(world_object(&w, "a", relative), -1);
	r = world_repository(&w, "a");
	must_fail(wal_set_load(&set, &r, 1, w.sysid, &err), ERR_CORRUPT, &err, "history");
	assert_null(set);
	repository_free(r);
	world_close(&w);
}

/* Commits with 8, 16, 24 and 40 (all) of their bytes in front of the edge, and a restore point: each is told once, in its
 * place. */
static void
records_over_an_edge_are_told_by_both_segments_together(void **state)
{
	struct world w;
	struct links l;
	struct found *f;
	FREE_AUTO char *oracle = NULL;
	char *line, *save = NULL;
	size_t at = 0, len;

	(void)state;
	world_open(&w, &(struct world_options){.control = "spill/control"});
	world_archive_all(&w, spill_segments, ARRAY_LEN(spill_segments));
	must(links_open(&l, &w, 1, 10, 0), &l.err);
	assert_int_equal(l.chain->n, ARRAY_LEN(spill_segments));
	for (size_t i = 0; i + 1 < l.chain->n; i++)
		assert_int_equal(l.chain->links[i].spills, i != 3); /* a commit ends with its last byte */
	f = find_all(&l);
	oracle = fixture_raw("spill/oracle.txt", &len);
	for (line = strtok_r(oracle, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char lsn_text[24], what[16], name[64] = "";
		unsigned xid;
		lsn_t lsn;

		assert_true(sscanf(line, "%23s %u %15s %63[^\n]", lsn_text, &xid, what, name) >= 3);
		assert_true(lsn_parse(lsn_text, &lsn));
		while (at < f->n && f->list[at].lsn < lsn)
			assert_false(ends_transaction(&f->list[at++]));
		assert_true(at < f->n);
		assert_int_equal(f->list[at].lsn, lsn);
		if (strcmp(what, "point") == 0) {
			assert_int_equal(f->list[at].kind, WAL_RECORD_RESTORE_POINT);
			assert_string_equal(f->list[at].name, name);
		} else {
			assert_int_equal(f->list[at].kind, WAL_RECORD_COMMIT);
			assert_true(f->list[at].has_time);
			assert_int_equal(f->list[at].xid, xid);
		}
		at++;
	}
	free(f);
	links_close(&l);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_of_a_timeline_is_one_chain_with_the_servers_commits),
	    cmocka_unit_test(the_chain_ends_where_it_is_told_to),
	    cmocka_unit_test(a_gap_ends_the_chain_and_is_told),
	    cmocka_unit_test(segments_of_two_repositories_make_one_chain),
	    cmocka_unit_test(a_damaged_segment_is_read_elsewhere_or_ends_the_chain),
	    cmocka_unit_test(the_switch_segment_is_taken_from_the_newer_timeline),
	    cmocka_unit_test(an_older_timelines_segment_behind_the_switch_has_no_business_in_the_path),
	    cmocka_unit_test(a_history_that_is_missing_or_damaged_is_told),
	    cmocka_unit_test(records_over_an_edge_are_told_by_both_segments_together),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
