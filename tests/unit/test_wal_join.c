/* Segments beside each other, and damage anywhere in them: what a walk alone cannot see, the join must. */
#include "wal_fixture.h"

#include "base/scope.h"
#include "pg/wal_join.h"
#include "pg/wal_page.h"

#define FIRST 0x9
#define LAST 0x16
#define HEADER_REST 16 /* of a header whose first 8 bytes end the segment before */
#define COUNT (LAST - FIRST + 1)
#define PAGE 8192

static struct wal_walk_options
options_of(timeline_t tli, unsigned int segno)
{
	struct wal_walk_options opt = {.mode = WAL_COMPLETE, .name = {.kind = WAL_NAME_SEGMENT, .timeline = tli, .seg = segno}};

	return opt;
}

static uint8_t *
load(timeline_t tli, unsigned int segno, struct wal_summary *s)
{
	struct wal_walk_options opt = options_of(tli, segno);
	struct err err = {0};
	char name[WAL_NAME_MAX];
	size_t len;
	uint8_t *data;

	wal_name_format(name, &opt.name);
	data = fixture(name, &len);
	assert_int_equal(len, FIXTURE_SEGMENT);
	if (fixture_walk(&opt, data, len, len, s, &err) < 0)
		fail_msg("%s: %s", name, err.msg);
	return data;
}

static void
load_all(struct wal_summary s[COUNT])
{
	for (unsigned int i = 0; i < COUNT; i++)
		free(load(1, FIRST + i, &s[i]));
}

static int
join_all(const struct wal_summary *s, size_t n, struct err *err)
{
	struct wal_join j;
	int rc = 0;

	wal_join_init(&j);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = wal_join_next(&j, &s[i], err);
	return rc;
}

static void
all_segments_of_a_timeline_join(void **state)
{
	static struct wal_summary s[COUNT];
	struct err err = {0};
	struct wal_join j;
	size_t spilled = 0, switches = 0;

	(void)state;
	load_all(s);
	wal_join_init(&j);
	for (size_t i = 0; i < COUNT; i++) {
		if (wal_join_next(&j, &s[i], &err) < 0)
			fail_msg("%s", err.msg);
		spilled += j.has_spilled;
		switches += j.has_spilled && j.spilled.kind == WAL_RECORD_SWITCH;
		if (i + 1 < COUNT)
			assert_int_equal(wal_join_check(&s[i], &s[i + 1], &err), 0);
	}
	/* the big message, the headers split after 16 and after 8 bytes, the switch */
	assert_int_equal(spilled, 4);
	assert_int_equal(switches, 1);
}

static void
a_record_over_four_segments_is_summed_up(void **state)
{
	static struct wal_summary s[COUNT];
	struct err err = {0};
	uint32_t crc0;

	(void)state;
	load_all(s);
	assert_int_equal(join_all(s, 4, &err), 0);
	crc0 = s[2].head.crc0;
	s[2].head.crc0 ^= 4; /* the middle says something else */
	assert_int_equal(join_all(s, 3, &err), 0);
	assert_int_equal(join_all(s, 4, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.msg, "CRC is"));
	s[2].head.crc0 = crc0;
	assert_int_equal(join_all(s, 4, &err), 0);
}

static void
what_others_may_read_is_enough_to_join(void **state)
{
	static struct wal_summary s[COUNT];

	(void)state;
	load_all(s);
	for (size_t i = 0; i < COUNT; i++) {
		if (s[i].head.kept > HEADER_REST)
			s[i].head.kept = HEADER_REST;
		if (s[i].tail.kept > WAL_RECORD_HEADER)
			s[i].tail.kept = WAL_RECORD_HEADER;
		memset(s[i].head.bytes + HEADER_REST, 0xAA, WAL_KEEP - HEADER_REST);
		memset(s[i].tail.bytes + WAL_RECORD_HEADER, 0xAA, WAL_KEEP - WAL_RECORD_HEADER);
	}
	assert_int_equal(join_all(s, COUNT, NULL), 0);
}

static void
the_path_into_a_new_timeline_joins(void **state)
{
	static struct wal_summary s[4];
	struct err err = {0};

	(void)state;
	free(load(1, 0x12, &s[0]));
	free(load(2, 0x13, &s[1]));
	free(load(2, 0x14, &s[2]));
	free(load(2, 0x15, &s[3]));
	assert_int_equal(s[1].first_page_timeline, 1); /* the copied prefix */
	assert_int_equal(s[2].first_page_timeline, 2);
	if (join_all(s, 4, &err) < 0)
		fail_msg("%s", err.msg);
	/* the old timeline's own end is not where the new one goes on */
	free(load(1, 0x13, &s[1]));
	assert_int_equal(join_all(s, 4, &err), ERR_CORRUPT);
}

static void
a_lost_a_doubled_or_a_foreign_segment_does_not_join(void **state)
{
	static struct wal_summary s[COUNT], bad[2];
	struct err err = {0};

	(void)state;
	load_all(s);
	for (size_t i = 0; i + 2 < COUNT; i++) {
		assert_int_equal(wal_join_check(&s[i], &s[i + 2], &err), ERR_CORRUPT);
		assert_int_equal(wal_join_check(&s[i], &s[i], &err), ERR_CORRUPT);
		assert_int_equal(wal_join_check(&s[i + 1], &s[i], &err), ERR_CORRUPT);
		if (s[i].n_records == 0)
			continue;
		/* the same bytes, as if they had been written one segment earlier */
		bad[0] = s[i + 2];
		bad[0].start = s[i + 1].start;
		assert_int_equal(wal_join_check(&s[i], &bad[0], &err), ERR_CORRUPT);
	}
	bad[0] = s[1];
	bad[0].sysid++;
	assert_int_equal(wal_join_check(&s[0], &bad[0], &err), ERR_CORRUPT);
	bad[0] = s[1];
	bad[0].segment_size *= 2;
	assert_int_equal(wal_join_check(&s[0], &bad[0], &err), ERR_CORRUPT);
	bad[0] = s[1];
	bad[0].first_page_timeline = 0;
	assert_int_equal(wal_join_check(&s[0], &bad[0], &err), ERR_CORRUPT);
	bad[0] = s[1];
	bad[0].head.kept = 5000; /* from storage: never to be believed */
	assert_int_equal(wal_join_check(&s[0], &bad[0], &err), ERR_CORRUPT);
}

static void
an_unverified_segment_ends_what_can_be_compared(void **state)
{
	static struct wal_summary s[COUNT];
	struct wal_summary blank = {0};
	struct wal_join j;

	(void)state;
	load_all(s);
	wal_join_init(&j);
	assert_int_equal(wal_join_next(&j, &s[0], NULL), 0);
	assert_int_equal(wal_join_next(&j, &blank, NULL), 0);
	assert_false(j.known);
	assert_int_equal(wal_join_next(&j, &s[5], NULL), 0);
	assert_int_equal(wal_join_next(&j, &s[5], NULL), ERR_CORRUPT);
}

static void
a_record_given_up_after_a_crash_is_the_one_that_was_open(void **state)
{
	static struct wal_summary s[COUNT];
	struct wal_summary *prev = &s[0x14 - FIRST], *next = &s[0x15 - FIRST], bad;
	struct err err = {0};

	(void)state;
	load_all(s);
	assert_true(next->head.abandoned);
	assert_true(prev->tail.start != 0);
	assert_int_equal(next->head.overwritten, prev->tail.start);
	assert_int_equal(wal_join_check(prev, next, &err), 0);
	bad = *next;
	bad.head.overwritten += 8;
	assert_int_equal(wal_join_check(prev, &bad, &err), ERR_CORRUPT);
	bad = *next;
	bad.head.abandoned = false;
	assert_int_equal(wal_join_check(prev, &bad, &err), ERR_CORRUPT);
	bad = *prev;
	memset(&bad.tail, 0, sizeof(bad.tail));
	assert_int_equal(wal_join_check(&bad, next, &err), ERR_CORRUPT);
}

enum byte_class { UNSEEN, PAGE_HEADER, RECORD_HEADER, RECORD_DATA, ZERO_TAIL, OPEN_END, CLASSES };

struct map {
	uint8_t *class; /* of each byte; UNSEEN is alignment */
	lsn_t start;
	bool given_up; /* what is at the end was given up after a crash */
};

/* n bytes of WAL from a position on, page headers stepped over. */
static void
paint(struct map *m, lsn_t from, uint64_t n, size_t header, enum byte_class rest)
{
	size_t at = (size_t)(from - m->start);

	for (uint64_t i = 0; i < n && at < FIXTURE_SEGMENT; at++) {
		if (m->class[at] == PAGE_HEADER)
			continue;
		m->class[at] = (uint8_t)(i < header ? RECORD_HEADER : rest);
		i++;
	}
}

static void
paint_record(const struct wal_record_info *r, void *arg)
{
	struct map *m = arg;

	paint(m, r->lsn, r->total, WAL_RECORD_HEADER, RECORD_DATA);
	if (r->kind == WAL_RECORD_SWITCH)
		memset(m->class + (r->lsn - m->start) + 24, ZERO_TAIL, FIXTURE_SEGMENT - (size_t)(r->lsn - m->start) - 24);
}

static void
make_map(struct map *m, const uint8_t *data, const struct wal_summary *s)
{
	struct wal_walk_options opt = options_of(s->timeline, (unsigned int)(s->start / FIXTURE_SEGMENT));
	struct wal_summary again;
	size_t run = 0;

	m->class = calloc(1, FIXTURE_SEGMENT);
	m->start = s->start;
	opt.on_record = paint_record;
	opt.arg = m;
	for (size_t at = 0; at < FIXTURE_SEGMENT; at += PAGE)
		memset(m->class + at, PAGE_HEADER, at == 0 ? WAL_PAGE_LONG : WAL_PAGE_SHORT);
	assert_int_equal(fixture_walk(&opt, data, FIXTURE_SEGMENT, FIXTURE_SEGMENT, &again, NULL), 0);
	paint(m, s->start + WAL_PAGE_LONG, s->head.len, 0, OPEN_END);
	if (s->tail.start != 0)
		paint(m, s->tail.start, s->tail.have, 0, OPEN_END);
	if (s->head.zeros_follow)
		memset(m->class + 48, ZERO_TAIL, FIXTURE_SEGMENT - 48);
	for (size_t i = 0; i < FIXTURE_SEGMENT; i++) {
		run = m->class[i] == UNSEEN ? run + 1 : 0;
		assert_true(run < 8);
		if (run > 0)
			assert_int_equal(data[i], 0);
	}
}

/* A bit that means nothing: struct padding of a page header, alignment behind a record, a given-up record, BKP_REMOVABLE. */
static bool
means_nothing(const struct map *m, size_t at, unsigned int bit)
{
	size_t in_page = at % PAGE;

	if (m->class[at] == UNSEEN || (m->given_up && m->class[at] == OPEN_END))
		return true;
	return m->class[at] == PAGE_HEADER && ((in_page >= 20 && in_page < 24) || (in_page == 2 && bit == 2));
}

static void
flip_one(struct wal_summary *all, size_t i, uint8_t *data, const struct map *m, size_t at, unsigned int bit, size_t *unseen)
{
	struct wal_walk_options opt = options_of(1, FIRST + (unsigned int)i);
	static struct wal_summary kept, s;
	bool noticed;

	opt.sysid = all[i].sysid;
	data[at] ^= (uint8_t)(1 << bit);
	noticed = fixture_walk(&opt, data, FIXTURE_SEGMENT, FIXTURE_SEGMENT, &s, NULL) < 0;
	data[at] ^= (uint8_t)(1 << bit);
	/* inside a segment, the walk alone must see it; a length at the open end only the neighbour can see */
	if (!noticed && (m->class[at] == RECORD_DATA || m->class[at] == ZERO_TAIL))
		fail_msg("segment %zX, byte %zu, bit %u passed the walk", FIRST + i, at, bit);
	if (!noticed) {
		kept = all[i];
		all[i] = s;
		noticed = !s.verified || join_all(all, COUNT, NULL) < 0;
		all[i] = kept;
	}
	if (!noticed && !means_nothing(m, at, bit))
		fail_msg("segment %zX, byte %zu, bit %u, class %u passed", FIRST + i, at, bit, m->class[at]);
	*unseen += !noticed;
}

/* Every byte of both ends and of each sixteenth page header, a sample of the rest. */
static size_t
next_position(size_t at)
{
	size_t to_header = 16 * PAGE - at % (16 * PAGE);

	if (at < 200 || at + 300 > FIXTURE_SEGMENT || at % (16 * PAGE) < WAL_PAGE_SHORT)
		return at + 1;
	return to_header < 1531 ? at + to_header : at + 1531;
}

static void
a_flipped_bit_anywhere_is_noticed_by_the_walk_or_by_the_join(void **state)
{
	static const unsigned int segments[] = {0x9, 0xA, 0xC, 0xE, 0xF, 0x13, 0x14, 0x15};
	static struct wal_summary s[COUNT];
	size_t tried[CLASSES] = {0}, unseen = 0, meaningless = 0, sum = 0;

	(void)state;
	load_all(s);
	for (size_t k = 0; k < ARRAY_LEN(segments); k++) {
		size_t i = segments[k] - FIRST;
		uint8_t *data = load(1, segments[k], &s[i]);
		struct map m;

		make_map(&m, data, &s[i]);
		m.given_up = i + 1 < COUNT && s[i + 1].head.abandoned;
		for (size_t at = 0; at < FIXTURE_SEGMENT; at = next_position(at)) {
			unsigned int bit = (unsigned int)((at * 2654435761u >> 13) & 7);

			flip_one(s, i, data, &m, at, bit, &unseen);
			tried[m.class[at]]++;
			meaningless += means_nothing(&m, at, bit);
		}
		free(m.class);
		free(data);
	}
	for (size_t c = 0; c < CLASSES; c++) {
		sum += tried[c];
		print_message("class %zu: %zu flips\n", c, tried[c]);
		assert_true(c == UNSEEN || tried[c] > 100);
	}
	print_message("%zu flips, %zu unnoticed, all of them in bits that mean nothing\n", sum, unseen);
	assert_true(sum > 5000);
	assert_true(unseen <= meaningless);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_segments_of_a_timeline_join),
	    cmocka_unit_test(a_record_over_four_segments_is_summed_up),
	    cmocka_unit_test(what_others_may_read_is_enough_to_join),
	    cmocka_unit_test(the_path_into_a_new_timeline_joins),
	    cmocka_unit_test(a_lost_a_doubled_or_a_foreign_segment_does_not_join),
	    cmocka_unit_test(an_unverified_segment_ends_what_can_be_compared),
	    cmocka_unit_test(a_record_given_up_after_a_crash_is_the_one_that_was_open),
	    cmocka_unit_test(a_flipped_bit_anywhere_is_noticed_by_the_walk_or_by_the_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
