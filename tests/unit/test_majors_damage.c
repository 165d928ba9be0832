/* WAL of each supported major, damaged: nothing of it passes; and of a major that is not known yet: taken, but not believed. */
#include "majors_corpus.h"

#define SPOTS_MAX 4096

struct spots {
	size_t n, at[SPOTS_MAX]; /* offsets of bytes that belong to complete records */
};

/* A byte of the header and the last one, of records that lie on one page. */
static void
note_spots(const struct wal_record_info *r, void *arg)
{
	struct spots *s = arg;

	if (r->lsn / PAGE != (r->lsn + r->total - 1) / PAGE || s->n + 2 > SPOTS_MAX)
		return;
	s->at[s->n] = (size_t)(r->lsn % MB1) + 4 + s->n % 8;
	s->at[s->n + 1] = (size_t)((r->lsn + r->total - 1) % MB1);
	s->n += 2;
}

static void
a_flipped_bit_in_a_record_is_refused(void **state)
{
	static struct spots spots;
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];

		for (size_t k = 0; k < c->n; k++) {
			struct wal_walk_options opt;
			struct wal_summary s;
			uint8_t *data = load(c->major, 1, c->first + k, &opt, &s);

			spots.n = 0;
			opt.on_record = note_spots;
			opt.arg = &spots;
			assert_int_equal(fixture_walk(&opt, data, MB1, MB1, &s, NULL), 0);
			opt.on_record = NULL;
			for (size_t x = 0; x < spots.n; x += 1 + spots.n / 11, tried++) {
				data[spots.at[x]] ^= (uint8_t)(1U << x % 8);
				if (fixture_walk(&opt, data, MB1, MB1, &s, NULL) != ERR_CORRUPT)
					fail_msg("%u: segment %" PRIx64 ", byte %zu", c->major, c->first + k, spots.at[x]);
				data[spots.at[x]] ^= (uint8_t)(1U << x % 8);
			}
			free(data);
		}
	}
	assert_true(tried > 400);
}

static void
a_flipped_bit_in_a_record_that_runs_on_does_not_join(void **state)
{
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];

		for (size_t k = 0; k + 1 < c->n; k++) {
			struct wal_summary damaged[SEGMENTS_MAX];
			struct wal_walk_options opt;
			struct err err = {0};
			size_t spilled;
			uint8_t *data;
			bool runs_on = c->s[k].tail.start != 0 || c->s[k].n_records == 0;

			if (!runs_on || given_up(c, k) || c->s[k].head.zeros_follow)
				continue;
			memcpy(damaged, c->s, sizeof(damaged));
			data = load(c->major, 1, c->first + k, &opt, &damaged[k]);
			data[MB1 - 3] ^= 0x20;
			assert_int_equal(fixture_walk(&opt, data, MB1, MB1, &damaged[k], &err), 0);
			if (join_all(damaged, c->n, &spilled, &err) != ERR_CORRUPT)
				fail_msg("%u: segment %" PRIx64, c->major, c->first + k);
			free(data);
			tried++;
		}
	}
	assert_true(tried >= 5 * MAJORS);
}

static void
a_segment_that_was_cut_or_lost_its_switch_is_refused(void **state)
{
	static const size_t lengths[] = {0, 39, 40, PAGE, PAGE + 1, MB1 / 2, MB1 - PAGE, MB1 - 1};
	size_t switches = 0;

	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];

		for (size_t k = 0; k < c->n; k++) {
			struct wal_walk_options opt;
			struct wal_summary s;
			uint8_t *data = load(c->major, 1, c->first + k, &opt, &s);

			for (size_t x = 0; x < ARRAY_LEN(lengths); x++) {
				size_t step = lengths[x] > 0 ? lengths[x] : 1;

				assert_int_equal(fixture_walk(&opt, data, lengths[x], step, &s, NULL), ERR_CORRUPT);
			}
			if (c->s[k].contains_switch) {
				data[MB1 - 1] = 1; /* behind a switch all is zero */
				assert_int_equal(fixture_walk(&opt, data, MB1, MB1, &s, NULL), ERR_CORRUPT);
				switches++;
			}
			free(data);
		}
	}
	assert_true(switches >= 4 * MAJORS);
}

static void
the_next_major_is_stored_unverified(void **state)
{
	static const uint16_t magics[] = {0xD119, 0xD120, 0xD121, 0xD1FF};
	const struct corpus *c = &corpora[MAJORS - 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		struct wal_walk_options opt;
		struct wal_summary s;
		struct err err = {0};
		uint8_t *data = load(c->major, 1, c->first, &opt, &s);

		for (size_t at = 0; at < MB1; at += PAGE)
			memcpy(data + at, &magics[i], 2);
		assert_int_equal(fixture_walk(&opt, data, MB1, 5000, &s, &err), 0);
		assert_false(s.verified);
		assert_int_equal(s.major, 0);
		assert_int_equal(s.sysid, c->s[0].sysid);
		opt.sysid = s.sysid + 1;
		assert_int_equal(fixture_walk(&opt, data, MB1, 5000, &s, &err), ERR_REFUSED);
		free(data);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_flipped_bit_in_a_record_is_refused),
	    cmocka_unit_test(a_flipped_bit_in_a_record_that_runs_on_does_not_join),
	    cmocka_unit_test(a_segment_that_was_cut_or_lost_its_switch_is_refused),
	    cmocka_unit_test(the_next_major_is_stored_unverified),
	};

	return cmocka_run_group_tests(tests, load_all, NULL);
}
