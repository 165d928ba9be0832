/* A row of segments told as one joins its neighbours exactly as its segments do. */
#include "wal_fixture.h"

#include "base/scope.h"
#include "pg/crc32c.h"
#include "pg/wal_run.h"

static const char *const main_names[] = {"000000010000000000000009", "00000001000000000000000A", "00000001000000000000000B",
    "00000001000000000000000C", "00000001000000000000000D", "00000001000000000000000E", "00000001000000000000000F",
    "000000010000000000000010", "000000010000000000000011", "000000010000000000000012", "000000010000000000000013",
    "000000010000000000000014", "000000010000000000000015", "000000010000000000000016"};
static const char *const spill_names[] = {"00000001000000000000000A", "00000001000000000000000B", "00000001000000000000000C",
    "00000001000000000000000D", "00000001000000000000000E", "00000001000000000000000F"};

#define SEGMENTS_MAX 16

struct row {
	struct wal_summary s[SEGMENTS_MAX];
	size_t n;
};

/* What a segment's clear part keeps: the bytes that users may have written are left out. */
static void
load(struct row *row, const char *folder, const char *const *names, size_t n)
{
	row->n = n;
	for (size_t i = 0; i < n; i++) {
		struct wal_walk_options opt = fixture_options(names[i], WAL_COMPLETE);
		struct wal_summary *s = &row->s[i];
		struct err err = {0};
		char path[64];
		uint8_t *data;
		size_t len;

		(void)snprintf(path, sizeof(path), "%s%s", folder, names[i]);
		data = fixture(path, &len);
		if (fixture_walk(&opt, data, len, len, s, &err) < 0)
			fail_msg("%s: %s", names[i], err.msg);
		free(data);
		s->head.kept = 0;
		if (s->tail.kept > WAL_RECORD_HEADER)
			s->tail.kept = WAL_RECORD_HEADER;
	}
}

static void
expect_same_state(const struct wal_join *a, const struct wal_join *b)
{
	assert_int_equal(a->known, b->known);
	assert_int_equal(a->next_start, b->next_start);
	assert_int_equal(a->timeline, b->timeline);
	assert_int_equal(a->last_record, b->last_record);
	assert_int_equal(a->open_left, b->open_left);
	if (a->open_left == 0)
		return;
	assert_int_equal(a->open_known, b->open_known);
	if (!a->open_known)
		return;
	assert_int_equal(a->open.start, b->open.start);
	assert_int_equal(a->open.total, b->open.total);
	assert_int_equal(a->open.have, b->open.have);
	assert_int_equal(a->open.crc, b->open.crc);
	assert_memory_equal(a->open.bytes, b->open.bytes, a->open.kept);
}

/* Segments from..to as rows, joined behind those before them and before those behind; how many rows it took. */
static size_t
expect_row(const struct row *row, size_t from, size_t to)
{
	struct wal_join singly, by_rows;
	struct err err = {0};
	size_t rows = 0;

	wal_join_init(&singly);
	for (size_t i = 0; i < from; i++)
		assert_int_equal(wal_join_next(&singly, &row->s[i], &err), 0);
	by_rows = singly;
	for (size_t i = from; i < to; rows++) {
		static struct wal_run run;

		wal_run_init(&run);
		while (i < to && wal_run_add(&run, &row->s[i]))
			assert_int_equal(wal_join_next(&singly, &row->s[i++], &err), 0);
		assert_true(run.n > 0);
		if (wal_run_join(&by_rows, &run, &err) < 0)
			fail_msg("%zu to %zu: %s", from, to, err.msg);
		expect_same_state(&by_rows, &singly);
	}
	for (size_t i = to; i < row->n; i++)
		assert_int_equal(wal_join_next(&by_rows, &row->s[i], &err), 0);
	return rows;
}

static void
every_row_of_real_wal_joins_as_its_segments_do(void **state)
{
	static struct row rows[2];

	(void)state;
	load(&rows[0], "", main_names, ARRAY_LEN(main_names));
	load(&rows[1], "spill/", spill_names, ARRAY_LEN(spill_names));
	for (size_t r = 0; r < ARRAY_LEN(rows); r++)
		for (size_t from = 0; from < rows[r].n; from++)
			for (size_t to = from + 1; to <= rows[r].n; to++)
				assert_int_equal(expect_row(&rows[r], from, to), 1);
}

static void
a_row_says_what_its_segments_say(void **state)
{
	static struct row row;
	static struct wal_run run;
	uint64_t records = 0, commits = 0, points = 0;
	int64_t newest = INT64_MIN, oldest = INT64_MAX;

	(void)state;
	load(&row, "", main_names, ARRAY_LEN(main_names));
	wal_run_init(&run);
	for (size_t i = 0; i < row.n; i++) {
		const struct wal_summary *s = &row.s[i];

		assert_true(wal_run_add(&run, s));
		records += s->n_records;
		commits += s->commit_count;
		points += s->point_count;
		assert_int_equal(run.end_spills, wal_tail_may_be_target(&s->tail));
		if (s->commit_count == 0)
			continue;
		oldest = s->min_time_us < oldest ? s->min_time_us : oldest;
		newest = s->max_time_us > newest ? s->max_time_us : newest;
	}
	assert_true(records > 0 && commits > 0 && points > 0);
	assert_int_equal(run.n, row.n);
	assert_int_equal(run.all.n_records, records);
	assert_int_equal(run.all.commit_count, commits);
	assert_int_equal(run.all.point_count, points);
	assert_int_equal(run.all.min_time_us, oldest);
	assert_int_equal(run.all.max_time_us, newest);
	assert_int_equal(run.all.start, row.s[0].start);
	assert_int_equal(run.all.end, row.s[row.n - 1].end);
}

/* What joins badly between two segments joins badly before a row, and is not taken into one. */
static void
what_does_not_join_is_refused_by_a_row_as_by_a_segment(void **state)
{
	static struct row row;
	unsigned refused = 0;

	(void)state;
	load(&row, "spill/", spill_names, ARRAY_LEN(spill_names));
	for (unsigned damage = 0; damage < 7; damage++) {
		for (size_t at = 1; at < row.n; at++) {
			static struct wal_summary kept;
			static struct wal_run run;
			struct wal_summary *s = &row.s[at];
			struct wal_join one, many;
			struct err err = {0};
			int rc;

			kept = *s;
			s->start += damage == 0 ? s->segment_size : 0;
			s->first_prev += damage == 1 ? 8 : 0;
			s->head.expected += damage == 2 ? 8 : 0;
			s->head.crc0 ^= damage == 3 ? 1 : 0;
			s->head.zeros_follow ^= damage == 4;
			s->sysid += damage == 5;
			s->first_page_timeline -= damage == 6;
			wal_join_init(&one);
			for (size_t i = 0; i < at; i++)
				assert_int_equal(wal_join_next(&one, &row.s[i], &err), 0);
			many = one;
			rc = wal_join_next(&one, s, &err);
			wal_run_init(&run);
			for (size_t i = at; i < row.n && wal_run_add(&run, &row.s[i]); i++)
				;
			/* a row that is too short to matter: the summary makes no sense by itself, or does not go on inside */
			if (run.n > 0)
				assert_int_equal(wal_run_join(&many, &run, &err), rc);
			refused += rc < 0;
			wal_run_init(&run);
			for (size_t i = 0; i < at; i++)
				assert_true(wal_run_add(&run, &row.s[i]));
			/* without what came before a row may know less, never more */
			if (rc == 0)
				assert_true(wal_run_add(&run, s));
			*s = kept;
		}
	}
	assert_true(refused >= 15);
}

/* 1 MB segments hold a part of a longer record, and nothing else. */
#define SEGMENT ((uint32_t)1 << 20)
#define PAYLOAD UINT32_C(1000000)

static struct wal_summary
made_up(uint64_t segno)
{
	return (struct wal_summary){.verified = true,
	    .magic = 0xD110,
	    .major = 15,
	    .timeline = 1,
	    .first_page_timeline = 1,
	    .last_page_timeline = 1,
	    .sysid = 7,
	    .segment_size = SEGMENT,
	    .page_size = 8192,
	    .start = segno * SEGMENT};
}

/*
 * Segment 1 ends with have bytes of a record that fills segment 2 and 3 and ends in 4: in a row from 1, it is a tail that
 * grows; in one from 2, a head. Its checksum is right, or it is not.
 */
static void
make_long_record(struct row *row, uint32_t have, bool whole)
{
	uint8_t header[WAL_RECORD_HEADER] = {0}, zero[64] = {0};
	uint32_t total = have + 2 * PAYLOAD + 5000, left = total - have;
	uint32_t crc;

	row->n = 5;
	for (size_t i = 0; i < row->n; i++)
		row->s[i] = made_up(i + 1);
	/* all zero behind its header */
	crc = CRC32C_INIT;
	for (uint32_t at = 0; at < total - WAL_RECORD_HEADER;) {
		uint32_t n = total - WAL_RECORD_HEADER - at < sizeof(zero) ? total - WAL_RECORD_HEADER - at : sizeof(zero);

		crc = crc32c_update(crc, zero, n);
		at += n;
	}
	crc = crc32c_final(crc32c_update(crc, header, WAL_RECORD_CRC_AT));
	memcpy(header + WAL_RECORD_CRC_AT, &crc, sizeof(crc));
	header[WAL_RECORD_CRC_AT] ^= whole ? 0 : 1;
	row->s[0].tail = (struct wal_tail){.start = row->s[0].start + SEGMENT - have,
	    .total = total,
	    .have = have,
	    .kept = have < WAL_RECORD_HEADER ? have : WAL_RECORD_HEADER,
	    .crc = CRC32C_INIT};
	row->s[0].tail.crc = crc32c_combine(CRC32C_INIT, 0, have > WAL_RECORD_HEADER ? have - WAL_RECORD_HEADER : 0);
	memcpy(row->s[0].tail.bytes, header, row->s[0].tail.kept);
	for (size_t i = 1; i < 4; i++) {
		struct wal_head *h = &row->s[i].head;

		h->expected = left;
		h->len = i < 3 ? PAYLOAD : left;
		left -= h->len;
	}
	row->s[3].head.end = row->s[3].start + 5040;
	row->s[3].end = row->s[3].head.end;
	row->s[4].n_records = 1;
	row->s[4].first_record = row->s[4].last_record = row->s[4].start + 40;
	row->s[4].first_prev = row->s[0].tail.start;
	row->s[4].end = row->s[4].start + 80;
}

static void
a_record_over_several_segments_is_checked_through_rows(void **state)
{
	static const uint32_t haves[] = {8, 16, 24, 40, 1000};
	static struct row row;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(haves); i++) {
		make_long_record(&row, haves[i], true);
		/* a header that the edge splits is not known without keys: what goes on behind it begins a row */
		assert_int_equal(expect_row(&row, 0, row.n), haves[i] < WAL_RECORD_HEADER ? 2 : 1);
		for (size_t from = 1; from < row.n; from++)
			for (size_t to = from + 1; to <= row.n; to++)
				assert_int_equal(expect_row(&row, from, to), 1);
	}
}

static void
a_wrong_checksum_over_several_segments_is_found_through_rows(void **state)
{
	static struct row row;
	static struct wal_run run;
	struct wal_join j;
	struct err err = {0};

	(void)state;
	make_long_record(&row, 1000, false);
	wal_join_init(&j);
	assert_int_equal(wal_join_next(&j, &row.s[0], &err), 0);
	wal_run_init(&run);
	for (size_t i = 1; i < row.n; i++)
		assert_true(wal_run_add(&run, &row.s[i])); /* the row alone does not see the header */
	assert_int_equal(wal_run_join(&j, &run, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.msg, "CRC"));
	wal_run_init(&run);
	for (size_t i = 0; i < 3; i++)
		assert_true(wal_run_add(&run, &row.s[i]));
	assert_false(wal_run_add(&run, &row.s[3]));
	assert_int_equal(run.n, 3);
	wal_join_init(&j);
	assert_int_equal(wal_run_join(&j, &run, &err), 0);
	assert_int_equal(wal_join_next(&j, &row.s[3], &err), ERR_CORRUPT);
}

static void
a_record_that_was_given_up_is_told_through_rows(void **state)
{
	static struct row row;
	static struct wal_run run;
	struct wal_join j;
	struct err err = {0};

	(void)state;
	make_long_record(&row, 1000, true);
	row.s[2].head = (struct wal_head){
	    .expected = row.s[2].head.expected, .len = 100, .abandoned = true, .overwritten = row.s[0].tail.start};
	row.s[2].n_records = 1;
	row.s[2].first_record = row.s[2].last_record = row.s[2].start + 200;
	row.n = 3;
	for (size_t from = 0; from < row.n; from++)
		for (size_t to = from + 1; to <= row.n; to++)
			assert_int_equal(expect_row(&row, from, to), 1);
	/* another record than the one that goes on */
	row.s[2].head.overwritten += 8;
	wal_run_init(&run);
	assert_true(wal_run_add(&run, &row.s[1]));
	assert_true(wal_run_add(&run, &row.s[2]));
	wal_join_init(&j);
	assert_int_equal(wal_join_next(&j, &row.s[0], &err), 0);
	assert_int_equal(wal_run_join(&j, &run, &err), ERR_CORRUPT);
}

static void
what_was_not_looked_into_is_a_row_of_its_own(void **state)
{
	static struct wal_run run;
	struct wal_summary known = made_up(1), unknown = made_up(2);
	struct wal_join j;
	struct err err = {0};

	(void)state;
	unknown.verified = false;
	unknown.magic = 0xD999;
	wal_run_init(&run);
	assert_true(wal_run_add(&run, &known));
	assert_false(wal_run_add(&run, &unknown));
	wal_run_init(&run);
	for (unsigned i = 0; i < 5; i++)
		assert_true(wal_run_add(&run, &unknown));
	assert_false(wal_run_add(&run, &known));
	assert_int_equal(run.n, 5);
	assert_false(run.all.verified);
	wal_join_init(&j);
	assert_int_equal(wal_join_next(&j, &known, &err), 0);
	assert_int_equal(wal_run_join(&j, &run, &err), 0);
	assert_false(j.known);
}

static void
a_summary_without_sense_begins_no_row(void **state)
{
	static struct wal_run run;
	struct wal_summary s = made_up(1);

	(void)state;
	s.head.expected = 1;
	s.head.len = 2;
	wal_run_init(&run);
	assert_false(wal_run_add(&run, &s));
	assert_int_equal(run.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_row_of_real_wal_joins_as_its_segments_do),
	    cmocka_unit_test(a_row_says_what_its_segments_say),
	    cmocka_unit_test(what_does_not_join_is_refused_by_a_row_as_by_a_segment),
	    cmocka_unit_test(a_record_over_several_segments_is_checked_through_rows),
	    cmocka_unit_test(a_wrong_checksum_over_several_segments_is_found_through_rows),
	    cmocka_unit_test(a_record_that_was_given_up_is_told_through_rows),
	    cmocka_unit_test(what_was_not_looked_into_is_a_row_of_its_own),
	    cmocka_unit_test(a_summary_without_sense_begins_no_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
