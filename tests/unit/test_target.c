/* Recovery targets over real WAL: where PostgreSQL would stop, by brute force over all records, and what is refused. */
#include "index_fixture.h"

#include "ops/target.h"

struct stage {
	struct world w;
	struct links l;
	struct found *f;
	struct manifest_head head;
};

/* cut: there are indexes, over the segments before it and from it on; 0: there are none. */
static int
stage_open(struct stage *s, const char *control, const char *const *segments, size_t n, uint64_t first, uint64_t cut)
{
	world_open(&s->w, &(struct world_options){.control = control});
	world_archive_all(&s->w, segments, n);
	if (cut > first)
		index_put(&s->w, "a", 1, first, cut - 1);
	if (cut != 0)
		index_put(&s->w, "a", 1, cut, first + n - 1);
	must(links_open(&s->l, &s->w, 1, first, 0), &s->l.err);
	s->f = find_all(&s->l);
	s->head = (struct manifest_head){
	    .label = "x", .start_lsn = SEGMENT_LSN(first), .stop_lsn = SEGMENT_LSN(first) + 0x40, .start_time_us = INT64_MIN};
	return 0;
}

static int
setup_main_cut(void **state, uint64_t cut)
{
	struct stage *s = calloc(1, sizeof(*s));

	*state = s;
	return stage_open(s, NULL, main_segments, ARRAY_LEN(main_segments), 9, cut);
}

static int
setup_spill_cut(void **state, uint64_t cut)
{
	struct stage *s = calloc(1, sizeof(*s));

	*state = s;
	return stage_open(s, "spill/control", spill_segments, ARRAY_LEN(spill_segments), 10, cut);
}

static int
setup_main(void **state)
{
	return setup_main_cut(state, 0);
}

static int
setup_main_indexed(void **state)
{
	return setup_main_cut(state, 9);
}

static int
setup_main_indexed_in_two(void **state)
{
	return setup_main_cut(state, 0xF);
}

static int
setup_spill(void **state)
{
	return setup_spill_cut(state, 0);
}

static int
setup_spill_indexed(void **state)
{
	return setup_spill_cut(state, 10);
}

static int
setup_spill_indexed_in_two(void **state)
{
	return setup_spill_cut(state, 13);
}

static int
teardown(void **state)
{
	struct stage *s = *state;

	free(s->f);
	links_close(&s->l);
	world_close(&s->w);
	free(s);
	return 0;
}

static int
prove(struct stage *s, const struct target *t, struct target_stop *stop, bool *too_early, struct err *err)
{
	return target_prove(t, &s->head, s->l.chain, s->l.ring, stop, too_early, err);
}

static bool
is_hit(const struct target *t, const struct wal_record_info *r)
{
	if (t->kind == TARGET_NAME)
		return r->kind == WAL_RECORD_RESTORE_POINT && strcmp(r->name, t->name) == 0;
	if (!ends_transaction(r))
		return false;
	if (t->kind == TARGET_XID)
		return r->xid == t->xid;
	return t->exclusive ? r->time_us >= t->time_us : r->time_us > t->time_us;
}

static void
expect_first_hit(struct stage *s, const struct target *t)
{
	const struct wal_record_info *want = NULL;
	struct target_stop stop;
	struct err err = {0};
	bool too_early;
	char what[128];
	int rc;

	target_describe(t, what, sizeof(what));
	for (size_t i = 0; i < s->f->n && want == NULL; i++)
		if (is_hit(t, &s->f->list[i]))
			want = &s->f->list[i];
	rc = prove(s, t, &stop, &too_early, &err);
	if (want == NULL) {
		must_fail(rc, ERR_REFUSED, &err, what);
		assert_int_equal(too_early, t->kind != TARGET_TIME);
		assert_true(err.hint[0] != '\0');
		return;
	}
	must(rc, &err);
	if (stop.lsn != want->lsn)
		fail_msg("%s stops at %llx, expected %llx", what, (unsigned long long)stop.lsn, (unsigned long long)want->lsn);
	assert_int_equal(stop.link, want->lsn / (1 << 20) - s->l.chain->links[0].segno);
	assert_int_equal(stop.timeline, 1);
	assert_int_equal(stop.before, t->kind == TARGET_TIME || (t->kind == TARGET_XID && t->exclusive));
}

/* Targets at, just before and just behind every step-th record of interest. */
static void
expect_all(struct stage *s, size_t step)
{
	for (size_t i = 0; i < s->f->n; i++) {
		const struct wal_record_info *r = &s->f->list[i];

		if (i % step != 0 && i + 3 < s->f->n && r->kind != WAL_RECORD_RESTORE_POINT &&
		    r->kind != WAL_RECORD_COMMIT_PREPARED)
			continue;
		for (int exclusive = 0; exclusive < 2; exclusive++) {
			struct target t = {.exclusive = exclusive != 0};

			if (r->kind == WAL_RECORD_RESTORE_POINT) {
				t.kind = TARGET_NAME;
				memcpy(t.name, r->name, sizeof(t.name));
				expect_first_hit(s, &t);
			}
			if (!ends_transaction(r))
				continue;
			t.kind = TARGET_XID;
			t.xid = r->xid;
			expect_first_hit(s, &t);
			t.kind = TARGET_TIME;
			for (int d = -1; d <= 1; d++) {
				t.time_us = r->time_us + d;
				expect_first_hit(s, &t);
			}
		}
	}
}

static void
a_target_stops_where_the_first_record_says(void **state)
{
	struct stage *s = *state;

	assert_true(s->f->n > 600);
	expect_all(s, 97);
}

static void
a_target_in_a_record_over_an_edge_is_found(void **state)
{
	expect_all(*state, 1);
}

/* The first frame of a segment. */
static void
flip_frames(struct stage *s, size_t place)
{
	char text[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
	struct wal_name name;
	struct err err = {0};

	wal_chain_name(s->l.chain, place, text);
	assert_true(wal_name_parse(text, &name));
	must(layout_wal(relative, s->w.sysid, &name, &err), &err);
	world_flip(world_object(&s->w, "a", relative), 1000);
}

/* Edges in front of the target's segment are told by what stands beside the frames, which may be unreadable. */
static void
segments_in_front_of_the_target_are_not_read(void **state)
{
	struct stage *s = *state;
	struct target t = {.kind = TARGET_TIME, .exclusive = true};
	struct target_stop stop, again;
	struct err err = {0};
	bool too_early;
	size_t edges = 0;

	for (size_t i = 0; i < s->f->n; i++)
		if (ends_transaction(&s->f->list[i]) && s->f->list[i].time_us > t.time_us)
			t.time_us = s->f->list[i].time_us;
	must(prove(s, &t, &stop, &too_early, &err), &err);
	for (size_t i = 0; i + 1 < stop.link; i++) {
		bool spills;

		flip_frames(s, i);
		must(wal_chain_spills(s->l.chain, i, &spills, &err), &err);
		edges += spills;
	}
	assert_true(edges > 0);
	must(prove(s, &t, &again, &too_early, &err), &err);
	assert_int_equal(again.lsn, stop.lsn);
	for (size_t i = 0; i + 1 < stop.link; i++)
		flip_frames(s, i);
}

static void
a_target_that_is_not_there_is_refused_with_what_could_be_had(void **state)
{
	struct stage *s = *state;
	const struct {
		const char *what;
		struct target t;
		bool too_early;
	} rows[] = {
	    {"xid", {.kind = TARGET_XID, .xid = 4000000000U}, true},
	    {"xid 0", {.kind = TARGET_XID, .xid = 0}, true},
	    {"name", {.kind = TARGET_NAME, .name = "after the big on"}, true},
	    {"longer name", {.kind = TARGET_NAME, .name = "after the big one "}, true},
	    {"a later time", {.kind = TARGET_TIME, .time_us = INT64_MAX}, false},
	    {"a later LSN", {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(0x17)}, false},
	    {"an LSN far away", {.kind = TARGET_LSN, .lsn = UINT64_MAX}, false},
	    {"an LSN before the backup's stop", {.kind = TARGET_LSN, .lsn = SEGMENT_LSN(9) + 0x3f}, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct target_stop stop;
		struct err err = {0};
		bool too_early;

		must_fail(prove(s, &rows[i].t, &stop, &too_early, &err), ERR_REFUSED, &err, rows[i].what);
		assert_int_equal(too_early, rows[i].too_early);
	}
}

static void
a_target_before_the_backup_belongs_to_an_older_one(void **state)
{
	struct stage *s = *state;
	const struct wal_record_info *r = &s->f->list[100];
	const struct target rows[] = {{.kind = TARGET_XID, .xid = r->xid}, {.kind = TARGET_LSN, .lsn = r->lsn},
	    {.kind = TARGET_TIME, .time_us = r->time_us - 1}, {.kind = TARGET_NAME, .name = "after the big one"}};
	struct manifest_head kept = s->head;

	assert_true(ends_transaction(r));
	s->head.stop_lsn = SEGMENT_LSN(0x0e);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct target_stop stop;
		struct err err = {0};
		bool too_early;

		must_fail(prove(s, &rows[i], &stop, &too_early, &err), ERR_REFUSED, &err, "before its stop");
		assert_true(too_early);
	}
	s->head = kept;
	s->head.start_time_us = r->time_us;
	for (size_t i = 0; i < 2; i++) {
		const struct target t = {.kind = TARGET_TIME, .time_us = r->time_us - (i == 0)};
		struct target_stop stop;
		struct err err = {0};
		bool too_early;

		if (i == 0) {
			must_fail(prove(s, &t, &stop, &too_early, &err), ERR_REFUSED, &err, "before it began");
			assert_non_null(strstr(err.hint, "clock of the backup's host"));
		} else
			must(prove(s, &t, &stop, &too_early, &err), &err);
		assert_int_equal(too_early, i == 0);
	}
	s->head = kept;
}

static void
every_lsn_up_to_the_last_record_is_reached(void **state)
{
	struct stage *s = *state;
	lsn_t last = wal_chain_last_record(s->l.chain);
	const struct {
		lsn_t lsn;
		int want;
	} rows[] = {{s->head.stop_lsn, 0}, {SEGMENT_LSN(0x0b) + 5, 0}, {last - 1, 0}, {last, 0}, {last + 1, ERR_REFUSED}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct target t = {.kind = TARGET_LSN, .lsn = rows[i].lsn, .exclusive = i % 2 != 0};
		struct target_stop stop;
		struct err err = {0};
		bool too_early;
		int rc = prove(s, &t, &stop, &too_early, &err);

		if (rows[i].want != 0) {
			must_fail(rc, rows[i].want, &err, "behind the last record");
			continue;
		}
		must(rc, &err);
		assert_true(stop.lsn >= rows[i].lsn && stop.end > stop.lsn);
		assert_int_equal(stop.before, t.exclusive);
		assert_int_equal(stop.link, stop.lsn / (1 << 20) - 9);
		if (rows[i].lsn == last)
			assert_int_equal(stop.lsn, last);
	}
}

static void
an_lsn_target_stops_at_the_first_record_that_begins_there_or_later(void **state)
{
	struct stage *s = *state;
	lsn_t at = s->head.stop_lsn;

	/* from record to record, over the edges of segments too: nothing lies between two stops that follow each other */
	for (size_t i = 0; i < 3; i++) {
		struct target t = {.kind = TARGET_LSN, .lsn = at};
		struct target_stop stop, same, next;
		struct err err = {0};
		bool too_early;

		must(prove(s, &t, &stop, &too_early, &err), &err);
		t.lsn = stop.lsn;
		must(prove(s, &t, &same, &too_early, &err), &err);
		assert_int_equal(same.lsn, stop.lsn);
		assert_int_equal(same.end, stop.end);
		t.lsn = stop.lsn + 1;
		must(prove(s, &t, &next, &too_early, &err), &err);
		/* only a page's header may stand between the end of one and the start of the next */
		assert_true(next.lsn >= stop.end && next.lsn <= stop.end + 40);
		at = SEGMENT_LSN(s->l.chain->links[0].segno + 1 + i) - 1;
	}
}

static void
what_lies_before_the_start_is_not_replayed(void **state)
{
	struct stage *s = *state;
	const struct wal_record_info *r = s->f->list;
	struct manifest_head kept = s->head;
	struct target_stop stop;
	struct err err = {0};
	bool too_early;

	while (!ends_transaction(r) || r->lsn < s->head.stop_lsn)
		r++;
	must(prove(s, &(struct target){.kind = TARGET_XID, .xid = r->xid}, &stop, &too_early, &err), &err);
	assert_int_equal(stop.lsn, r->lsn);
	s->head.start_lsn = r->lsn + 1;
	s->head.stop_lsn = r->end_lsn;
	must_fail(prove(s, &(struct target){.kind = TARGET_XID, .xid = r->xid}, &stop, &too_early, &err), ERR_REFUSED, &err,
	    "before the start");
	assert_true(too_early);
	s->head = kept;
}

static void
latest_and_immediate_need_the_wal_that_they_promise(void **state)
{
	struct stage *s = *state;
	const struct target latest = {.kind = TARGET_LATEST}, immediate = {.kind = TARGET_IMMEDIATE};
	struct manifest_head kept = s->head;
	struct target_stop stop;
	struct err err = {0};
	bool too_early;

	must(prove(s, &latest, &stop, &too_early, &err), &err);
	assert_int_equal(stop.lsn, wal_chain_end(s->l.chain));
	assert_int_equal(stop.link, s->l.chain->n - 1);
	s->head.stop_lsn = SEGMENT_LSN(10);
	must(prove(s, &immediate, &stop, &too_early, &err), &err);
	assert_int_equal(stop.link, 0); /* the last byte that is needed lies in the segment before */
	s->head.stop_lsn = wal_chain_end(s->l.chain);
	must(prove(s, &immediate, &stop, &too_early, &err), &err);
	s->head.stop_lsn++;
	must_fail(prove(s, &immediate, &stop, &too_early, &err), ERR_REFUSED, &err, "not consistent");
	must_fail(prove(s, &latest, &stop, &too_early, &err), ERR_REFUSED, &err, "not consistent");
	assert_false(too_early);
	s->head = kept;
	err_set(&s->l.chain->broken, ERR_CORRUPT, 0, "broken here");
	must(prove(s, &immediate, &stop, &too_early, &err), &err);
	must_fail(prove(s, &latest, &stop, &too_early, &err), ERR_REFUSED, &err, "broken");
	assert_non_null(strstr(err.hint, "broken here"));
	s->l.chain->broken = (struct err){0};
}

static void
a_gap_ends_what_latest_may_promise(void **state)
{
	struct world w;
	struct links l;
	struct manifest_head head = {.label = "x", .start_lsn = SEGMENT_LSN(9), .stop_lsn = SEGMENT_LSN(9) + 0x40};
	struct target_stop stop;
	struct err err = {0};
	bool too_early;

	(void)state;
	world_open(&w, &(struct world_options){0});
	world_archive_all(&w, main_segments, 3);
	world_archive_all(&w, main_segments + 4, 2);
	must(links_open(&l, &w, 1, 9, 0), &l.err);
	must_fail(target_prove(&(struct target){.kind = TARGET_LATEST}, &head, l.chain, l.ring, &stop, &too_early, &err),
	    ERR_REFUSED, &err, "latest over a gap");
	assert_non_null(strstr(err.hint, main_segments[3]));
	links_close(&l);
	world_close(&w);
}

static void
a_search_without_keys_is_refused(void **state)
{
	struct stage *s = *state;
	KEYRING_AUTO struct keyring *empty = NULL;
	const struct target t = {.kind = TARGET_XID, .xid = s->f->list[0].xid};
	struct target_stop stop;
	struct err err = {0};
	bool too_early;

	must(keyring_new(&empty, NULL, &err), &err);
	must_fail(target_prove(&t, &s->head, s->l.chain, empty, &stop, &too_early, &err), ERR_AUTH, &err, "no identity");
}

static void
a_target_describes_itself(void **state)
{
	static const struct {
		struct target t;
		const char *want;
	} rows[] = {
	    {{.kind = TARGET_LATEST}, "the latest"},
	    {{.kind = TARGET_IMMEDIATE}, "the end of the backup"},
	    {{.kind = TARGET_TIME, .time_us = INT64_C(1767225600000001)}, "time 2026-01-01T00:00:00.000001Z"},
	    {{.kind = TARGET_LSN, .lsn = (UINT64_C(1) << 32) + 16}, "LSN 1/10"},
	    {{.kind = TARGET_XID, .xid = UINT32_MAX}, "transaction 4294967295"},
	    {{.kind = TARGET_NAME, .name = "it's"}, "restore point 'it's'"},
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		target_describe(&rows[i].t, text, sizeof(text));
		assert_string_equal(text, rows[i].want);
		target_describe(&rows[i].t, text, 5);
		assert_int_equal(strlen(text), 4);
	}
}

int
main(void)
{
	const struct CMUnitTest over_main[] = {
	    cmocka_unit_test(a_target_stops_where_the_first_record_says),
	    cmocka_unit_test(a_target_that_is_not_there_is_refused_with_what_could_be_had),
	    cmocka_unit_test(a_target_before_the_backup_belongs_to_an_older_one),
	    cmocka_unit_test(every_lsn_up_to_the_last_record_is_reached),
	    cmocka_unit_test(an_lsn_target_stops_at_the_first_record_that_begins_there_or_later),
	    cmocka_unit_test(what_lies_before_the_start_is_not_replayed),
	    cmocka_unit_test(latest_and_immediate_need_the_wal_that_they_promise),
	    cmocka_unit_test(a_search_without_keys_is_refused),
	    cmocka_unit_test(a_gap_ends_what_latest_may_promise),
	    cmocka_unit_test(a_target_describes_itself),
	};
	const struct CMUnitTest over_spill[] = {
	    cmocka_unit_test(a_target_in_a_record_over_an_edge_is_found),
	    cmocka_unit_test(segments_in_front_of_the_target_are_not_read),
	};
	/* the same answers whether the chain is of segments or of rows */
	int (*const mains[])(void **) = {setup_main, setup_main_indexed, setup_main_indexed_in_two};
	int (*const spills[])(void **) = {setup_spill, setup_spill_indexed, setup_spill_indexed_in_two};
	struct err err = {0};
	int failed = 0;

	must(keys_init(&err), &err);
	for (size_t i = 0; i < ARRAY_LEN(mains); i++) {
		failed += cmocka_run_group_tests(over_main, mains[i], teardown);
		failed += cmocka_run_group_tests(over_spill, spills[i], teardown);
	}
	return failed;
}
