/* WAL of each supported major, as its servers wrote it: accepted, joined, summed up as the oracles say, and refused when
 * damaged. */
#include "majors_corpus.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "pg/timeline.h"

static void
compare_line(const struct corpus *c, const char *line)
{
	char name[32], first_text[24], last_text[24];
	uint64_t n, ends, tail, segno;
	const struct wal_summary *s;
	lsn_t first, last;

	assert_int_equal(sscanf(line, "%31s %" SCNu64 " %" SCNu64 " %23s %23s", name, &n, &ends, first_text, last_text), 5);
	assert_true(lsn_parse(first_text, &first) && lsn_parse(last_text, &last));
	segno = first / MB1;
	assert_in_range(segno, c->first, c->first + c->n - 1);
	s = &c->s[segno - c->first];
	tail = s->tail.start != 0 && !given_up(c, (size_t)(segno - c->first));
	if (s->n_records + tail != n || s->commit_count != ends || s->first_record != first ||
	    (tail ? s->tail.start : s->last_record) != last)
		fail_msg("%u: %s: %" PRIu64 " records, %" PRIu64 " ends, the oracle says: %s", c->major, name,
		    s->n_records + tail, s->commit_count, line);
}

static void
records_are_those_that_an_independent_reader_sees(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		size_t len, rows = 0;
		char *text = majors_text(corpora[i].major, "oracle.txt", &len);

		for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
			compare_line(&corpora[i], line);
			rows++;
		}
		assert_true(rows >= 9);
		free(text);
	}
}

static const struct xact *
find(const struct corpus *c, uint32_t xid)
{
	for (size_t i = 0; i < c->n_seen; i++)
		if (c->seen[i].xid == xid)
			return &c->seen[i];
	return NULL;
}

/* A subtransaction has no record of its own and the time of its parent. */
static bool
committed_at(const struct corpus *c, int64_t us)
{
	for (size_t i = 0; i < c->n_seen; i++)
		if (c->seen[i].committed && c->seen[i].time_us == us)
			return true;
	return false;
}

static void
transactions_and_their_times_are_those_that_the_server_knows(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];
		uint32_t newest = c->seen[c->n_seen - 1].xid, oldest = 0;
		size_t len, earlier = 0, subs = 0, committed = 0, aborted = 0, points = 0;
		char *text = majors_text(c->major, "xacts.txt", &len);

		for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
			char fate[16], lsn_text[24];
			int64_t us;
			uint32_t xid;
			lsn_t behind;

			if (sscanf(line, "point %23s", lsn_text) == 1) {
				assert_true(lsn_parse(lsn_text, &behind));
				points += behind != 0;
				continue;
			}
			assert_int_equal(sscanf(line, "%" SCNu32 " %15s %" SCNd64, &xid, fate, &us), 3);
			if (oldest == 0)
				oldest = xid;
			if (xid > newest) /* behind the corpus */
				continue;
			if (strcmp(fate, "committed") == 0) {
				const struct xact *x = find(c, xid);

				subs += x == NULL && committed_at(c, us);
				if (x == NULL ? !committed_at(c, us) : !x->committed || x->time_us != us)
					fail_msg("%u: %s", c->major, line);
				committed += x != NULL;
			} else if (find(c, xid) != NULL) {
				assert_false(find(c, xid)->committed);
				aborted++;
			}
		}
		for (size_t k = 0; k < c->n_seen; k++)
			earlier += c->seen[k].xid < oldest;
		assert_true(earlier <= 1); /* the one that asked for the number */
		assert_int_equal(earlier + committed + aborted, c->n_seen);
		assert_int_equal(subs, 1);
		assert_true(committed > 300 && aborted >= 3 && points == 1);
		free(text);
	}
}

static void
a_restore_point_is_where_the_server_put_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];
		size_t len, found = 0;
		char *text = majors_text(c->major, "xacts.txt", &len), *line = strstr(text, "point "), lsn_text[24], name[64];
		lsn_t behind;

		assert_non_null(line);
		assert_int_equal(sscanf(line, "point %23s %63[^\n]", lsn_text, name), 2);
		assert_true(lsn_parse(lsn_text, &behind));
		for (size_t k = 0; k < c->n; k++)
			if (c->s[k].point_count == 1) {
				assert_string_equal(c->s[k].points[0].name, name);
				assert_true(c->s[k].points[0].lsn < behind && behind - c->s[k].points[0].lsn < 200);
				found++;
			}
		assert_int_equal(found, 1);
		free(text);
	}
}

static void
neighbours_are_proved_to_join_even_over_a_record_that_was_given_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];
		size_t spilled, given = 0, whole_heads = 0;
		struct err err = {0};

		if (join_all(c->s, c->n, &spilled, &err) < 0)
			fail_msg("%u: %s", c->major, err.msg);
		for (size_t k = 0; k < c->n; k++) {
			whole_heads += c->s[k].n_records == 0;
			if (!given_up(c, k))
				continue;
			assert_int_equal(c->s[k + 1].head.overwritten, c->s[k].tail.start);
			given++;
		}
		/* the big message, the headers that were split after 16 and 8 bytes, the switch */
		assert_int_equal(spilled, 4);
		assert_int_equal(given, 1);
		assert_in_range(whole_heads, 2, 4);
		for (size_t lost = 1; lost + 1 < c->n; lost++) {
			struct wal_summary rest[SEGMENTS_MAX];

			memcpy(rest, c->s, lost * sizeof(*rest));
			memcpy(rest + lost, c->s + lost + 1, (c->n - lost - 1) * sizeof(*rest));
			assert_int_equal(join_all(rest, c->n - 1, &spilled, &err), ERR_CORRUPT);
		}
	}
}

static void
the_path_into_the_promoted_timeline_joins_and_its_partial_ends_at_the_fork(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];
		TIMELINE_HISTORY_AUTO struct timeline_history h = {0};
		struct wal_summary s[4], p;
		struct wal_walk_options opt;
		struct err err = {0};
		size_t len, spilled;
		char *text = majors_text(c->major, "00000002.history", &len), name[WAL_NAME_MAX + 8];
		uint8_t *partial;
		uint64_t segno;
		lsn_t fork;

		assert_int_equal(timeline_history_parse(&h, 2, text, len, &err), 0);
		free(text);
		fork = h.entries[0].switch_lsn;
		segno = fork / MB1;
		s[0] = c->s[segno - 1 - c->first];
		for (unsigned k = 0; k < 3; k++)
			free(load(c->major, 2, segno + k, &opt, &s[k + 1]));
		assert_int_equal(s[1].first_page_timeline, 1);
		assert_int_equal(s[2].first_page_timeline, 2);
		if (join_all(s, 4, &spilled, &err) < 0)
			fail_msg("%u: %s", c->major, err.msg);
		s[1] = c->s[segno - c->first]; /* the old timeline's own end is not where the new one goes on */
		assert_int_equal(join_all(s, 4, &spilled, &err), ERR_CORRUPT);

		(void)wal_segment_name(name, 1, segno, MB1);
		strncat(name, ".partial", 9);
		opt = fixture_options(name, WAL_PARTIAL);
		partial = majors_fixture(c->major, name, &len);
		assert_int_equal(fixture_walk(&opt, partial, len, 1000, &p, &err), 0);
		assert_int_equal(p.end, fork);
		assert_true(p.n_records > 100);
		opt.mode = WAL_COMPLETE;
		assert_int_equal(fixture_walk(&opt, partial, len, 1000, &p, &err), ERR_CORRUPT);
		free(partial);
	}
}

static void
segments_of_16_mb_are_seen_as_the_oracle_sees_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		size_t len, rows = 0;
		char *text = majors_text(corpora[i].major, "oracle-16.txt", &len);

		for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
			char name[32], file[64];
			uint64_t n, ends;
			struct wal_summary s;
			struct wal_walk_options opt;
			struct err err = {0};
			uint8_t *data;

			assert_int_equal(sscanf(line, "%31s %" SCNu64 " %" SCNu64, name, &n, &ends), 3);
			(void)snprintf(file, sizeof(file), "16-%s", name);
			data = majors_fixture(corpora[i].major, file, &len);
			opt = fixture_options(name, WAL_COMPLETE);
			if (fixture_walk(&opt, data, len, 65536, &s, &err) < 0)
				fail_msg("%u: %s: %s", corpora[i].major, name, err.msg);
			assert_int_equal(s.segment_size, 16 << 20);
			assert_int_equal(s.n_records + (s.tail.start != 0), n);
			assert_int_equal(s.commit_count, ends);
			free(data);
			rows++;
		}
		assert_in_range(rows, 2, 8);
		free(text);
	}
}

static void
wal_level_minimal_is_flagged(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAJORS; i++) {
		const struct corpus *c = &corpora[i];
		struct wal_walk_options opt;
		struct wal_summary s;
		struct err err = {0};
		size_t len;
		uint8_t *data = majors_fixture(c->major, "minimal.partial", &len);
		char name[WAL_NAME_MAX];

		wal_segment_name(name, 1, le64_get(data + 8) / MB1, MB1); /* which one, its first page says */
		opt = fixture_options(name, WAL_PARTIAL);
		if (fixture_walk(&opt, data, len, len, &s, &err) < 0)
			fail_msg("%u: %s", c->major, err.msg);
		assert_true(s.wal_level_minimal);
		free(data);
		for (size_t k = 0; k < c->n; k++)
			assert_false(c->s[k].wal_level_minimal);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_are_those_that_an_independent_reader_sees),
	    cmocka_unit_test(transactions_and_their_times_are_those_that_the_server_knows),
	    cmocka_unit_test(a_restore_point_is_where_the_server_put_it),
	    cmocka_unit_test(neighbours_are_proved_to_join_even_over_a_record_that_was_given_up),
	    cmocka_unit_test(the_path_into_the_promoted_timeline_joins_and_its_partial_ends_at_the_fork),
	    cmocka_unit_test(segments_of_16_mb_are_seen_as_the_oracle_sees_them),
	    cmocka_unit_test(wal_level_minimal_is_flagged),
	};

	return cmocka_run_group_tests(tests, load_all, NULL);
}
