#include "store_conformance_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"

void
conform_fill(uint8_t *data, size_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		data[i] = (uint8_t)(x >> 24);
	}
}

uint8_t *
conform_bytes(size_t len, uint32_t seed)
{
	uint8_t *data = malloc(len + 1);

	assert_non_null(data);
	conform_fill(data, len, seed);
	return data;
}

void
conform_must(int rc, const struct err *err)
{
	if (rc != 0)
		fail_msg("unexpected %s: %s", err_kind_name(rc), err->msg);
}

struct store *
conform_fresh(void **state)
{
	struct store_factory *f = *state;
	struct store *s = NULL;
	struct err err = {0};

	conform_must(f->fresh(f, &s, &err), &err);
	return s;
}

static void
put(struct store *s, const char *key, const char *text)
{
	struct err err = {0};

	conform_must(store_put_bytes(s, key, text, strlen(text), &err), &err);
}

void
conform_expect(struct store *s, const char *key, const void *want, size_t len)
{
	FREE_AUTO uint8_t *data = malloc(len + 1);
	struct err err = {0};
	size_t got = 0;

	assert_non_null(data);
	conform_must(store_get(s, key, 0, data, len + 1, &got, &err), &err);
	assert_int_equal(got, len);
	if (len > 0)
		assert_memory_equal(data, want, len);
}

/* The keys below a prefix, one a line; with and without what stat says of them. */
static int
add_line(const struct store_entry *e, void *arg, struct err *err)
{
	return buf_printf(arg, err, "%s\n", e->key);
}

static void
expect_list(struct store *s, const char *prefix, const char *want)
{
	BUF_AUTO struct buf got = {0}, names = {0};
	struct err err = {0};

	conform_must(store_list(s, prefix, add_line, &got, &err), &err);
	assert_string_equal(buf_text(&got), want);
	conform_must(store_list_names(s, prefix, add_line, &names, &err), &err);
	assert_string_equal(buf_text(&names), want);
}

static void
what_was_put_is_read_back(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	struct store_stat st = {0};
	struct err err = {0};

	put(s, "pgcairn.json", "marker");
	put(s, "clusters/orders/wal/1/00000001/00000001/000000010000000100000001", "segment");
	conform_expect(s, "pgcairn.json", "marker", 6);
	conform_expect(s, "clusters/orders/wal/1/00000001/00000001/000000010000000100000001", "segment", 7);
	conform_must(store_stat(s, "pgcairn.json", &st, &err), &err);
	assert_int_equal(st.size, 6);
	assert_true(st.modified_us > INT64_C(1600000000000000));
	conform_must(store_settle(s, "pgcairn.json", &err), &err);
}

static void
another_handle_sees_what_was_put(void **state)
{
	struct store_factory *f = *state;
	STORE_AUTO struct store *s = conform_fresh(state);
	STORE_AUTO struct store *t = NULL;
	struct err err = {0};

	put(s, "a/b", "x");
	conform_must(f->again(f, &t, &err), &err);
	conform_expect(t, "a/b", "x", 1);
	assert_int_equal(store_put_bytes(t, "a/b", "y", 1, &err), ERR_EXISTS);
}

static void
ranges_end_where_the_blob_ends(void **state)
{
	static const struct {
		uint64_t offset;
		size_t len;
		const char *want;
	} rows[] = {
	    {0, 10, "0123456789"},
	    {0, 4, "0123"},
	    {3, 4, "3456"},
	    {9, 1, "9"},
	    {9, 5, "9"},
	    {10, 5, ""},
	    {11, 5, ""},
	    {UINT64_C(1) << 40, 5, ""},
	    {INT64_MAX, 5, ""},
	    {UINT64_MAX, 5, ""},
	    {0, 0, ""},
	};
	STORE_AUTO struct store *s = conform_fresh(state);
	struct err err = {0};

	put(s, "digits", "0123456789");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char data[16];
		size_t got = 99;

		conform_must(store_get(s, "digits", rows[i].offset, data, rows[i].len, &got, &err), &err);
		assert_int_equal(got, strlen(rows[i].want));
		assert_memory_equal(data, rows[i].want, got);
	}
}

static void
a_tail_comes_with_the_size_of_the_whole(void **state)
{
	static const struct {
		const char *content;
		size_t len;
		const char *want;
	} rows[] = {{"0123456789", 4, "6789"}, {"0123456789", 10, "0123456789"}, {"0123456789", 15, "0123456789"},
	    {"0123456789", 0, ""}, {"", 8, ""}};
	STORE_AUTO struct store *s = conform_fresh(state);
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FREE_AUTO char *key = str_printf("t/%zu", i);
		char data[16];
		size_t got = 99;
		uint64_t size = 99;

		put(s, key, rows[i].content);
		conform_must(store_get_tail(s, key, data, rows[i].len, &got, &size, &err), &err);
		assert_int_equal(size, strlen(rows[i].content));
		assert_int_equal(got, strlen(rows[i].want));
		assert_memory_equal(data, rows[i].want, got);
	}
}

static void
an_absent_name_is_not_found_by_every_call(void **state)
{
	static const char *const keys[] = {"absent", "absent/deeper/still", "here/absent", "here/deep/absent", "her", "here0"};
	STORE_AUTO struct store *s = conform_fresh(state);

	put(s, "here/deep/object", "x");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct err err = {0};
		struct store_stat st;
		char data[4];
		size_t got = 77;
		uint64_t size = 77;

		assert_int_equal(store_get(s, keys[i], 0, data, 4, &got, &err), ERR_NOT_FOUND);
		assert_int_equal(err.kind, ERR_NOT_FOUND);
		assert_non_null(strstr(err.msg, keys[i]));
		assert_int_equal(store_get_tail(s, keys[i], data, 4, &got, &size, &err), ERR_NOT_FOUND);
		assert_int_equal(store_stat(s, keys[i], &st, &err), ERR_NOT_FOUND);
		assert_int_equal(store_settle(s, keys[i], &err), ERR_NOT_FOUND);
		assert_int_equal(store_remove(s, keys[i], &err), ERR_NOT_FOUND);
		assert_int_equal(store_remove(s, keys[i], NULL), ERR_NOT_FOUND);
		assert_int_equal(got, 77);
		assert_int_equal(size, 77);
	}
}

static void
a_taken_name_keeps_its_first_content(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	struct err err = {0};

	put(s, "wal/segment", "first");
	assert_int_equal(store_put_bytes(s, "wal/segment", "other", 5, &err), ERR_EXISTS);
	assert_int_equal(store_put_bytes(s, "wal/segment", "first", 5, NULL), ERR_EXISTS);
	assert_int_equal(store_put_bytes(s, "wal/segment", "", 0, &err), ERR_EXISTS);
	conform_expect(s, "wal/segment", "first", 5);
	expect_list(s, "", "wal/segment\n");
}

static void
a_removed_name_can_be_put_again(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	struct err err = {0};

	put(s, "a/b", "one");
	conform_must(store_remove(s, "a/b", &err), &err);
	assert_int_equal(store_remove(s, "a/b", &err), ERR_NOT_FOUND);
	assert_int_equal(store_stat(s, "a/b", &(struct store_stat){0}, &err), ERR_NOT_FOUND);
	expect_list(s, "", "");
	put(s, "a/b", "two");
	conform_expect(s, "a/b", "two", 3);
}

static void
a_sink_freed_without_finish_leaves_nothing(void **state)
{
	struct store_factory *f = *state;
	STORE_AUTO struct store *s = conform_fresh(state);
	FREE_AUTO uint8_t *data = conform_bytes(3 * MIB, 1);

	for (int written = 0; written < 2; written++) {
		SINK_AUTO struct sink *sink = NULL;
		struct err err = {0};

		conform_must(store_put(s, "a/b/c", &sink, &err), &err);
		if (written)
			conform_must(sink_write(sink, data, 3 * MIB, &err), &err);
		assert_int_equal(store_stat(s, "a/b/c", &(struct store_stat){0}, &err), ERR_NOT_FOUND);
	}
	expect_list(s, "", "");
	if (f->leftovers != NULL)
		assert_int_equal(f->leftovers(f), 0);
	put(s, "a/b/c", "now");
	conform_expect(s, "a/b/c", "now", 3);
	if (f->leftovers != NULL)
		assert_int_equal(f->leftovers(f), 0);
}

static void
a_refused_put_leaves_nothing(void **state)
{
	struct store_factory *f = *state;
	STORE_AUTO struct store *s = conform_fresh(state);

	put(s, "a/b", "one");
	assert_int_equal(store_put_bytes(s, "a/b", "two", 3, NULL), ERR_EXISTS);
	if (f->leftovers != NULL)
		assert_int_equal(f->leftovers(f), 0);
}

static void
an_empty_blob_exists(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	struct store_stat st = {.size = 9};
	struct err err = {0};

	put(s, "removed/1", "");
	conform_expect(s, "removed/1", "", 0);
	conform_must(store_stat(s, "removed/1", &st, &err), &err);
	assert_int_equal(st.size, 0);
	expect_list(s, "", "removed/1\n");
	assert_int_equal(store_put_bytes(s, "removed/1", "x", 1, &err), ERR_EXISTS);
}

static void
a_blob_of_64_mib_in_uneven_writes_is_whole(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	FREE_AUTO uint8_t *data = conform_bytes(64 * MIB, 7), *back = malloc(MIB);
	SINK_AUTO struct sink *sink = NULL;
	struct err err = {0};
	size_t got = 0;

	conform_must(store_put(s, "backup/pack-000001", &sink, &err), &err);
	for (size_t at = 0, step = 1; at < 64 * MIB; at += step, step = step * 7 + 13 < 9 * MIB ? step * 7 + 13 : 1000) {
		if (step > 64 * MIB - at)
			step = 64 * MIB - at;
		conform_must(sink_write(sink, data + at, step, &err), &err);
	}
	conform_must(sink_finish(sink, &err), &err);
	for (size_t at = 0; at < 64 * MIB; at += MIB) {
		conform_must(store_get(s, "backup/pack-000001", at, back, MIB, &got, &err), &err);
		assert_int_equal(got, MIB);
		assert_memory_equal(back, data + at, MIB);
	}
}

static void
lists_come_in_byte_order_of_whole_keys(void **state)
{
	static const char *const keys[] = {
	    "b", "a/c", "a-b", "a0", "a/b/z", "a/b-", "a/b0", "a.x", "A", "Z/1", "a=", "tmp0/x", "x/tmp/y", "x/lost+found/z"};
	STORE_AUTO struct store *s = conform_fresh(state);

	expect_list(s, "", "");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		put(s, keys[i], "x");
	expect_list(s, "", "A\nZ/1\na-b\na.x\na/b-\na/b/z\na/b0\na/c\na0\na=\nb\ntmp0/x\nx/lost+found/z\nx/tmp/y\n");
}

static void
a_prefix_lists_its_own_directory_only(void **state)
{
	static const struct {
		const char *prefix, *want;
	} rows[] = {{"a/b/", "a/b/1\na/b/2/x\n"}, {"a/bc/", "a/bc/3\n"}, {"a/", "a/b/1\na/b/2/x\na/bc/3\n"},
	    {"a/b/2/", "a/b/2/x\n"}, {"absent/", ""}, {"a/absent/", ""}, {"a/b/absent/deep/", ""}};
	STORE_AUTO struct store *s = conform_fresh(state);

	put(s, "a/b/1", "x");
	put(s, "a/b/2/x", "x");
	put(s, "a/bc/3", "x");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_list(s, rows[i].prefix, rows[i].want);
	assert_int_equal(store_list(s, "a/b", add_line, NULL, NULL), ERR_BUG);
}

struct stop {
	int seen, after, answer;
};

static int
stop_after(const struct store_entry *e, void *arg, struct err *err)
{
	struct stop *st = arg;

	assert_true(e->stat.size == 3 && e->stat.modified_us > 0);
	if (++st->seen < st->after)
		return 0;
	return st->answer < 0 ? err_set(err, st->answer, 0, "enough") : st->answer;
}

static void
a_listing_ends_when_its_caller_says_so(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	struct stop one = {.after = 2, .answer = 1}, bad = {.after = 3, .answer = ERR_REFUSED};
	struct err err = {0};

	put(s, "a/b/1", "one");
	put(s, "a/b/2", "two");
	put(s, "a/c", "333");
	put(s, "d", "444");
	assert_int_equal(store_list(s, "", stop_after, &one, &err), 1);
	assert_int_equal(one.seen, 2);
	assert_int_equal(store_list(s, "", stop_after, &bad, &err), ERR_REFUSED);
	assert_int_equal(bad.seen, 3);
	assert_string_equal(err.msg, "enough");
}

static void
a_listing_of_many_names_is_complete(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	BUF_AUTO struct buf want = {0};
	struct err err = {0};

	for (unsigned i = 0; i < 1200; i++) {
		FREE_AUTO char *key = str_printf("n/%05u", (i * 7919) % 1200);
		FREE_AUTO char *line = str_printf("n/%05u\n", i);

		put(s, key, "");
		conform_must(buf_append(&want, line, strlen(line), &err), &err);
	}
	expect_list(s, "n/", buf_text(&want));
}

static void
keys_that_are_not_well_formed_are_refused(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/./b", ".hidden",
	    "a/.hidden", "a b", "a\nb", "a\\b", "a:b", "a?b", "a%2fb", "a*", "\xc3\xa4", "tmp", "tmp/x", "lost+found",
	    "lost+found/x"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct sink *sink = NULL;
		struct err err = {0};
		size_t got;
		char data[1];

		assert_int_equal(store_put(s, bad[i], &sink, &err), ERR_BUG);
		assert_null(sink);
		assert_int_equal(store_get(s, bad[i], 0, data, 1, &got, &err), ERR_BUG);
		assert_int_equal(store_get_tail(s, bad[i], data, 1, &got, &(uint64_t){0}, &err), ERR_BUG);
		assert_int_equal(store_stat(s, bad[i], &(struct store_stat){0}, &err), ERR_BUG);
		assert_int_equal(store_settle(s, bad[i], &err), ERR_BUG);
		assert_int_equal(store_remove(s, bad[i], &err), ERR_BUG);
		assert_int_equal(err.kind, ERR_BUG);
	}
}

static void
the_longest_and_deepest_keys_work(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	char longest[STORE_KEY_MAX + 1], deepest[2 * STORE_KEY_DEPTH];
	BUF_AUTO struct buf want = {0};
	struct err err = {0};

	memset(longest, 'k', STORE_KEY_MAX);
	longest[255] = longest[511 - 20] = '/';
	longest[STORE_KEY_MAX] = '\0';
	for (size_t i = 0; i < STORE_KEY_DEPTH; i++) {
		deepest[2 * i] = 'd';
		deepest[2 * i + 1] = i + 1 < STORE_KEY_DEPTH ? '/' : '\0';
	}
	put(s, longest, "long");
	put(s, deepest, "deep");
	conform_expect(s, longest, "long", 4);
	conform_expect(s, deepest, "deep", 4);
	conform_must(buf_printf(&want, &err, "%s\n%s\n", deepest, longest), &err);
	expect_list(s, "", buf_text(&want));
}

static void
a_writer_knows_what_the_store_enforces(void **state)
{
	STORE_AUTO struct store *s = conform_fresh(state);
	struct store_caps caps = {0};
	struct err err = {0};
	uint64_t available = 0, total = 0;
	int rc;

	conform_must(store_caps(s, &caps, &err), &err);
	assert_true(caps.create_only);
	rc = store_space(s, &available, &total, &err);
	if (rc != ERR_NOT_FOUND) {
		conform_must(rc, &err);
		assert_true(total > 0 && available <= total);
	}
}

static int
destroy(void **state)
{
	struct store_factory *f = *state;

	f->destroy(f);
	return 0;
}

int
store_conformance(struct store_factory *f)
{
#define CASE(fn) cmocka_unit_test_prestate_setup_teardown(fn, NULL, destroy, f)
	const struct CMUnitTest tests[] = {
	    CASE(what_was_put_is_read_back),
	    CASE(another_handle_sees_what_was_put),
	    CASE(ranges_end_where_the_blob_ends),
	    CASE(a_tail_comes_with_the_size_of_the_whole),
	    CASE(an_absent_name_is_not_found_by_every_call),
	    CASE(a_taken_name_keeps_its_first_content),
	    CASE(a_removed_name_can_be_put_again),
	    CASE(a_sink_freed_without_finish_leaves_nothing),
	    CASE(a_refused_put_leaves_nothing),
	    CASE(an_empty_blob_exists),
	    CASE(a_blob_of_64_mib_in_uneven_writes_is_whole),
	    CASE(lists_come_in_byte_order_of_whole_keys),
	    CASE(a_prefix_lists_its_own_directory_only),
	    CASE(a_listing_ends_when_its_caller_says_so),
	    CASE(a_listing_of_many_names_is_complete),
	    CASE(keys_that_are_not_well_formed_are_refused),
	    CASE(the_longest_and_deepest_keys_work),
	    CASE(a_writer_knows_what_the_store_enforces),
	    CASE(of_eight_writers_exactly_one_wins),
	    CASE(readers_during_a_put_see_nothing_or_all),
	};
#undef CASE
	return _cmocka_run_group_tests(f->name, tests, ARRAY_LEN(tests), NULL, NULL);
}
