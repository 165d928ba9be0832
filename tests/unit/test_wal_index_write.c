/* Who gets an index and when; that answers over thousands of segments are the same with indexes and without; and that verify
 * compares them with what they speak of. */
#include "index_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/info.h"
#include "ops/plan.h"
#include "ops/verify.h"
#include "ops/wal_index.h"
#include "synthetic.h"

#define LAST 2100 /* rows: 1 to 1023, 1024 to 2047, and one that goes on */

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	world_open(w, &(struct world_options){0});
	*state = w;
	return 0;
}

/* With WAL and two backups. */
static int
setup_wal(void **state)
{
	(void)setup(state);
	synthetic_put(*state, "a", 1, 1, LAST);
	world_backup(*state, "first", 1, 2);
	world_backup(*state, "second", 1, 1500);
	return 0;
}

static struct wal_index_result
write_some(struct world *w, const struct wal_index_options *o)
{
	WAL_INDEX_SITE_AUTO struct wal_index_site s = {0};
	struct err err = {0};

	must(wal_index_all(&w->op, o, &s, &err), &err);
	assert_int_equal(s.fanout->n, 1);
	must(s.fanout->targets[0].failed ? s.fanout->targets[0].err.kind : 0, &s.fanout->targets[0].err);
	return s.results[0];
}

static struct wal_index_result
write_all(struct world *w)
{
	return write_some(w, &(struct wal_index_options){0});
}

static void
expect(const struct wal_index_result *r, uint64_t indexes, uint64_t segments, uint64_t skipped)
{
	assert_int_equal(r->indexes, indexes);
	assert_int_equal(r->segments, segments);
	assert_int_equal(r->skipped, skipped);
}

static void
remove_indexes(struct world *w)
{
	(void)fs_remove_tree(world_object(w, "a", "index"), NULL);
}

static const char *
segment_file(struct world *w, timeline_t timeline, uint64_t segno)
{
	const struct lineage_entry e = {.sysid = w->sysid};
	char text[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
	struct wal_name name;

	wal_segment_name(text, timeline, segno, SYNTHETIC_SEGMENT);
	assert_true(wal_name_parse(text, &name));
	assert_int_equal(layout_wal(relative, e.sysid, &name, NULL), 0);
	return world_object(w, "a", relative);
}

/* Names are all that tells whether a row is closed. */
static void
touch(struct world *w, timeline_t timeline, uint64_t segno)
{
	const char *path = segment_file(w, timeline, segno);
	FREE_AUTO char *dir = strdup(path);
	struct err err = {0};

	assert_non_null(dir);
	*strrchr(dir, '/') = '\0';
	must(fs_make_dirs(dir, 0700, &err), &err);
	must(fs_write_file(path, "x", 1, 0600, FS_CREATE_ONLY, &err), &err);
}

static void
a_row_gets_an_index_when_it_is_closed(void **state)
{
	const struct wal_index_options dry = {.dry_run = true};
	struct world *w = *state;
	struct wal_index_result r;

	r = write_some(w, &dry);
	expect(&r, 0, 0, 0);
	/* part of a row, and WAL goes on up to a row behind it */
	touch(w, 1, 5);
	touch(w, 1, 6);
	touch(w, 1, 2046);
	r = write_some(w, &dry);
	expect(&r, 0, 0, 0);
	touch(w, 1, 2047);
	r = write_some(w, &dry);
	expect(&r, 1, 2, 0);
	/* a row that is left for another timeline counts that one's WAL */
	touch(w, 2, 7 * 1024 + 100);
	r = write_some(w, &dry);
	expect(&r, 1, 2, 0);
	synthetic_history(w, "a", 2, 2048 + 50);
	r = write_some(w, &dry);
	expect(&r, 2, 4, 0);
	/* all that a row can have */
	for (uint64_t segno = 9 * 1024; segno < 10 * 1024; segno++)
		touch(w, 3, segno);
	r = write_some(w, &dry);
	expect(&r, 3, 4 + 1024, 0);
}

static void
what_was_written_is_not_written_again(void **state)
{
	struct world *w = *state;
	struct wal_index_result r = write_some(w, &(struct wal_index_options){.dry_run = true});

	remove_indexes(w);
	expect(&r, 2, 2047, 0);
	assert_int_equal(world_count(w, "a", "index/"), 0);
	r = write_some(w, &(struct wal_index_options){.max = 1});
	expect(&r, 1, 1023, 0);
	assert_int_equal(r.left, 1);
	r = write_all(w);
	expect(&r, 1, 1024, 0);
	r = write_all(w);
	expect(&r, 0, 0, 0);
	assert_int_equal(world_count(w, "a", "index/"), 2);
	remove_indexes(w);
}

/* The segment that came late gets an index of its own, and the chain holds them all. */
static void
a_segment_that_comes_late_is_not_lost(void **state)
{
	struct world *w = *state;
	FREE_AUTO char *path = strdup(segment_file(w, 1, 700)), *away = str_printf("%s/late", w->dir);
	struct wal_index_result r;
	struct links l;

	assert_int_equal(rename(path, away), 0);
	r = write_all(w);
	expect(&r, 3, 2046, 0);
	must(links_open(&l, w, 1, 2, 0), &l.err);
	assert_int_equal(l.chain->n, 698);
	assert_int_equal(l.chain->broken.kind, ERR_NOT_FOUND);
	links_close(&l);
	assert_int_equal(rename(away, path), 0);
	must(links_open(&l, w, 1, 1, 0), &l.err);
	assert_int_equal(l.chain->n, LAST);
	assert_int_equal(l.chain->n_links, 1 + 1 + 1 + 1 + LAST - 2047);
	links_close(&l);
	r = write_all(w);
	expect(&r, 1, 1, 0);
	must(links_open(&l, w, 1, 1, 0), &l.err);
	assert_int_equal(l.chain->n, LAST);
	links_close(&l);
	remove_indexes(w);
}

static void
a_segment_that_cannot_be_read_keeps_no_other_from_an_index(void **state)
{
	struct world *w = *state;
	const char *path = segment_file(w, 1, 600);
	struct wal_index_result r;
	struct links l;

	world_flip(path, -1);
	r = write_all(w);
	expect(&r, 3, 2046, 1);
	must(links_open(&l, w, 1, 1, 0), &l.err);
	assert_int_equal(l.chain->n, 599);
	assert_int_equal(l.chain->broken.kind, ERR_CORRUPT);
	links_close(&l);
	world_flip(segment_file(w, 1, 600), -1);
	remove_indexes(w);
}

static void
a_repository_that_takes_no_index_is_told(void **state)
{
	struct world *w = *state;
	WAL_INDEX_SITE_AUTO struct wal_index_site s = {0};
	struct err err = {0};

	/* a file where the folder would be */
	must(fs_write_file(world_object(w, "a", "index"), "x", 1, 0600, FS_CREATE_ONLY, &err), &err);
	must(wal_index_all(&w->op, &(struct wal_index_options){0}, &s, &err), &err);
	assert_true(s.fanout->targets[0].failed);
	assert_int_equal(unlink(world_object(w, "a", "index")), 0);
}

/* What the proof of a target says. */
struct said {
	int rc;
	bool too_early;
	struct err err;
	struct target_stop stop;
};

static void
ask(const struct wal_chain *c, const struct target *t, lsn_t start, struct keyring *ring, struct said *s)
{
	const struct manifest_head head = {.label = "x", .start_lsn = start, .stop_lsn = start + 0x40, .start_time_us = 1};

	memset(s, 0, sizeof(*s));
	s->rc = target_prove(t, &head, c, ring, &s->stop, &s->too_early, &s->err);
	if (s->rc == 0)
		s->rc = target_check_level(c, start, &s->stop, ring, &s->err);
}

static void
expect_same(const struct said *a, const struct said *b, const char *what)
{
	if (a->rc != b->rc || strcmp(a->err.msg, b->err.msg) != 0 || strcmp(a->err.hint, b->err.hint) != 0)
		fail_msg("%s: %s (%s), with indexes %s (%s)", what, a->err.msg, a->err.hint, b->err.msg, b->err.hint);
	assert_int_equal(a->too_early, b->too_early);
	if (a->rc < 0)
		return;
	assert_int_equal(a->stop.lsn, b->stop.lsn);
	assert_int_equal(a->stop.end, b->stop.end);
	assert_int_equal(a->stop.link, b->stop.link);
	assert_int_equal(a->stop.before, b->stop.before);
	assert_int_equal(a->stop.has_time, b->stop.has_time);
	assert_int_equal(a->stop.time_us, b->stop.time_us);
	assert_int_equal(a->stop.timeline, b->stop.timeline);
	assert_int_equal(a->stop.commits_behind, b->stop.commits_behind);
	assert_int_equal(a->stop.behind_link, b->stop.behind_link);
	assert_int_equal(a->stop.again, b->stop.again);
}

static size_t
make_targets(struct target *t)
{
	static const uint64_t segments[] = {2, 3, 9, 10, 31, 62, 499, 500, 501, 997, 1022, 1023, 1024, 1025, 1499, 1500, 1501,
	    1994, 2000, 2046, 2047, 2048, 2049, LAST - 1, LAST, LAST + 1};
	size_t n = 0;

	t[n++] = (struct target){.kind = TARGET_LATEST};
	t[n++] = (struct target){.kind = TARGET_IMMEDIATE};
	t[n++] = (struct target){.kind = TARGET_XID, .xid = 1};
	t[n++] = (struct target){.kind = TARGET_NAME, .name = "never"};
	t[n++] = (struct target){.kind = TARGET_NAME, .name = "point-997"};
	t[n++] = (struct target){.kind = TARGET_NAME, .name = "point-1994"};
	for (size_t i = 0; i < ARRAY_LEN(segments); i++) {
		const uint64_t s = segments[i];

		t[n++] = (struct target){.kind = TARGET_TIME, .time_us = synthetic_time_us(s) - 1};
		t[n++] = (struct target){.kind = TARGET_TIME, .time_us = synthetic_time_us(s), .exclusive = true};
		t[n++] = (struct target){.kind = TARGET_LSN, .lsn = synthetic_commit_lsn(s)};
		t[n++] = (struct target){.kind = TARGET_LSN, .lsn = synthetic_commit_lsn(s) + 200};
		t[n++] = (struct target){.kind = TARGET_XID, .xid = synthetic_xid(s)};
		t[n++] = (struct target){.kind = TARGET_XID, .xid = synthetic_edge_xid(s)};
	}
	return n;
}

#define TARGETS_MAX 192

static void
a_target_is_proved_the_same_with_indexes_and_without(void **state)
{
	static const uint64_t firsts[] = {1, 2, 700, 1024, 1500};
	struct world *w = *state;
	struct target targets[TARGETS_MAX];
	size_t n = make_targets(targets), reached = 0, behind = 0, over_edges = 0;

	assert_true(n <= TARGETS_MAX);
	(void)write_all(w);
	for (size_t k = 0; k < ARRAY_LEN(firsts); k++) {
		const struct wal_chain_options o = {.start = SEGMENT_LSN(firsts[k]), .without_indexes = true};
		WAL_CHAIN_AUTO struct wal_chain *without = NULL;
		struct links l;

		must(links_open(&l, w, 1, firsts[k], 0), &l.err);
		must(wal_chain_build(&without, l.repositories, l.n, l.set, &l.path, &o, &l.err), &l.err);
		assert_int_equal(without->n, l.chain->n);
		assert_true(l.chain->n_links < without->n_links || firsts[k] > 1024); /* else a whole row is in it */
		for (size_t i = 0; i < n; i++) {
			struct said a, b;
			char what[128];

			target_describe(&targets[i], what, sizeof(what));
			ask(without, &targets[i], SEGMENT_LSN(firsts[k]), l.ring, &a);
			ask(l.chain, &targets[i], SEGMENT_LSN(firsts[k]), l.ring, &b);
			expect_same(&a, &b, what);
			reached += a.rc == 0;
			behind += a.rc == 0 && a.stop.commits_behind;
			if (a.rc != 0 || targets[i].kind != TARGET_XID || targets[i].xid < synthetic_edge_xid(0))
				continue;
			assert_int_equal(a.stop.lsn, synthetic_edge_lsn(targets[i].xid - synthetic_edge_xid(0)));
			over_edges++;
		}
		links_close(&l);
	}
	assert_true(reached > 200);
	assert_true(behind > 5);
	assert_true(over_edges > 5);
	remove_indexes(w);
}

/* From the first backup on the second row is one link. */
static void
a_plan_is_the_same_with_indexes_and_without(void **state)
{
	const struct plan_options o = {
	    .label = "first", .target = {.kind = TARGET_TIME, .time_us = synthetic_time_us(1700), .exclusive = true}};
	struct world *w = *state;
	KEYRING_AUTO struct keyring *ring = world_keyring(w);
	PLAN_AUTO struct plan *without = NULL, *with = NULL;
	struct err err = {0};

	must(plan_make(&w->op, &o, ring, &without, &err), &err);
	(void)write_all(w);
	must(plan_make(&w->op, &o, ring, &with, &err), &err);
	assert_int_equal(without->chain->n_links, LAST - 1);
	assert_int_equal(with->chain->n_links, 1022 + 1 + LAST - 2047);
	assert_int_equal(plan_segments(with), 1699);
	assert_int_equal(plan_segments(without), 1699);
	assert_int_equal(with->stop.lsn, synthetic_commit_lsn(1700));
	assert_int_equal(without->stop.lsn, with->stop.lsn);
	remove_indexes(w);
}

static void
windows_are_the_same_with_indexes_and_without(void **state)
{
	struct world *w = *state;
	INFO_AUTO struct info without = {0}, with = {0};
	struct err err = {0};

	must(info_collect(&w->op, &without, &err), &err);
	(void)write_all(w);
	must(info_collect(&w->op, &with, &err), &err);
	assert_int_equal(with.opened, 1);
	assert_int_equal(with.repositories[0].segments, LAST);
	assert_int_equal(with.repositories[0].windows.n, 1);
	assert_int_equal(without.repositories[0].windows.n, 1);
	assert_memory_equal(with.repositories[0].windows.list, without.repositories[0].windows.list, sizeof(struct window));
	assert_int_equal(with.repositories[0].windows.n_gaps, 0);
	assert_string_equal(with.repositories[0].newest, without.repositories[0].newest);
	assert_true(with.repositories[0].usable[0] && with.repositories[0].usable[1]);
	remove_indexes(w);
}

/* Whether there is a finding of this kind whose object has this in its name; nothing else may be found. */
static void
expect_found(struct world *w, const char *kind, const char *object)
{
	struct verify_result r;
	struct err err = {0};

	must(verify_run(&w->op, &(struct verify_options){0}, &r, &err), &err);
	for (size_t i = 0; i < r.n; i++)
		if (kind == NULL || strcmp(r.list[i].kind, kind) != 0 || strstr(r.list[i].object, object) == NULL)
			fail_msg("%s %s: %s", r.list[i].kind, r.list[i].object, r.list[i].what);
	assert_int_equal(r.n, kind != NULL);
	verify_result_free(&r);
}

static void
verify_compares_an_index_with_its_segments(void **state)
{
	struct world *w = *state;
	FREE_AUTO char *kept = NULL, *there = NULL, *lost = NULL;
	REPOSITORY_AUTO struct repository *r = NULL;
	WRITER_AUTO struct writer *writer = NULL;
	struct err err = {0};

	synthetic_put(w, "a", 1, 8 * 1024, 8 * 1024 + 9);
	r = world_repository(w, "a");
	writer = world_writer(w);
	index_put(w, "a", 1, 8 * 1024, 8 * 1024 + 9);
	expect_found(w, NULL, NULL);
	world_flip(index_file(w, "a", 1, 8 * 1024, 10), -1);
	expect_found(w, "damaged", "index/");
	world_flip(index_file(w, "a", 1, 8 * 1024, 10), -1);
	expect_found(w, NULL, NULL);

	/* the same name, signed, and other content: of the life that another server led */
	there = strdup(segment_file(w, 1, 8 * 1024 + 9));
	kept = str_printf("%s/kept", w->dir);
	assert_int_equal(rename(there, kept), 0);
	synthetic_other(w, "a", 1, 8 * 1024 + 9);
	expect_found(w, "exchanged", strrchr(there, '/') + 1);
	assert_int_equal(unlink(there), 0);
	expect_found(w, "index", "index/"); /* a note: it is not there */
	assert_int_equal(rename(kept, there), 0);

	/* one that says of the row what its rows do not say */
	lost = strdup(index_file(w, "a", 1, 8 * 1024, 10));
	assert_int_equal(unlink(lost), 0);
	for (unsigned lie = 0; lie < 5; lie++) {
		WAL_INDEX_DRAFT_AUTO struct wal_index_draft d = {0};

		index_collect(&d, w, r, 1, 8 * 1024, 8 * 1024 + 9);
		d.index.run.all.max_time_us += lie == 0;
		d.index.run.all.commit_count += lie == 1;
		if (lie == 2) {
			d.index.spills = (struct wal_index_places){calloc(1, sizeof(uint16_t)), 1};
			assert_non_null(d.index.spills.list);
		}
		d.index.run.all.last_record += lie == 3 ? 8 : 0;
		if (lie == 4) { /* and a row of what its segment does not */
			char *number = strstr((char *)d.rows.data, "\"records\":2");

			assert_non_null(number);
			number[strlen("\"records\":")] = '3';
			d.index.run.all.n_records++;
		}
		must(wal_index_put(&d, r, w->sysid, OBJECT_CODEC_ZSTD, &writer->signing, &err), &err);
		expect_found(w, "damaged", "index/");
		assert_int_equal(unlink(lost), 0);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int
main(void)
{
	const struct CMUnitTest alone[] = {
	    CASE(a_row_gets_an_index_when_it_is_closed),
	    CASE(verify_compares_an_index_with_its_segments),
	};
	const struct CMUnitTest over_wal[] = {
	    cmocka_unit_test(what_was_written_is_not_written_again),
	    cmocka_unit_test(a_segment_that_comes_late_is_not_lost),
	    cmocka_unit_test(a_segment_that_cannot_be_read_keeps_no_other_from_an_index),
	    cmocka_unit_test(a_repository_that_takes_no_index_is_told),
	    cmocka_unit_test(a_target_is_proved_the_same_with_indexes_and_without),
	    cmocka_unit_test(a_plan_is_the_same_with_indexes_and_without),
	    cmocka_unit_test(windows_are_the_same_with_indexes_and_without),
	};
	struct err err = {0};
	int failed;

	must(keys_init(&err), &err);
	failed = cmocka_run_group_tests(alone, NULL, NULL);
	return failed + cmocka_run_group_tests(over_wal, setup_wal, world_teardown);
}
