/* Packs in real directories, and what becomes visible where one of the repositories breaks: never a manifest without its packs.
 */
#include "repo_fixture.h"

#include "repo/pack.h"

#define LABEL "20260101T000000Z-0001"
#define PACK(n) "backup/" LABEL "/pack-00000" #n
#define MANIFEST "backup/" LABEL "/manifest-0000"
#define MIB ((size_t)1 << 20)

struct reading {
	const uint8_t *want;
	size_t len, at;
};

static int
compare(const void *data, size_t len, void *arg, struct err *err)
{
	struct reading *r = arg;

	(void)err;
	assert_true(len <= r->len - r->at);
	assert_memory_equal(data, r->want + r->at, len);
	r->at += len;
	return 0;
}

static struct pack_writer *
packs_of(struct fixture *f)
{
	struct pack_writer *p;

	assert_int_equal(pack_writer_new(&p, &f->writer, f->fanout, NULL, LABEL, NULL, NULL), 0);
	return p;
}

/* Noise, so that compression leaves as many bytes as there are. */
static uint8_t *
noise(size_t len)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	randombytes_buf(p, len);
	return p;
}

static void
pieces_come_back_at_their_places(void **state)
{
	static const size_t sizes[] = {1, 8191, 3, MIB, 0, MIB - 1, 2 * MIB + 5, 512};
	struct fixture *f = *state;
	size_t total = 0;
	FREE_AUTO uint8_t *bytes = noise(8 * MIB);
	PACK_WRITER_AUTO struct pack_writer *p = packs_of(f);
	FREE_AUTO struct manifest_pack *pins = NULL;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct manifest_run run = {.file_offset = 99};

		assert_int_equal(pack_writer_append(p, bytes + total, sizes[i], &run, NULL), 0);
		assert_int_equal(run.pack, 0);
		assert_int_equal(run.pack_offset, total);
		assert_int_equal(run.length, sizes[i]);
		assert_int_equal(run.file_offset, 99);
		total += sizes[i];
	}
	assert_int_equal(pack_writer_finish(p, &pins, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(pins[0].plain, total);
	assert_int_equal(pack_writer_stored(p), pins[0].stored);
	for (size_t i = 0; i < FIXTURE_TARGETS; i++) {
		STORED_AUTO struct stored *s = NULL;
		struct reading r = {bytes, total, 0};

		assert_int_equal(stored_open(&s, f->fanout->targets[i].repo, PACK(0), OBJECT_PACK, NULL), 0);
		assert_memory_equal(s->index->digest, pins[0].digest, OBJECT_DIGEST);
		assert_int_equal(s->index->size, pins[0].stored);
		assert_int_equal(stored_read(s, NULL, compare, &r, NULL), 0);
		assert_int_equal(r.at, total);
	}
}

static void
a_piece_that_does_not_fit_begins_the_next_pack_whole(void **state)
{
	enum { PIECE = 60 };
	struct fixture *f = *state;
	FREE_AUTO uint8_t *zeros = calloc(PIECE, MIB);
	PACK_WRITER_AUTO struct pack_writer *p = packs_of(f);
	FREE_AUTO struct manifest_pack *pins = NULL;
	struct manifest_run run = {0};
	size_t n;

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pack_writer_append(p, zeros, PIECE * MIB, &run, NULL), 0);
		assert_int_equal(run.pack, 0);
	}
	assert_false(fixture_has(f, 0, PACK(0)));
	assert_int_equal(pack_writer_append(p, zeros, PIECE * MIB, &run, NULL), 0);
	assert_int_equal(run.pack, 1);
	assert_int_equal(run.pack_offset, 0);
	assert_true(fixture_has(f, 0, PACK(0)));
	assert_false(fixture_has(f, 0, PACK(1)));
	assert_int_equal(pack_writer_finish(p, &pins, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(pins[0].plain, 4 * PIECE * MIB);
	assert_int_equal(pins[1].plain, PIECE * MIB);
}

static void
a_piece_larger_than_a_pack_is_refused(void **state)
{
	PACK_WRITER_AUTO struct pack_writer *p = packs_of(*state);
	struct manifest_run run;
	struct err err;

	assert_int_equal(pack_writer_append(p, "", PACK_PLAIN + 1, &run, &err), ERR_BUG);
}

static void
no_bytes_make_no_pack(void **state)
{
	struct fixture *f = *state;
	PACK_WRITER_AUTO struct pack_writer *p = packs_of(f);
	FREE_AUTO struct manifest_pack *pins = NULL;
	size_t n = 7;

	assert_int_equal(pack_writer_finish(p, &pins, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_false(fixture_has(f, 0, PACK(0)));
}

static void
nothing_is_visible_of_a_pack_that_was_given_up(void **state)
{
	struct fixture *f = *state;
	struct pack_writer *p = packs_of(f);
	struct manifest_run run;

	assert_int_equal(pack_writer_append(p, "some bytes", 10, &run, NULL), 0);
	pack_writer_free(p);
	assert_false(fixture_has(f, 0, PACK(0)));
	assert_false(fixture_has(f, 1, PACK(0)));
}

/* A backup in small: a manifest that is open while packs are written, finished last. */
static int
back_up(struct fixture *f, const void *bytes, size_t len, size_t lines_behind, struct err *err)
{
	WRITER_OBJECT_AUTO struct writer_object manifest = {0};
	PACK_WRITER_AUTO struct pack_writer *p = packs_of(f);
	FREE_AUTO struct manifest_pack *pins = NULL;
	struct manifest_run run;
	size_t n;
	int rc = writer_start(&f->writer, f->fanout, &manifest, OBJECT_MANIFEST, MANIFEST, NULL, NULL, NULL, err);

	if (rc == 0)
		rc = object_writer_write(manifest.object, "a line\n", 7, err);
	for (size_t at = 0; rc == 0 && at < len; at += MIB)
		rc = pack_writer_append(p, (const uint8_t *)bytes + at, len - at < MIB ? len - at : MIB, &run, err);
	if (rc == 0)
		rc = pack_writer_finish(p, &pins, &n, err);
	for (size_t i = 0; rc == 0 && i < lines_behind; i++)
		rc = object_writer_write(manifest.object, bytes, MIB, err);
	return rc < 0 ? rc : object_writer_finish(manifest.object, NULL, NULL, NULL, err);
}

static void
both_have_all_of_it_when_nothing_breaks(void **state)
{
	struct fixture *f = *state;
	FREE_AUTO uint8_t *bytes = noise(3 * MIB);

	assert_int_equal(back_up(f, bytes, 3 * MIB, 0, NULL), 0);
	for (size_t i = 0; i < FIXTURE_TARGETS; i++) {
		assert_true(f->fanout->targets[i].done);
		assert_true(fixture_has(f, i, PACK(0)));
		assert_true(fixture_has(f, i, MANIFEST));
	}
}

/* The rule of this file, for each way in which a repository can break and for what the manifest still has to write. */
static void
a_repository_without_a_pack_gets_no_manifest(void **state)
{
	static const struct {
		uint64_t budget;
		bool finish_fails;
		size_t lines_behind;
	} rows[] = {
	    {2 * MIB + 10, false, 0}, /* while the pack is written */
	    {2 * MIB + 10, false, 3},
	    {FIXTURE_NEVER, true, 0}, /* when it is published: nothing more is written to the manifest but its end */
	    {FIXTURE_NEVER, true, 3},
	};
	FREE_AUTO uint8_t *bytes = noise(4 * MIB);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture *f = *state;

		f->store[1]->budget = rows[i].budget;
		f->store[1]->finish_fails = rows[i].finish_fails;
		assert_int_equal(back_up(f, bytes, 4 * MIB, rows[i].lines_behind, NULL), 0);
		assert_true(fixture_has(f, 0, PACK(0)));
		assert_true(fixture_has(f, 0, MANIFEST));
		assert_true(f->fanout->targets[0].done);
		assert_false(fixture_has(f, 1, PACK(0)));
		assert_false(fixture_has(f, 1, MANIFEST));
		assert_true(f->fanout->targets[1].failed);
		assert_false(f->fanout->targets[1].done);
		/* and it does not come back into the game when it works again */
		f->store[1]->budget = FIXTURE_NEVER;
		f->store[1]->finish_fails = false;
		assert_false(fixture_has(f, 1, MANIFEST));
		fixture_teardown(state);
		fixture_setup(state);
	}
}

static void
a_repository_that_works_again_before_the_end_gets_no_manifest_either(void **state)
{
	struct fixture *f = *state;
	WRITER_OBJECT_AUTO struct writer_object manifest = {0};
	struct err why;

	assert_int_equal(writer_start(&f->writer, f->fanout, &manifest, OBJECT_MANIFEST, MANIFEST, NULL, NULL, NULL, NULL), 0);
	err_set(&why, ERR_IO, 0, "a pack could not be written");
	fanout_fail(f->fanout, 1, &why);
	assert_int_equal(object_writer_write(manifest.object, "a line\n", 7, NULL), 0);
	assert_int_equal(object_writer_finish(manifest.object, NULL, NULL, NULL, NULL), 0);
	assert_true(fixture_has(f, 0, MANIFEST));
	assert_false(fixture_has(f, 1, MANIFEST));
}

static void
an_object_whose_only_repository_failed_elsewhere_fails_with_that_error(void **state)
{
	struct fixture *f = *state;
	WRITER_OBJECT_AUTO struct writer_object manifest = {0};
	struct err why, err;

	assert_int_equal(writer_start(&f->writer, f->fanout, &manifest, OBJECT_MANIFEST, MANIFEST, NULL, NULL, NULL, NULL), 0);
	err_set(&why, ERR_NOSPACE, 0, "full");
	fanout_fail(f->fanout, 0, &why);
	fanout_fail(f->fanout, 1, &why);
	assert_int_equal(object_writer_finish(manifest.object, NULL, NULL, NULL, &err), ERR_NOSPACE);
	assert_false(fixture_has(f, 0, MANIFEST));
	assert_false(fixture_has(f, 1, MANIFEST));
}

static void
a_backup_fails_when_every_repository_breaks(void **state)
{
	struct fixture *f = *state;
	FREE_AUTO uint8_t *bytes = noise(4 * MIB);
	struct err err;

	f->store[0]->budget = 3 * MIB;
	f->store[1]->finish_fails = true;
	assert_int_equal(back_up(f, bytes, 4 * MIB, 0, &err), ERR_IO);
	for (size_t i = 0; i < FIXTURE_TARGETS; i++) {
		assert_false(fixture_has(f, i, PACK(0)));
		assert_false(fixture_has(f, i, MANIFEST));
	}
}

static void
a_pack_under_a_name_that_is_taken_is_not_ours(void **state)
{
	struct fixture *f = *state;
	WRITER_OBJECT_AUTO struct writer_object other = {0};
	static const bool only_b[] = {true, false};

	assert_int_equal(writer_start(&f->writer, f->fanout, &other, OBJECT_PACK, PACK(0), NULL, only_b, NULL, NULL), 0);
	assert_int_equal(object_writer_finish(other.object, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(back_up(f, "bytes", 5, 0, NULL), 0);
	assert_true(fixture_has(f, 0, MANIFEST));
	assert_false(fixture_has(f, 1, MANIFEST));
	assert_int_equal(f->fanout->targets[1].err.kind, ERR_EXISTS);
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(pieces_come_back_at_their_places),
	    T(a_piece_that_does_not_fit_begins_the_next_pack_whole),
	    T(a_piece_larger_than_a_pack_is_refused),
	    T(no_bytes_make_no_pack),
	    T(nothing_is_visible_of_a_pack_that_was_given_up),
	    T(both_have_all_of_it_when_nothing_breaks),
	    T(a_repository_without_a_pack_gets_no_manifest),
	    T(a_repository_that_works_again_before_the_end_gets_no_manifest_either),
	    T(an_object_whose_only_repository_failed_elsewhere_fails_with_that_error),
	    T(a_backup_fails_when_every_repository_breaks),
	    T(a_pack_under_a_name_that_is_taken_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
