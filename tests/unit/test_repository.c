/* Opening, founding, enrolling, and objects that are not what was asked for. */
#include "world.h"

#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "repo/decision.h"
#include "repo/stored.h"

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	world_open(w, &(struct world_options){0});
	*state = w;
	return 0;
}

static int
open_again(struct world *w, struct err *err)
{
	REPOSITORY_AUTO struct repository *r = NULL;

	return op_open_repository(&w->op, &w->config->repositories[0], NULL, &r, err);
}

static void
an_empty_directory_is_never_an_empty_repository(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	STORED_AUTO struct stored *s = NULL;
	struct store_stat st;
	struct err err = {0};

	assert_int_equal(rename(world_path(w, "repo/a"), world_path(w, "repo/away")), 0);
	assert_int_equal(mkdir(world_path(w, "repo/a"), 0700), 0);
	must_fail(open_again(w, &err), ERR_IO, &err, "open");
	assert_non_null(strstr(err.hint, "mounted"));
	must_fail(stored_open(&s, r, "wal/1/x", OBJECT_WAL, &err), ERR_IO, &err, "a miss");
	must_fail(repository_stat(r, "wal/1/x", &st, &err), ERR_IO, &err, "a miss");
}

static void
a_miss_is_proven_by_the_marker(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	STORED_AUTO struct stored *s = NULL;
	struct store_stat st;
	struct err err = {0};

	must(repository_confirm(r, &err), &err);
	must_fail(stored_open(&s, r, "wal/1/x", OBJECT_WAL, &err), ERR_NOT_FOUND, &err, "absent");
	must_fail(repository_stat(r, "wal/1/x", &st, &err), ERR_NOT_FOUND, &err, "absent");
	must(repository_stat(r, "signers/0000", &st, &err), &err);
	assert_int_equal(unlink(world_path(w, "repo/a/" LAYOUT_MARKER)), 0);
	must_fail(stored_open(&s, r, "wal/1/x", OBJECT_WAL, &err), ERR_IO, &err, "no marker");
	must_fail(repository_stat(r, "wal/1/x", &st, &err), ERR_IO, &err, "no marker");
	must_fail(open_again(w, &err), ERR_IO, &err, "no marker");
}

static void
a_marker_that_is_not_ours_is_refused(void **state)
{
#define ID "\"id\":\"00112233445566778899aabbccddeeff\""
	static const struct {
		const char *text;
		int want;
	} rows[] = {
	    {"", ERR_CORRUPT}, {"{}", ERR_CORRUPT}, {"[]", ERR_CORRUPT},
	    {"{\"format\":\"pgcairn\",\"version\":0}", ERR_CORRUPT},
	    {"{\"format\":\"other\",\"version\":0," ID "}", ERR_CORRUPT},
	    {"{\"format\":\"pgcairn\",\"version\":1," ID "}", ERR_CONFIG},
	    {"{\"format\":\"pgcairn\",\"version\":-1," ID "}", ERR_CORRUPT},
	    {"{\"format\":\"pgcairn\",\"version\":0,\"id\":\"0011\"}", ERR_CORRUPT},
	    {"{\"format\":\"pgcairn\",\"version\":0," ID "} x", ERR_CORRUPT},
	    {"{\"format\":\"pgcairn\",\"version\":0," ID "}", ERR_CONFIG}, /* another repository's */
	};
	struct world *w = *state;
	const char *path = world_path(w, "repo/a/" LAYOUT_MARKER);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		must(fs_write_file(path, rows[i].text, strlen(rows[i].text), 0600, FS_REPLACE, &err), &err);
		must_fail(open_again(w, &err), rows[i].want, &err, rows[i].text);
	}
}

static void
another_founder_than_the_pinned_one_is_refused(void **state)
{
	struct world *w = *state;
	char text[KEY_TEXT];
	uint8_t other[KEY_BYTES] = {5};
	struct err err = {0};

	must(open_again(w, &err), &err);
	key_format(text, KEY_TYPE_SIGNER, other);
	must(fs_write_file(world_path(w, "signers"), text, strlen(text), 0644, FS_REPLACE, &err), &err);
	must_fail(open_again(w, &err), ERR_AUTH, &err, "not pinned");
	assert_true(err.hint[0] != '\0');
	assert_int_equal(unlink(world_path(w, "signers")), 0); /* trust on first use */
	must(open_again(w, &err), &err);
}

static void
damaged_or_missing_records_are_never_passed_over(void **state)
{
	static const char *const records[] = {"signers/0000", "lineage/0000", "recipients/0000"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		const char *path = world_object(w, "a", records[i]), *away = world_path(w, "away");
		struct stat st;
		struct err err = {0};

		assert_int_equal(stat(path, &st), 0);
		for (long at = 0; at < st.st_size; at += 7) {
			world_flip(path, at);
			must_fail(open_again(w, &err), ERR_CORRUPT, &err, records[i]);
			world_flip(path, at);
		}
		assert_int_equal(rename(path, away), 0);
		if (i == 0)
			must(open_again(w, &err), &err); /* a repository where this cluster was never founded */
		else
			must_fail(open_again(w, &err), ERR_CORRUPT, &err, records[i]);
		assert_int_equal(rename(away, path), 0);
	}
}

static void
a_record_by_a_stranger_is_refused(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	JSON_AUTO json_t *o = json_pack("{s:[{s:s,s:s}]}", "signers", "ed25519",
	    "0101010101010101010101010101010101010101010101010101010101010101", "name", "intruder");
	struct signing_key stranger = {.secret = secret_new()};
	uint8_t seed[32] = {42};
	struct err err = {0};

	crypto_sign_seed_keypair(stranger.public_key, stranger.secret->bytes, seed);
	must_fail(repository_enrol_signer(r, seed, "x", &stranger, &err), ERR_AUTH, &err, "enrol");
	must(repository_put_record(r, "signers/0001", OBJECT_RECORD, o, &stranger, &err), &err);
	must_fail(open_again(w, &err), ERR_AUTH, &err, "read");
	signing_key_free(&stranger);
}

static void
a_lineage_grows_by_a_record_and_a_number_is_taken_once(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a"), *again = NULL;
	const struct lineage_entry next = {.sysid = 7, .segment_size = 1 << 20, .major = 16};
	WRITER_AUTO struct writer *writer = world_writer(w);
	struct decision d;
	struct err err = {0};

	must(decision_make(&d, "pg_upgrade", &err), &err);
	assert_int_equal(r->n_lineage, 1);
	assert_null(repository_lineage(r, 7));
	must_fail(repository_append_lineage(r, 0, &next, &d, &writer->signing, &err), ERR_EXISTS, &err, "the first");
	must(repository_append_lineage(r, 1, &next, &d, &writer->signing, &err), &err);
	must_fail(repository_append_lineage(r, 1, &next, &d, &writer->signing, &err), ERR_EXISTS, &err, "two hosts at once");
	again = world_repository(w, "a");
	assert_int_equal(again->n_lineage, 2);
	assert_int_equal(repository_lineage(again, 7)->major, 16);
	assert_int_equal(again->lineage[0].sysid, w->sysid);
}

static void
a_lineage_record_of_a_stranger_is_not_believed(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	const struct lineage_entry next = {.sysid = 7, .segment_size = 1 << 20, .major = 16};
	struct signing_key stranger = {.secret = secret_new()};
	struct decision d;
	struct err err = {0};

	assert_non_null(stranger.secret);
	crypto_sign_keypair(stranger.public_key, stranger.secret->bytes);
	must(decision_make(&d, "pg_upgrade", &err), &err);
	must(repository_append_lineage(r, 1, &next, &d, &stranger, &err), &err);
	must_fail(open_again(w, &err), ERR_AUTH, &err, "a lineage of a stranger");
	signing_key_free(&stranger);
}

static void
an_enrolled_signer_is_known_afterwards_and_once(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a"), *again = NULL;
	WRITER_AUTO struct writer *writer = world_writer(w);
	uint8_t key[KEY_BYTES] = {77};
	struct err err = {0};

	assert_false(repository_knows_signer(r, key));
	must(repository_enrol_signer(r, key, "second", &writer->signing, &err), &err);
	again = world_repository(w, "a");
	assert_true(repository_knows_signer(again, key));
	assert_string_equal(again->signer_names[again->n_signers - 1], "second");
	must(repository_enrol_signer(again, key, "second", &writer->signing, &err), &err);
	assert_int_equal(world_count(w, "a", "signers/"), 2);
	/* r has not seen the second record: two hosts enrol at once */
	key[0] = 78;
	must_fail(repository_enrol_signer(r, key, "third", &writer->signing, &err), ERR_EXISTS, &err, "at once");
}

static void
a_cluster_is_founded_once(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	WRITER_AUTO struct writer *writer = world_writer(w);
	struct cluster_founding f = {.lineage = {1, 1 << 20, 15},
	    .comparison_key = writer->comparison->bytes,
	    .signer = &writer->signing,
	    .signer_name = "x"};
	char id[REPOSITORY_ID_TEXT];
	FREE_AUTO char *url = str_printf("file://%s/repo/a", w->dir), *foreign = str_printf("file://%s/state", w->dir);
	struct err err = {0};

	must_fail(repository_found_cluster(r, &f, &err), ERR_EXISTS, &err, "again");
	must_fail(repository_create(url, id, &err), ERR_EXISTS, &err, "marker");
	must_fail(repository_create(foreign, id, &err), ERR_REFUSED, &err, "other things lie there");
	assert_non_null(repository_lineage(r, w->sysid));
	assert_null(repository_lineage(r, w->sysid + 1));
	assert_int_equal(repository_lineage(r, w->sysid)->segment_size, 1 << 20);
}

/* A founding that was killed before its last record is completed by the next. */
static void
a_killed_founding_is_done_again(void **state)
{
	struct world *w = *state;
	struct err err = {0};

	assert_int_equal(unlink(world_object(w, "a", "signers/0000")), 0);
	world_init(w);
	must(open_again(w, &err), &err);
	assert_int_equal(world_count(w, "a", "lineage/"), 1);
	assert_int_equal(world_count(w, "a", "recipients/"), 1);
}

/* ---- objects ---- */

#define SEGMENT "000000010000000000000010"

static void
an_object_must_be_what_was_asked_for(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	KEYRING_AUTO struct keyring *ring = world_keyring(w), *empty = NULL;
	FREE_AUTO char *relative = NULL, *at = NULL, *from = NULL, *to = NULL;
	STORED_AUTO struct stored *s = NULL, *none = NULL;
	JSON_AUTO json_t *sealed = NULL;
	struct err err = {0};

	must(world_archive(w, SEGMENT, &err), &err);
	relative = strdup(world_first(w, "a", "wal/"));
	at = str_printf("%.*s1", (int)strlen(relative) - 1, relative);
	from = strdup(world_object(w, "a", relative));
	to = strdup(world_object(w, "a", at));
	assert_int_equal(link(from, to), 0);
	must_fail(stored_open(&none, r, at, OBJECT_WAL, &err), ERR_CORRUPT, &err, "under another name");
	assert_non_null(strstr(err.msg, "holds the object"));
	must_fail(stored_open(&none, r, relative, OBJECT_WAL_PARTIAL, &err), ERR_CORRUPT, &err, "another kind");
	must(stored_open(&s, r, relative, OBJECT_WAL, &err), &err);
	r->cluster[0] ^= 1;
	must_fail(stored_open(&none, r, relative, OBJECT_WAL, &err), ERR_CORRUPT, &err, "another cluster");
	r->cluster[0] ^= 1;
	r->signers[0][0] ^= 1;
	must_fail(stored_open(&none, r, relative, OBJECT_WAL, &err), ERR_AUTH, &err, "unknown signer");
	r->signers[0][0] ^= 1;
	/* not unlocked, or by nobody's key */
	must_fail(stored_sealed(s, &sealed, &err), ERR_BUG, &err, "not unlocked");
	must_fail(stored_unlock(s, NULL, &err), ERR_BUG, &err, "no ring");
	must(keyring_new(&empty, NULL, &err), &err);
	must_fail(stored_unlock(s, empty, &err), ERR_AUTH, &err, "an empty ring");
	must(stored_unlock(s, ring, &err), &err);
	must(stored_sealed(s, &sealed, &err), &err);
	assert_null(none);
}

static void
what_is_not_encrypted_is_refused_where_it_must_be(void **state)
{
	struct world plain, *w = *state;
	REPOSITORY_AUTO struct repository *r = NULL;
	STORED_AUTO struct stored *s = NULL;
	FREE_AUTO char *relative = NULL;
	struct err err = {0};

	(void)w;
	world_open(&plain, &(struct world_options){.cluster = "encryption = none"});
	must(world_archive(&plain, SEGMENT, &err), &err);
	relative = strdup(world_first(&plain, "a", "wal/"));
	r = world_repository(&plain, "a");
	must(stored_open(&s, r, relative, OBJECT_WAL, &err), &err);
	stored_free(STEAL(s));
	r->encrypted = true; /* as the signed records of another repository would say */
	must_fail(stored_open(&s, r, relative, OBJECT_WAL, &err), ERR_AUTH, &err, "not encrypted");
	world_close(&plain);
}

static int
collect(const void *data, size_t len, void *arg, struct err *err)
{
	return buf_append(arg, data, len, err);
}

static int copy_to(struct stored *s, struct buf *out, struct err *err);

struct collecting {
	struct sink sink; /* first */
	struct buf *out;
};

static int
collecting_write(struct sink *s, const void *data, size_t len, struct err *err)
{
	return buf_append(((struct collecting *)s)->out, data, len, err);
}

static int
copy_to(struct stored *s, struct buf *out, struct err *err)
{
	static const struct sink_ops ops = {.write = collecting_write};
	struct collecting c = {{&ops}, out};

	return stored_copy(s, &c.sink, err);
}

static void
a_copy_has_the_same_bytes_and_no_damage(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	KEYRING_AUTO struct keyring *ring = world_keyring(w);
	STORED_AUTO struct stored *s = NULL;
	BUF_AUTO struct buf copy = {0}, file = {0}, plain = {0};
	FREE_AUTO char *relative = NULL;
	struct err err = {0};

	must(world_archive(w, SEGMENT, &err), &err);
	relative = strdup(world_first(w, "a", "wal/"));
	must(stored_open(&s, r, relative, OBJECT_WAL, &err), &err);
	must(copy_to(s, &copy, &err), &err);
	must(fs_read_file(world_object(w, "a", relative), 2 << 20, &file, &err), &err);
	assert_int_equal(copy.len, file.len);
	assert_memory_equal(copy.data, file.data, file.len);
	must(stored_unlock(s, ring, &err), &err);
	must(stored_read(s, NULL, collect, &plain, &err), &err);
	assert_int_equal(plain.len, 1 << 20);
	/* what is read once more for the copy is no other than what was checked */
	world_flip(world_object(w, "a", relative), 12);
	must_fail(copy_to(s, &copy, &err), ERR_CORRUPT, &err, "header");
	world_flip(world_object(w, "a", relative), 12);
	for (long at = -1; at >= -(long)file.len && at > -2000; at -= 37) {
		world_flip(world_object(w, "a", relative), at);
		buf_reset(&copy);
		if (copy_to(s, &copy, &err) == 0) {
			assert_int_equal(copy.len, file.len);
			assert_memory_equal(copy.data, file.data, file.len);
		} else {
			assert_int_equal(err.kind, ERR_CORRUPT);
		}
		world_flip(world_object(w, "a", relative), at);
	}
	world_flip(world_object(w, "a", relative), (long)s->index->frames[0].offset);
	must_fail(copy_to(s, &copy, &err), ERR_CORRUPT, &err, "copy");
	must_fail(stored_read(s, NULL, collect, &plain, &err), ERR_CORRUPT, &err, "read");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(an_empty_directory_is_never_an_empty_repository),
	    CASE(a_miss_is_proven_by_the_marker),
	    CASE(a_marker_that_is_not_ours_is_refused),
	    CASE(another_founder_than_the_pinned_one_is_refused),
	    CASE(damaged_or_missing_records_are_never_passed_over),
	    CASE(a_record_by_a_stranger_is_refused),
	    CASE(a_lineage_grows_by_a_record_and_a_number_is_taken_once),
	    CASE(a_lineage_record_of_a_stranger_is_not_believed),
	    CASE(an_enrolled_signer_is_known_afterwards_and_once),
	    CASE(a_cluster_is_founded_once),
	    CASE(a_killed_founding_is_done_again),
	    CASE(an_object_must_be_what_was_asked_for),
	    CASE(what_is_not_encrypted_is_refused_where_it_must_be),
	    CASE(a_copy_has_the_same_bytes_and_no_damage),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
