/* High-water records: names that put the newest first, what is read back, what is not believed, and the ends that they find. */
#include "chain_fixture.h"

#include <sodium.h>

#include "base/fs.h"
#include "ops/tail.h"

#define MB ((lsn_t)1 << 20)

static void
the_newest_position_has_the_first_name(void **state)
{
	static const struct {
		timeline_t timeline;
		lsn_t lsn;
	} falling[] = {{3, MB}, {2, UINT64_C(0xffffffff00000000)}, {2, UINT64_C(0x100000000)}, {2, UINT64_C(0xfff00000)},
	    {2, 2 * MB}, {2, MB}, {1, UINT64_C(0x7700000000)}, {1, 0}};
	char names[ARRAY_LEN(falling)][OBJECT_NAME_MAX];
	struct high_water h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(falling); i++) {
		assert_int_equal(layout_high_water(names[i], 7, falling[i].timeline, falling[i].lsn, NULL), 0);
		assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
		assert_true(high_water_name_parse(names[i], &h));
		assert_true(h.sysid == 7 && h.timeline == falling[i].timeline && h.lsn == falling[i].lsn);
	}
}

static void
other_names_are_none(void **state)
{
	static const char *const wrong[] = {"", "high-water", "high-water/", "high-water/7", "high-water/7/",
	    "high-water/7/FFFFFFFE/FFFFFFFF/FFEFFFF", "high-water/7/FFFFFFFE/FFFFFFFF/FFEFFFFFF",
	    "high-water/7/fffffffe/FFFFFFFF/FFEFFFFF", "high-water/7/FFFFFFFF/FFFFFFFF/FFEFFFFF",
	    "high-water/07/FFFFFFFE/FFFFFFFF/FFEFFFFF", "high-water/0/FFFFFFFE/FFFFFFFF/FFEFFFFF",
	    "high-water/18446744073709551616/FFFFFFFE/FFFFFFFF/FFEFFFFF", "high-water/7/FFFFFFFE-FFFFFFFF/FFEFFFFF",
	    "high-water/7/FFFFFFFE/FFFFFFFF/FFEFFFFF/x", "low-water/7/FFFFFFFE/FFFFFFFF/FFEFFFFF",
	    "high-water/7/ FFFFFFE/FFFFFFFF/FFEFFFFF"};
	struct high_water h;

	(void)state;
	assert_true(high_water_name_parse("high-water/7/FFFFFFFE/FFFFFFFF/FFEFFFFF", &h));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (high_water_name_parse(wrong[i], &h))
			fail_msg("'%s' was taken for a name", wrong[i]);
}

static struct high_water
sample(struct world *w, timeline_t timeline, lsn_t lsn)
{
	struct high_water h = {
	    .sysid = w->sysid, .timeline = timeline, .lsn = lsn, .time_us = INT64_C(1769871540000000), .host = "db1"};

	return h;
}

static void
hold(struct high_water *h, const struct repository *r)
{
	memcpy(h->holders[h->n].id, r->id, sizeof(r->id));
	memcpy(h->holders[h->n++].name, r->name, sizeof(r->name));
}

static void
a_record_is_read_back_and_refused_without_any_of_its_members(void **state)
{
	static const char *const members[] = {"system_identifier", "timeline", "lsn", "time", "host", "repositories"};
	static const struct {
		const char *member, *value;
	} wrong[] = {{"system_identifier", "\"0\""}, {"timeline", "0"}, {"timeline", "4294967296"}, {"lsn", "\"1\""},
	    {"time", "\"now\""}, {"time", "\"2026-01-31T14:59:00Z 2026-01-31T14:59:00Z\""}, {"repositories", "{}"},
	    {"repositories", "[1]"}, {"repositories", "[{\"id\":\"ab\",\"name\":\"a\"}]"},
	    {"repositories", "[{\"name\":\"a\"}]"}};
	struct high_water h = {.sysid = UINT64_MAX,
			      .timeline = 7,
			      .lsn = UINT64_C(0x1234500000),
			      .time_us = 1000000,
			      .host = "db\x1b[1"},
			  back;
	struct err err = {0};

	(void)state;
	h.n = 1;
	memcpy(h.holders[0].id, "00112233445566778899aabbccddeeff", 33);
	memcpy(h.holders[0].name, "near", 5);
	for (size_t i = 0; i <= ARRAY_LEN(members) + ARRAY_LEN(wrong); i++) {
		JSON_AUTO json_t *o = json_object();

		must(high_water_encode(&h, o, &err), &err);
		if (i == 0) {
			must(high_water_decode(&back, o, &err), &err);
			assert_string_equal(back.host, "db?[1"); /* no terminal is moved by it */
			memcpy(back.host, h.host, sizeof(h.host));
			assert_memory_equal(&back, &h, sizeof(h));
		} else if (i <= ARRAY_LEN(members)) {
			json_object_del(o, members[i - 1]);
			must_fail(high_water_decode(&back, o, &err), ERR_CORRUPT, &err, members[i - 1]);
		} else {
			size_t k = i - 1 - ARRAY_LEN(members);

			json_object_set_new(o, wrong[k].member, json_loads(wrong[k].value, JSON_DECODE_ANY, NULL));
			must_fail(high_water_decode(&back, o, &err), ERR_CORRUPT, &err, wrong[k].value);
		}
	}
}

static void
write_to(struct world *w, const char *only, const struct high_water *h)
{
	struct writer *writer = world_writer(w);
	FANOUT_AUTO struct fanout *f = world_fanout(w, writer);
	struct err err = {0}, out = {.kind = ERR_IO, .msg = "left out"};

	for (size_t i = 0; i < f->n; i++)
		if (only != NULL && strcmp(f->targets[i].name, only) != 0)
			fanout_fail(f, i, &out);
	must(high_water_write(writer, f, h, &err), &err);
	writer_free(writer);
}

static bool
note(const struct high_water *h, void *arg)
{
	struct high_water *out = arg;

	*out = *h;
	return false;
}

static bool
count(const struct high_water *h, void *arg)
{
	(void)h;
	++*(unsigned *)arg;
	return true;
}

static void
the_newest_is_found_by_reading_one(void **state)
{
	struct world w;
	struct high_water newest = {0};
	struct high_water_reading reading;
	struct repository *r;
	unsigned n = 0;
	struct err err = {0};

	(void)state;
	world_open(&w, &(struct world_options){0});
	r = world_repository(&w, "a");
	must(high_water_read(r, w.sysid, note, &newest, &reading, &err), &err);
	assert_int_equal(reading.read, 0);
	for (lsn_t at = 1; at <= HIGH_WATER_READ_MAX + 9; at++)
		write_to(&w, NULL, &(struct high_water){.sysid = w.sysid, .timeline = 1, .lsn = at * MB, .host = "db1"});
	write_to(&w, NULL, &(struct high_water){.sysid = w.sysid, .timeline = 2, .lsn = 5 * MB, .host = "db1"});
	write_to(&w, NULL, &(struct high_water){.sysid = w.sysid, .timeline = 2, .lsn = 5 * MB, .host = "again"});
	assert_int_equal(world_count(&w, "a", "high-water/"), HIGH_WATER_READ_MAX + 10);
	must(high_water_read(r, w.sysid, note, &newest, &reading, &err), &err);
	assert_int_equal(reading.read, 1);
	assert_true(newest.timeline == 2 && newest.lsn == 5 * MB);
	assert_string_equal(newest.host, "db1"); /* the first of a position stays */
	must(high_water_read(r, w.sysid, count, &n, &reading, &err), &err);
	assert_int_equal(n, HIGH_WATER_READ_MAX);
	must(high_water_read(r, w.sysid + 1, note, &newest, &reading, &err), &err);
	assert_int_equal(reading.read, 0);
	repository_free(r);
	world_close(&w);
}

enum spoil { FLIPPED, CUT, EMPTY, STRANGER, FOREIGN_CLUSTER, OTHER_KIND, MOVED };

/* A record at this position that nobody should believe. */
static void
put_unbelievable(struct world *w, enum spoil how, lsn_t lsn)
{
	struct high_water h = sample(w, 1, lsn), said = h;
	struct repository *r = world_repository(w, "a");
	struct writer *writer = world_writer(w);
	JSON_AUTO json_t *o = json_object();
	char name[OBJECT_NAME_MAX];
	struct signing_key stranger = {.secret = secret_new()};
	struct err err = {0};

	crypto_sign_keypair(stranger.public_key, stranger.secret->bytes);
	if (how == MOVED)
		said.lsn = MB;
	if (how == FOREIGN_CLUSTER)
		r->cluster[0] ^= 1;
	must(high_water_encode(&said, o, &err), &err);
	must(layout_high_water(name, h.sysid, h.timeline, h.lsn, &err), &err);
	must(repository_put_record(r, name, how == OTHER_KIND ? OBJECT_RECORD : OBJECT_HIGH_WATER, o,
		 how == STRANGER ? &stranger : &writer->signing, &err),
	    &err);
	if (how == FLIPPED)
		world_flip(world_object(w, "a", name), -200);
	if (how == CUT || how == EMPTY) {
		assert_int_equal(chmod(world_object(w, "a", name), 0600), 0);
		assert_int_equal(truncate(world_object(w, "a", name), how == EMPTY ? 0 : 100), 0);
	}
	signing_key_free(&stranger);
	writer_free(writer);
	repository_free(r);
}

static void
what_cannot_be_believed_is_counted_and_passed_over(void **state)
{
	static const enum spoil ways[] = {FLIPPED, CUT, EMPTY, STRANGER, FOREIGN_CLUSTER, OTHER_KIND, MOVED};
	struct world w;

	(void)state;
	world_open(&w, &(struct world_options){0});
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct high_water newest = {0};
		struct high_water_reading reading;
		struct repository *r = world_repository(&w, "a");
		struct err err = {0};

		w.sysid = 1000 + i; /* each way has a folder of its own */
		write_to(&w, NULL, &(struct high_water){.sysid = w.sysid, .timeline = 1, .lsn = 3 * MB, .host = "db1"});
		put_unbelievable(&w, ways[i], 9 * MB);
		must(high_water_read(r, w.sysid, note, &newest, &reading, &err), &err);
		if (reading.unbelievable != 1 || reading.read != 2 || newest.lsn != 3 * MB || reading.why.msg[0] == '\0')
			fail_msg("way %zu: %u of %u, newest %llx", i, reading.unbelievable, reading.read,
			    (unsigned long long)newest.lsn);
		repository_free(r);
	}
	world_close(&w);
}

struct end {
	timeline_t timeline;
	lsn_t end;
};

static void
ends_are_compared_with_what_each_repository_held(void **state)
{
	static const struct {
		const char *what;
		struct {
			char in; /* the repository where the record lies; 0: none */
			timeline_t timeline;
			lsn_t lsn;
			const char *holders;
		} marks[3];
		struct end ends[2]; /* of a and b */
		bool lost[2], reached;
	} rows[] = {
	    {"no record at all", {{0}}, {{1, 3 * MB}, {1, MB}}, {false, false}, true},
	    {"all is there", {{'a', 1, 3 * MB, "ab"}, {'b', 1, 3 * MB, "ab"}}, {{1, 3 * MB}, {1, 4 * MB}}, {false, false},
		true},
	    {"one was cut, its own record tells", {{'a', 1, 3 * MB, "ab"}}, {{1, 2 * MB}, {1, 3 * MB}}, {true, false}, true},
	    {"one was cut, the other's record tells", {{'b', 1, 3 * MB, "ab"}}, {{1, 2 * MB}, {1, 3 * MB}}, {true, false},
		true},
	    {"both were cut", {{'b', 1, 3 * MB, "ab"}}, {{1, 2 * MB}, {1, 2 * MB}}, {true, true}, false},
	    {"everything of one is gone", {{'b', 1, 3 * MB, "ab"}}, {{0, 0}, {1, 3 * MB}}, {true, false}, true},
	    {"one that was down is behind, not cut", {{'b', 1, 9 * MB, "b"}}, {{1, 2 * MB}, {1, 9 * MB}}, {false, false}, true},
	    {"one that was down, and cut before", {{'b', 1, 9 * MB, "b"}, {'b', 1, 3 * MB, "ab"}}, {{1, 2 * MB}, {1, 9 * MB}},
		{true, false}, true},
	    {"the one that alone had it is not there any more", {{'a', 1, 9 * MB, "c"}}, {{1, 2 * MB}, {1, 3 * MB}},
		{false, false}, false},
	    {"life went on on a later timeline", {{'a', 1, 9 * MB, "ab"}}, {{2, 3 * MB}, {2, 3 * MB}}, {false, false}, true},
	    {"the later timeline was cut away whole", {{'a', 2, 3 * MB, "ab"}}, {{1, 9 * MB}, {2, 3 * MB}}, {true, false},
		true},
	    {"an old record of a later timeline", {{'a', 2, MB, "ab"}, {'a', 1, 9 * MB, "ab"}}, {{2, MB}, {2, MB}},
		{false, false}, true},
	};

	struct world w;

	(void)state;
	world_open(&w, &(struct world_options){.repositories = 2});
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tail list[2] = {{0}};
		struct tails t;
		struct err err = {0};

		w.sysid = 1000 + i; /* each row has a folder of its own */
		list[0].repo = world_repository(&w, "a");
		list[1].repo = world_repository(&w, "b");
		for (size_t k = 0; k < 2; k++) {
			list[k].timeline = rows[i].ends[k].timeline;
			list[k].end = rows[i].ends[k].end;
		}
		for (size_t k = 0; k < 3 && rows[i].marks[k].in != 0; k++) {
			struct high_water h = sample(&w, rows[i].marks[k].timeline, rows[i].marks[k].lsn);
			char in[] = {rows[i].marks[k].in, '\0'};

			for (const char *c = rows[i].marks[k].holders; *c != '\0'; c++) {
				struct repository other = {.id = "ffffffffffffffffffffffffffffffff", .name = "c"};

				hold(&h, *c == 'c' ? &other : list[*c - 'a'].repo);
			}
			write_to(&w, in, &h);
		}
		must(tails_compare(list, 2, w.sysid, &t, &err), &err);
		if (list[0].lost != rows[i].lost[0] || list[1].lost != rows[i].lost[1] || t.reached != rows[i].reached)
			fail_msg("%s: lost %d %d, reached %d", rows[i].what, list[0].lost, list[1].lost, t.reached);
		repository_free(list[0].repo);
		repository_free(list[1].repo);
	}
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_newest_position_has_the_first_name),
	    cmocka_unit_test(other_names_are_none),
	    cmocka_unit_test(a_record_is_read_back_and_refused_without_any_of_its_members),
	    cmocka_unit_test(the_newest_is_found_by_reading_one),
	    cmocka_unit_test(what_cannot_be_believed_is_counted_and_passed_over),
	    cmocka_unit_test(ends_are_compared_with_what_each_repository_held),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
