/* The WAL epoch: who shares it, when it ends, and that a key is there before anything that needs it. */
#include "world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "repo/keyring.h"

#define DAY_US (INT64_C(86400) * 1000000)

static int64_t fake_us;

static int64_t
fake_now(void)
{
	return fake_us;
}

static int64_t
fake_monotonic(void)
{
	return 1;
}

static void
fake_sleep(int64_t ms)
{
	(void)ms;
}

static void
fake_random(void *data, size_t len)
{
	static uint8_t next;

	memset(data, ++next, len);
}

static const char *
fake_env(const char *name)
{
	return getenv(name);
}

static const struct clock_ops fake_clock = {fake_now, fake_monotonic, fake_sleep, fake_random, fake_env};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	fake_us = INT64_C(1767225600) * 1000000;
	clock_replace(&fake_clock);
	world_open(w, &(struct world_options){.repositories = 2});
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	clock_replace(NULL);
	world_close(*state);
	free(*state);
	return 0;
}

/* A new process asks for the epoch of a segment. Only repositories whose bit is set are open. */
static int
ask_some(struct world *w, timeline_t timeline, uint64_t segno, unsigned mask, struct epoch *out, struct err *err)
{
	WRITER_AUTO struct writer *writer = world_writer(w);
	FANOUT_AUTO struct fanout *f = world_fanout(w, writer);
	static const struct err left_out = {.kind = ERR_IO, .msg = "left out"};

	for (size_t i = 0; i < f->n; i++)
		if ((mask & 1U << i) == 0)
			fanout_fail(f, i, &left_out);
	return writer_wal_epoch(writer, f, out, w->sysid, timeline, segno, err);
}

static struct epoch
ask(struct world *w, timeline_t timeline, uint64_t segno)
{
	struct epoch e;
	struct err err = {0};

	must(ask_some(w, timeline, segno, 3, &e, &err), &err);
	return e;
}

static bool
same(struct epoch a, struct epoch b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static void
successive_processes_share_an_epoch(void **state)
{
	struct world *w = *state;
	struct epoch first = ask(w, 1, 100), again = ask(w, 1, 101);

	assert_true(same(first, again));
	assert_true(same(first, ask(w, 1, 100)));
	for (int i = 0; i < 2; i++)
		assert_int_equal(world_count(w, i == 0 ? "a" : "b", "keys/"), 1);
}

static void
an_epoch_ends_when_it_must(void **state)
{
	static const struct {
		const char *what;
		int64_t later_us;
		timeline_t timeline;
		uint64_t segno;
		bool shared;
	} rows[] = {
	    {"the same moment", 0, 1, 100, true},
	    {"the last microsecond of the day", DAY_US - 1, 1, 100, true},
	    {"a day later", DAY_US, 1, 100, false},
	    {"ten years later", 3653 * DAY_US, 1, 100, false},
	    {"the clock was set back", -1, 1, 100, false},
	    {"the clock was set back by a day", -DAY_US, 1, 100, false},
	    {"the clock was set back to 1970", -INT64_C(1767225600) * 1000000, 1, 100, false},
	    {"the last segment", 0, 1, 100 + 1023, true},
	    {"one segment more", 0, 1, 100 + 1024, false},
	    {"an earlier segment", 0, 1, 99, false},
	    {"far away", 0, 1, UINT64_C(1) << 43, false},
	    {"another timeline", 0, 2, 100, false},
	};
	struct world *w = *state;
	int64_t start = fake_us;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct epoch first, next;
		struct err err = {0};
		WRITER_AUTO struct writer *writer = world_writer(w);

		fake_us = start;
		must(writer_end_wal_epoch(writer, &err), &err);
		must(writer_end_wal_epoch(writer, &err), &err); /* none is open: success */
		first = ask(w, 1, 100);
		fake_us = start + rows[i].later_us;
		next = ask(w, rows[i].timeline, rows[i].segno);
		if (same(first, next) != rows[i].shared)
			fail_msg("%s: %s", rows[i].what, rows[i].shared ? "a new epoch" : "the old epoch");
	}
}

static const char *
state_file(struct world *w)
{
	return world_path(w, "state/epochs/c.json");
}

/* Whatever is in the state file: an epoch comes out whose key is in the repositories. */
static void
bad_state_costs_one_key_object(void **state)
{
	static const struct {
		const char *member, *value;
	} rows[] = {
	    {NULL, ""},
	    {NULL, "{}"},
	    {NULL, "[]"},
	    {NULL, "{\"key\":"},
	    {"created_us", "-9223372036854775808"},
	    {"created_us", "9223372036854775807"},
	    {"created_us", "\"yesterday\""},
	    {"system_identifier", "\"x\""},
	    {"system_identifier", "\"1\""},
	    {"timeline", "0"},
	    {"timeline", "4294967296"},
	    {"first_segment", "-1"},
	    {"first_segment", "9223372036854775807"},
	    {"published", "{}"},
	    {"key", "[]"},
	    {"key", "{}"},
	    {"key", "{\"public\":\"00\",\"key_id\":\"00\",\"sealed\":[]}"},
	};
	struct world *w = *state;
	struct epoch first = ask(w, 1, 100);
	BUF_AUTO struct buf good = {0};
	struct err err = {0};

	must(fs_read_file(state_file(w), 65536, &good, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		JSON_AUTO json_t *o = NULL;
		BUF_AUTO struct buf text = {0};

		must(json_read(&o, good.data, good.len, "state", &err), &err);
		if (rows[i].member != NULL) {
			json_object_set_new(o, rows[i].member, json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
			must(json_write(o, &text, &err), &err);
		} else {
			must(buf_append(&text, rows[i].value, strlen(rows[i].value), &err), &err);
		}
		must(fs_write_file(state_file(w), text.data, text.len, 0600, FS_REPLACE, &err), &err);
		assert_false(same(first, ask(w, 1, 100)));
	}
	assert_int_equal(world_count(w, "a", "keys/"), 1 + ARRAY_LEN(rows));
	assert_int_equal(world_count(w, "b", "keys/"), 1 + ARRAY_LEN(rows));
}

static void
lost_state_makes_a_new_epoch_and_state_that_cannot_be_written_does_not_stop_archiving(void **state)
{
	struct world *w = *state;
	struct epoch first = ask(w, 1, 100), second;

	assert_int_equal(unlink(state_file(w)), 0);
	second = ask(w, 1, 100);
	assert_false(same(first, second));
	assert_int_equal(unlink(state_file(w)), 0);
	assert_int_equal(mkdir(state_file(w), 0700), 0);
	assert_false(same(second, ask(w, 1, 100)));
	assert_false(same(second, ask(w, 1, 100)));
	assert_int_equal(world_count(w, "a", "keys/"), 4);
}

static void
a_repository_that_was_away_gets_the_key_before_its_first_object(void **state)
{
	struct world *w = *state;
	struct epoch first, next;
	struct err err = {0};

	must(ask_some(w, 1, 100, 1, &first, &err), &err);
	assert_int_equal(world_count(w, "a", "keys/"), 1);
	assert_int_equal(world_count(w, "b", "keys/"), 0);
	next = ask(w, 1, 101);
	assert_true(same(first, next));
	assert_int_equal(world_count(w, "b", "keys/"), 1);
	assert_string_equal(world_first(w, "a", "keys/"), world_first(w, "b", "keys/"));
}

/* A process died between putting the key and saying so. */
static void
a_key_that_is_there_already_is_taken_as_published(void **state)
{
	struct world *w = *state;
	struct epoch first = ask(w, 1, 100), next;
	BUF_AUTO struct buf text = {0};
	JSON_AUTO json_t *o = NULL;
	struct err err = {0};

	must(fs_read_file(state_file(w), 65536, &text, &err), &err);
	must(json_read(&o, text.data, text.len, "state", &err), &err);
	json_object_set_new(o, "published", json_array());
	buf_reset(&text);
	must(json_write(o, &text, &err), &err);
	must(fs_write_file(state_file(w), text.data, text.len, 0600, FS_REPLACE, &err), &err);
	next = ask(w, 1, 100);
	assert_true(same(first, next));
	assert_int_equal(world_count(w, "a", "keys/"), 1);
	buf_reset(&text);
	must(fs_read_file(state_file(w), 65536, &text, &err), &err);
	assert_non_null(strstr(buf_text(&text), "\"published\":[\""));
}

static void
other_recipients_end_the_epoch(void **state)
{
	struct world *w = *state;
	WRITER_AUTO struct writer *writer = world_writer(w);
	FANOUT_AUTO struct fanout *f = world_fanout(w, writer);
	struct epoch first, next;
	struct err err = {0};

	must(writer_wal_epoch(writer, f, &first, w->sysid, 1, 100, &err), &err);
	memcpy(writer->recipients.list[1].key, writer->signing.public_key, KEY_BYTES); /* any other point */
	writer->recipients.n = 2;
	must(writer_wal_epoch(writer, f, &next, w->sysid, 1, 100, &err), &err);
	assert_false(same(first, next));
	must(writer_wal_epoch(writer, f, &first, w->sysid, 1, 101, &err), &err);
	assert_true(same(first, next));
	writer->recipients.n = 1;
	must(writer_wal_epoch(writer, f, &first, w->sysid, 1, 101, &err), &err);
	assert_false(same(first, next));
	must(writer_wal_epoch(writer, f, &next, w->sysid + 1, 1, 101, &err), &err); /* another cluster, after pg_upgrade */
	assert_false(same(first, next));
}

static void
without_a_repository_for_the_key_there_is_no_epoch(void **state)
{
	struct world *w = *state;
	struct epoch e;
	struct err err = {0};

	must(fs_write_file(world_object(w, "a", "keys"), "", 0, 0600, FS_REPLACE, &err), &err); /* not a folder */
	must_fail(ask_some(w, 1, 100, 1, &e, &err), ERR_CORRUPT, &err, "keys/ is a file");
	must(ask_some(w, 1, 100, 3, &e, &err), &err);
	assert_int_equal(world_count(w, "b", "keys/"), 1);
}

/* ---- keys before data ---- */

static struct {
	const struct store_ops *real;
	char key[STORE_KEY_MAX]; /* where the epoch's key must stand */
	unsigned data_puts;
} watched;

/* When a segment is about to be put, its key must be there already, visible to others. */
static int
watch_put(struct store *s, const char *key, struct sink **out, struct err *err)
{
	struct store_stat st;

	if (strstr(key, "/wal/") != NULL) {
		watched.data_puts++;
		must(watched.real->stat(s, watched.key, &st, err), err);
	}
	return watched.real->put(s, key, out, err);
}

static void
the_key_stands_in_every_repository_before_the_segment(void **state)
{
	struct world *w = *state;
	WRITER_AUTO struct writer *writer = world_writer(w);
	FANOUT_AUTO struct fanout *f = world_fanout(w, writer);
	WRITER_OBJECT_AUTO struct writer_object o = {0};
	char name[OBJECT_NAME_MAX];
	struct store_ops ops;
	struct epoch e;
	struct err err = {0};

	must(writer_wal_epoch(writer, f, &e, w->sysid, 1, 16, &err), &err);
	must(layout_epoch_key(name, e.key_id, 0, &err), &err);
	must(layout_key(watched.key, "c", name, &err), &err);
	watched.real = f->targets[0].repo->store->ops;
	ops = *watched.real;
	ops.put = watch_put;
	for (size_t i = 0; i < f->n; i++)
		f->targets[i].repo->store->ops = &ops;
	must(writer_start(writer, f, &o, OBJECT_WAL, "wal/1/x", &e, NULL, NULL, &err), &err);
	assert_int_equal(watched.data_puts, 2);
	for (size_t i = 0; i < f->n; i++)
		f->targets[i].repo->store->ops = watched.real;
}

static void
where_the_key_cannot_be_put_no_segment_appears(void **state)
{
	struct world *w = *state;
	struct err err = {0};

	must(fs_write_file(world_object(w, "a", "keys"), "", 0, 0600, FS_CREATE_ONLY, &err), &err); /* not a folder */
	must(world_archive(w, "000000010000000000000010", &err), &err);                             /* b alone is enough */
	assert_int_equal(access(world_object(w, "a", "wal"), F_OK), -1);
	assert_int_equal(world_count(w, "b", "wal/"), 1);
	assert_int_equal(unlink(world_object(w, "a", "keys")), 0);
	must(world_archive(w, "000000010000000000000010", &err), &err); /* the retry copies key and segment */
	assert_int_equal(world_count(w, "a", "keys/"), 1);
	assert_int_equal(world_count(w, "a", "wal/"), 1);
	assert_string_equal(world_first(w, "a", "keys/"), world_first(w, "b", "keys/"));
}

static void
a_backup_has_an_epoch_of_its_own(void **state)
{
	struct world *w = *state;
	WRITER_AUTO struct writer *writer = world_writer(w);
	FANOUT_AUTO struct fanout *f = world_fanout(w, writer);
	KEYRING_AUTO struct keyring *ring = world_keyring(w);
	struct epoch wal = ask(w, 1, 100), one, two;
	struct err err = {0};

	must(writer_new_epoch(writer, f, "backup", &one, &err), &err);
	must(writer_new_epoch(writer, f, "backup", &two, &err), &err);
	assert_false(same(one, two));
	assert_false(same(one, wal));
	assert_true(same(wal, ask(w, 1, 100)));
	assert_int_equal(world_count(w, "b", "keys/"), 3);
	must(keyring_need(ring, f->targets[1].repo, two.key_id, &err), &err);
	two.key_id[0] ^= 1;
	must_fail(keyring_need(ring, f->targets[1].repo, two.key_id, &err), ERR_CORRUPT, &err, "a key that nobody has");
	assert_non_null(strstr(err.msg, "has lost the key"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(successive_processes_share_an_epoch),
	    CASE(an_epoch_ends_when_it_must),
	    CASE(bad_state_costs_one_key_object),
	    CASE(lost_state_makes_a_new_epoch_and_state_that_cannot_be_written_does_not_stop_archiving),
	    CASE(a_repository_that_was_away_gets_the_key_before_its_first_object),
	    CASE(a_key_that_is_there_already_is_taken_as_published),
	    CASE(other_recipients_end_the_epoch),
	    CASE(without_a_repository_for_the_key_there_is_no_epoch),
	    CASE(the_key_stands_in_every_repository_before_the_segment),
	    CASE(where_the_key_cannot_be_put_no_segment_appears),
	    CASE(a_backup_has_an_epoch_of_its_own),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
