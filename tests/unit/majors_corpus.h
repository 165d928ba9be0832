/* Timeline 1 of each major's corpus, walked: what the tests of its WAL stand on. */
#ifndef PGCAIRN_TESTS_MAJORS_CORPUS_H
#define PGCAIRN_TESTS_MAJORS_CORPUS_H

#include "majors_fixture.h"

#include <inttypes.h>

#include "pg/wal_join.h"

#define SEGMENTS_MAX 32
#define XACTS_MAX 2048
#define PAGE 8192
#define MB1 (1U << 20)

struct xact {
	uint32_t xid;
	bool committed;
	int64_t time_us;
};

/* Timeline 1 of a major, from the first segment to the last that the oracle knows. */
struct corpus {
	unsigned major;
	uint64_t first;
	size_t n;
	struct wal_summary s[SEGMENTS_MAX];
	struct xact seen[XACTS_MAX]; /* transaction ends in the order of WAL */
	size_t n_seen;
};

static struct corpus corpora[MAJORS];

static inline void
note_end(const struct wal_record_info *r, void *arg)
{
	struct corpus *c = arg;

	if (r->kind < WAL_RECORD_COMMIT || r->kind > WAL_RECORD_ABORT_PREPARED)
		return;
	assert_true(c->n_seen < XACTS_MAX && r->has_time && r->xid != 0);
	c->seen[c->n_seen++] = (struct xact){.xid = r->xid,
	    .committed = r->kind == WAL_RECORD_COMMIT || r->kind == WAL_RECORD_COMMIT_PREPARED,
	    .time_us = r->time_us};
}

static inline uint8_t *
load(unsigned major, timeline_t timeline, uint64_t segno, struct wal_walk_options *opt, struct wal_summary *s)
{
	char name[WAL_NAME_MAX];
	struct err err = {0};
	size_t len;
	uint8_t *data;

	wal_segment_name(name, timeline, segno, MB1);
	*opt = fixture_options(name, WAL_COMPLETE);
	data = majors_fixture(major, name, &len);
	assert_int_equal(len, MB1);
	if (fixture_walk(opt, data, len, len, s, &err) < 0)
		fail_msg("%u: %s: %s", major, name, err.msg);
	assert_true(s->verified);
	assert_int_equal(s->major, major);
	return data;
}

/* The segments that the oracle's first and last lines name. */
static inline void
limits(unsigned major, uint64_t *first, uint64_t *last)
{
	size_t len;
	char *text = majors_text(major, "oracle.txt", &len), *line = text;

	assert_int_equal(sscanf(line, "00000001%16" SCNx64, first), 1);
	for (char *p = text; (p = strchr(p, '\n')) != NULL && p[1] != '\0'; p++)
		line = p + 1;
	assert_int_equal(sscanf(line, "00000001%16" SCNx64, last), 1);
	assert_in_range(*last - *first + 1, 10, SEGMENTS_MAX);
	free(text);
}

static inline int
load_all(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MAJORS; i++) {
		struct corpus *c = &corpora[i];
		uint64_t last;

		c->major = PG_MAJOR_MIN + i;
		limits(c->major, &c->first, &last);
		for (uint64_t segno = c->first; segno <= last; segno++) {
			struct wal_walk_options opt;
			uint8_t *data = load(c->major, 1, segno, &opt, &c->s[c->n]);

			opt.on_record = note_end;
			opt.arg = c;
			assert_int_equal(fixture_walk(&opt, data, MB1, 4096, &c->s[c->n++], NULL), 0);
			free(data);
		}
	}
	return 0;
}

/* Was the record that runs out of segment i given up? Then nobody who reads on ever sees it. */
static inline bool
given_up(const struct corpus *c, size_t i)
{
	return i + 1 < c->n && c->s[i + 1].head.abandoned;
}

static inline int
join_all(const struct wal_summary *s, size_t n, size_t *spilled, struct err *err)
{
	struct wal_join j;
	int rc = 0;

	wal_join_init(&j);
	*spilled = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = wal_join_next(&j, &s[i], err);
		*spilled += rc == 0 && j.has_spilled;
	}
	return rc;
}

#endif
