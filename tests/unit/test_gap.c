/* Records of what was given up: read back as written, refused when malformed, and a gap even when they cannot be read. */
#include "chain_fixture.h"

#include "base/fs.h"
#include "repo/gap.h"

#define REASON "disk 3 returned zeros"

static struct gap_record
sample(uint64_t sysid, const char *file)
{
	struct gap_record g = {.sysid = sysid, .content_id = {0xab, [15] = 1}, .size = 1 << 20, .refused = "a bad CRC"};
	struct err err = {0};

	assert_true(wal_name_parse(file, &g.name));
	g.start = wal_segment_start(wal_name_segno(&g.name, 1 << 20), 1 << 20);
	g.end = g.start + (1 << 20);
	must(decision_make(&g.decision, REASON, &err), &err);
	return g;
}

static void
what_is_recorded_is_read_back(void **state)
{
	static const char *const files[] = {
	    "00000001000000A200000003", "00000001000000A200000003.partial", "0000000A000000000000000F.00000028.backup"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct gap_record g = sample(UINT64_MAX, files[i]), back;
		JSON_AUTO json_t *o = json_object();
		struct err err = {0};

		must(gap_record_encode(&g, o, &err), &err);
		must(gap_record_decode(&back, o, &err), &err);
		assert_memory_equal(&back, &g, sizeof(g));
	}
}

static void
a_reason_that_names_a_path_that_is_no_text_does_not_prevent_the_record(void **state)
{
	struct gap_record g = sample(7, "00000001000000A200000003"), back;
	JSON_AUTO json_t *o = json_object();
	struct err err = {0};

	(void)state;
	(void)snprintf(g.refused, sizeof(g.refused),
	    "'/mnt/gr\xfc\xdf"
	    "e/00000001000000A200000003' is too short"); /* latin 1 */
	(void)snprintf(g.decision.by, sizeof(g.decision.by), "j\xf6rg@host");
	must(gap_record_encode(&g, o, &err), &err);
	must(gap_record_decode(&back, o, &err), &err);
	assert_string_equal(back.refused, "'/mnt/gr??e/00000001000000A200000003' is too short");
	assert_string_equal(back.decision.by, "j?rg@host");
}

static void
a_record_without_any_of_its_members_is_refused(void **state)
{
	static const char *const members[] = {
	    "system_identifier", "file", "start", "end", "content_id", "size", "refused", "time", "by", "reason"};
	static const struct {
		const char *member, *value;
	} wrong[] = {{"system_identifier", "0"}, {"system_identifier", "18446744073709551616"}, {"file", "README"},
	    {"file", "00000000000000A200000003"}, {"start", "3000000"}, {"end", "0/"}, {"content_id", "ab"},
	    {"content_id", "zz000000000000000000000000000001"}, {"size", "1"}, {"time", "now"}};
	struct gap_record g = sample(7, "00000001000000A200000003"), back;
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		JSON_AUTO json_t *o = json_object();

		must(gap_record_encode(&g, o, &err), &err);
		assert_int_equal(json_object_del(o, members[i]), 0);
		must_fail(gap_record_decode(&back, o, &err), ERR_CORRUPT, &err, members[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		JSON_AUTO json_t *o = json_object();

		must(gap_record_encode(&g, o, &err), &err);
		json_object_set_new(o, wrong[i].member, json_string(wrong[i].value));
		must_fail(gap_record_decode(&back, o, &err), ERR_CORRUPT, &err, wrong[i].value);
	}
}

/* Puts a record under the place of g, whatever it says. */
static void
put(struct world *w, const char *repository, const struct gap_record *g, const struct gap_record *said)
{
	struct repository *r = world_repository(w, repository);
	struct writer *writer = world_writer(w);
	JSON_AUTO json_t *o = json_object();
	char name[OBJECT_NAME_MAX];
	struct err err = {0};

	must(gap_record_encode(said, o, &err), &err);
	must(layout_gap(name, g->sysid, &g->name, g->content_id, LAYOUT_GAP_RECORD, &err), &err);
	must(repository_put_record(r, name, OBJECT_RECORD, o, &writer->signing, &err), &err);
	writer_free(writer);
	repository_free(r);
}

static void
gaps_of_several_repositories_are_one_set(void **state)
{
	struct world w;
	struct gap_set set = {0};
	struct gap_record g, other;
	struct err err = {0};

	(void)state;
	world_open(&w, &(struct world_options){.repositories = 2});
	g = sample(w.sysid, "00000001000000000000000C");
	other = sample(w.sysid, "00000001000000000000000D");
	put(&w, "a", &g, &g);
	put(&w, "b", &g, &g);
	put(&w, "b", &other, &g); /* says another thing than its place */
	for (const char *name = "a"; name != NULL; name = *name == 'a' ? "b" : NULL) {
		struct repository *r = world_repository(&w, name);

		must(gap_set_read(&set, r, w.sysid, NULL, &err), &err);
		must(gap_set_read(&set, r, 7, NULL, &err), &err);
		repository_free(r);
	}
	assert_int_equal(set.n, 2);
	for (size_t i = 0; i < set.n; i++) {
		bool whole = set.list[i].name.seg == 0xC;

		assert_int_equal(set.list[i].damaged, !whole);
		assert_non_null(strstr(set.list[i].decision.reason, whole ? REASON : "another gap"));
	}
	gap_set_free(&set);
	world_close(&w);
}

static void
a_chain_ends_at_a_gap_and_says_why_also_where_nothing_is_behind_it(void **state)
{
	static const char *const segments[] = {"000000010000000000000009", "00000001000000000000000A"};
	struct world w;
	struct links l;
	struct gap_record g;
	struct err err = {0};

	(void)state;
	world_open(&w, &(struct world_options){0});
	world_archive_all(&w, segments, ARRAY_LEN(segments));
	g = sample(w.sysid, "00000001000000000000000B");
	put(&w, "a", &g, &g);
	must(links_open(&l, &w, 1, 9, 0), &l.err);
	assert_int_equal(l.chain->n, 2);
	assert_non_null(l.chain->gap);
	assert_int_equal(l.chain->broken.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(l.chain->broken.msg, REASON));
	links_close(&l);
	assert_int_equal(links_open(&l, &w, 1, 0xB, 0), ERR_NOT_FOUND);
	assert_non_null(strstr(l.err.msg, REASON));
	links_close(&l);
	must(world_archive(&w, "00000001000000000000000B", &err), &err); /* the good copy */
	must(links_open(&l, &w, 1, 9, 0), &l.err);
	assert_int_equal(l.chain->n, 3);
	assert_null(l.chain->gap);
	assert_int_equal(l.chain->broken.kind, 0);
	links_close(&l);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_recorded_is_read_back),
	    cmocka_unit_test(a_reason_that_names_a_path_that_is_no_text_does_not_prevent_the_record),
	    cmocka_unit_test(a_record_without_any_of_its_members_is_refused),
	    cmocka_unit_test(gaps_of_several_repositories_are_one_set),
	    cmocka_unit_test(a_chain_ends_at_a_gap_and_says_why_also_where_nothing_is_behind_it),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
