/* Conflicts and what was decided about them: names, records, and that a decision nobody can vouch for is none. */
#include "chain_fixture.h"

#include <sodium.h>

#include "repo/conflict.h"

#define OBJECT "wal/7/00000001/00000000/00000001000000000000000C"
#define ID "ab000000000000000000000000000001"

static void
names_are_taken_apart_and_others_refused(void **state)
{
	static const struct {
		const char *name, *suffix; /* NULL: no conflict */
	} rows[] = {{"conflict/" OBJECT "/" ID, ""}, {"conflict/" OBJECT "/" ID ".resolved", ".resolved"},
	    {"conflict/" OBJECT "/" ID ".released", ".released"}, {"conflict/" OBJECT "/" ID ".other", NULL},
	    {"conflict/" OBJECT "/" ID "0", NULL}, {"conflict/" OBJECT "/ab", NULL}, {"conflict/" OBJECT "/", NULL},
	    {"conflict/" ID, NULL}, {"conflict//" ID, NULL}, {"conflict/", NULL}, {"", NULL}, {OBJECT, NULL},
	    {"conflict/" OBJECT "/AB000000000000000000000000000001", NULL},
	    {"conflict/" OBJECT "/zz000000000000000000000000000001", NULL}};
	char object[OBJECT_NAME_MAX];
	uint8_t id[CONTENT_ID];
	const char *suffix;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool is = conflict_name_parse(rows[i].name, object, id, &suffix);

		if (is != (rows[i].suffix != NULL))
			fail_msg("%s", rows[i].name);
		if (!is)
			continue;
		assert_string_equal(object, OBJECT);
		assert_int_equal(id[0], 0xab);
		assert_string_equal(suffix, rows[i].suffix);
	}
}

static struct conflict_record
sample(void)
{
	struct conflict_record c = {.object = OBJECT, .content_id = {0xab, [15] = 1}, .first = {1, 2}};
	struct err err = {0};

	must(decision_make(&c.decision, "a copy kept its settings", &err), &err);
	return c;
}

static void
a_record_is_read_back_and_refused_without_any_of_its_members(void **state)
{
	static const char *const members[] = {"object", "content_id", "first", "time", "by", "reason"};
	struct conflict_record c = sample(), back;
	JSON_AUTO json_t *o = json_object();
	struct err err = {0};
	char text[400];

	(void)state;
	must(conflict_record_encode(&c, o, &err), &err);
	must(conflict_record_decode(&back, o, &err), &err);
	assert_memory_equal(&back, &c, sizeof(c));
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		JSON_AUTO json_t *less = json_deep_copy(o);

		assert_int_equal(json_object_del(less, members[i]), 0);
		must_fail(conflict_record_decode(&back, less, &err), ERR_CORRUPT, &err, members[i]);
		json_object_set_new(less, members[i], json_integer(7));
		must_fail(conflict_record_decode(&back, less, &err), ERR_CORRUPT, &err, members[i]);
	}
	(void)snprintf(text, sizeof(text), "%0300d", 0);
	json_object_set_new(o, "object", json_string(text));
	must_fail(conflict_record_decode(&back, o, &err), ERR_CORRUPT, &err, "a name that is too long");
}

static void
put(struct world *w, const struct conflict_record *place, const struct conflict_record *said, const struct signing_key *by)
{
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	JSON_AUTO json_t *o = json_object();
	char name[OBJECT_NAME_MAX];
	struct err err = {0};

	must(conflict_record_encode(said, o, &err), &err);
	must(layout_conflict_record(name, place->object, place->content_id, LAYOUT_RESOLVED, &err), &err);
	must(repository_put_record(r, name, OBJECT_RECORD, o, by, &err), &err);
}

static void
only_a_decision_of_an_enrolled_signer_about_this_conflict_counts(void **state)
{
	struct world w;
	struct conflict_record good = sample(), moved = sample(), foreign = sample(), back;
	struct signing_key stranger = {.secret = secret_new()};
	struct writer *writer;
	struct repository *r;
	struct err err = {0};

	(void)state;
	assert_non_null(stranger.secret);
	crypto_sign_keypair(stranger.public_key, stranger.secret->bytes);
	moved.content_id[0] = 0xcd;
	foreign.content_id[0] = 0xef;
	world_open(&w, &(struct world_options){0});
	writer = world_writer(&w);
	put(&w, &good, &good, &writer->signing);
	put(&w, &moved, &good, &writer->signing); /* copied to another conflict's place */
	put(&w, &foreign, &foreign, &stranger);
	r = world_repository(&w, "a");
	must(conflict_read_record(&back, r, OBJECT, good.content_id, LAYOUT_RESOLVED, &err), &err);
	assert_string_equal(back.decision.reason, good.decision.reason);
	must_fail(
	    conflict_read_record(&back, r, OBJECT, good.content_id, LAYOUT_RELEASED, &err), ERR_NOT_FOUND, &err, "released");
	must_fail(conflict_read_record(&back, r, OBJECT, moved.content_id, LAYOUT_RESOLVED, &err), ERR_CORRUPT, &err, "moved");
	must_fail(conflict_read_record(&back, r, OBJECT, foreign.content_id, LAYOUT_RESOLVED, &err), ERR_AUTH, &err, "foreign");
	repository_free(r);
	writer_free(writer);
	signing_key_free(&stranger);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_taken_apart_and_others_refused),
	    cmocka_unit_test(a_record_is_read_back_and_refused_without_any_of_its_members),
	    cmocka_unit_test(only_a_decision_of_an_enrolled_signer_about_this_conflict_counts),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
