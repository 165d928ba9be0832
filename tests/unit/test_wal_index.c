/* An index over WAL: what it says comes back, a chain is the same with it and without, and one that lies or is broken is passed
 * over. */
#include "index_fixture.h"

#include <sodium.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define FIRST 0x9
#define LAST 0x16
#define COUNT (LAST - FIRST + 1)

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	world_open(w, &(struct world_options){.repositories = 2});
	world_archive_all(w, main_segments, ARRAY_LEN(main_segments));
	*state = w;
	return 0;
}

static const char *
segment_file(struct world *w, const char *repository, uint64_t segno)
{
	FREE_AUTO char *relative = NULL;
	char text[WAL_NAME_MAX];

	wal_segment_name(text, 1, segno, 1 << 20);
	relative = str_printf("wal/%llu/00000001/00000000/%s", (unsigned long long)w->sysid, text);
	return world_object(w, repository, relative);
}

static void
remove_indexes(struct world *w)
{
	(void)fs_remove_tree(world_object(w, "a", "index"), NULL);
	(void)fs_remove_tree(world_object(w, "b", "index"), NULL);
}

/* Everything that a chain says, link by link and segment by segment. */
static void
expect_same(const struct wal_chain *a, const struct wal_chain *b)
{
	assert_int_equal(a->first, b->first);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->broken.kind, b->broken.kind);
	assert_string_equal(a->broken.msg, b->broken.msg);
	assert_int_equal(wal_chain_end(a), wal_chain_end(b));
	assert_int_equal(wal_chain_last_record(a), wal_chain_last_record(b));
	for (size_t i = 0; i < a->n; i++) {
		const struct wal_link *x, *y;
		char p[WAL_NAME_MAX], q[WAL_NAME_MAX];
		struct err err = {0};

		must(wal_chain_segment(a, i, &x, &err), &err);
		must(wal_chain_segment(b, i, &y, &err), &err);
		wal_chain_name(a, i, p);
		wal_chain_name(b, i, q);
		assert_string_equal(p, q);
		assert_int_equal(wal_chain_mask(a, i), wal_chain_mask(b, i));
		assert_int_equal(x->segno, a->first + i);
		assert_int_equal(y->segno, a->first + i);
		assert_int_equal(x->n, 1);
		assert_int_equal(x->last_record, y->last_record);
		assert_int_equal(x->end, y->end);
		assert_int_equal(x->commits, y->commits);
		assert_int_equal(x->points, y->points);
		assert_int_equal(x->min_time_us, y->min_time_us);
		assert_int_equal(x->max_time_us, y->max_time_us);
		assert_int_equal(x->min_xid, y->min_xid);
		assert_int_equal(x->max_xid, y->max_xid);
		assert_int_equal(x->spills, y->spills);
		assert_int_equal(x->runs_on, y->runs_on);
		assert_int_equal(x->may_hold_any_xid, y->may_hold_any_xid);
		assert_int_equal(x->verified, y->verified);
		assert_int_equal(x->wal_level_minimal, y->wal_level_minimal);
		assert_memory_equal(&x->limits, &y->limits, sizeof(x->limits));
		assert_int_equal(x->n_keys, y->n_keys);
		assert_memory_equal(x->keys, y->keys, x->n_keys * sizeof(*x->keys));
	}
}

/* From first up to a position, with indexes and without; how many links less it takes with them. */
static size_t
expect_chain(struct world *w, uint64_t first, lsn_t upto)
{
	struct wal_chain_options o = {.start = SEGMENT_LSN(first), .upto = upto, .without_indexes = true};
	struct wal_chain *without = NULL;
	struct links l;
	struct err err = {0};
	int rc = links_open(&l, w, 1, first, upto), want;
	size_t saved = 0;

	want = wal_chain_build(&without, l.repositories, l.n, l.set, &l.path, &o, &err);
	assert_int_equal(rc, want);
	if (rc == 0) {
		expect_same(l.chain, without);
		assert_int_equal(without->n_links, without->n);
		saved = without->n_links - l.chain->n_links;
	} else {
		assert_string_equal(l.err.msg, err.msg);
	}
	wal_chain_free(without);
	links_close(&l);
	return saved;
}

struct rows {
	uint64_t next;
	uint64_t commits;
};

static int
take_row(const struct wal_index_row *row, void *arg, struct err *err)
{
	static const uint8_t none[OBJECT_KEY_ID];
	struct rows *r = arg;

	(void)err;
	assert_int_equal(row->segno, r->next++);
	assert_memory_not_equal(row->key_id, none, sizeof(none));
	assert_int_equal(row->summary->start, SEGMENT_LSN(row->segno));
	r->commits += row->summary->commit_count;
	return 0;
}

static void
an_index_says_what_it_was_made_of(void **state)
{
	const struct wal_index_name name = {1, FIRST, COUNT};
	struct world *w = *state;
	WAL_INDEX_AUTO struct wal_index x = {0};
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	STORED_AUTO struct stored *object = NULL;
	struct rows rows = {.next = FIRST};
	struct err err = {0};

	index_put(w, "a", 1, FIRST, LAST);
	must(wal_index_open(&x, &object, r, w->sysid, &name, 1 << 20, &err), &err);
	assert_int_equal(object->index->header.cipher, OBJECT_CIPHER_NONE);
	assert_int_equal(x.run.n, COUNT);
	assert_int_equal(x.n_keys, 1);
	must(wal_index_rows(object, &name, take_row, &rows, &err), &err);
	assert_int_equal(rows.next, LAST + 1);
	assert_int_equal(rows.commits, x.run.all.commit_count);
	assert_true(rows.commits > 600);
	/* its clear part and what closes it come with one request */
	assert_true(object->index->lengths.clear < 3000);
}

static void
only_names_of_one_row_are_names_of_an_index(void **state)
{
	static const struct {
		const char *name;
		uint64_t first;
		uint32_t n; /* 0: refused */
	} rows[] = {
	    {"000000010000000000000009.0014", 9, 14},
	    {"000000010000000000000000.1024", 0, 1024},
	    {"00000001000000000000000A.1014", 10, 1014},
	    {"00000001000000000000000A.1015", 10, 0}, /* over the edge of a row */
	    {"0000000100000001000003FF.0001", 4096 + 1023, 1},
	    {"0000000100000001000003FF.0002", 0, 0},
	    {"000000010000000000001000.0001", 0, 0}, /* there are 4,096 of 1 MiB below a log number */
	    {"000000010000000000000000.1025", 0, 0},
	    {"000000010000000000000000.0000", 0, 0},
	    {"000000010000000000000000.14", 0, 0},
	    {"000000010000000000000000.00014", 0, 0},
	    {"000000010000000000000000.+014", 0, 0},
	    {"000000010000000000000000", 0, 0},
	    {"000000010000000000000000.", 0, 0},
	    {"00000001.history.0001", 0, 0},
	    {"000000010000000000000000.partial.0001", 0, 0},
	    {"00000001000000000000000a.0001", 0, 0},
	    {"000000000000000000000001.0001", 0, 0},
	    {"", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wal_index_name name;

		print_message("'%s'\n", rows[i].name);
		assert_int_equal(wal_index_name_parse(rows[i].name, 1 << 20, &name), rows[i].n != 0);
		if (rows[i].n == 0)
			continue;
		assert_int_equal(name.timeline, 1);
		assert_int_equal(name.first, rows[i].first);
		assert_int_equal(name.n, rows[i].n);
	}
}

static void
a_chain_says_the_same_with_any_indexes(void **state)
{
	struct world *w = *state;

	for (uint64_t cut = FIRST; cut <= LAST; cut++) {
		size_t saved;

		index_put(w, "a", 1, FIRST, cut);
		if (cut < LAST)
			index_put(w, "a", 1, cut + 1, LAST);
		saved = expect_chain(w, FIRST, 0);
		assert_int_equal(saved, COUNT - (cut < LAST ? 2 : 1));
		for (uint64_t first = FIRST - 1; first <= LAST + 1; first += 2) {
			(void)expect_chain(w, first, 0);
			(void)expect_chain(w, first, SEGMENT_LSN(cut));
			(void)expect_chain(w, first, SEGMENT_LSN(cut + 1));
		}
		remove_indexes(w);
	}
}

static void
rows_that_overlap_or_leave_holes_between_them_do_no_harm(void **state)
{
	struct world *w = *state;

	index_put(w, "a", 1, 0xA, 0xC);
	index_put(w, "a", 1, 0xB, 0xF);
	index_put(w, "a", 1, 0xB, 0xB);
	index_put(w, "a", 1, 0x11, 0x14);
	assert_int_equal(expect_chain(w, FIRST, 0), 5);
	assert_int_equal(expect_chain(w, 0xB, 0), 4 + 3);
	(void)expect_chain(w, 0xD, 0);
	(void)expect_chain(w, 0x12, SEGMENT_LSN(0x13));
}

/* Every hundredth bit or so of the object. */
static void
a_damaged_index_is_passed_over(void **state)
{
	struct world *w = *state;
	const char *path;
	long size;
	FILE *f;

	index_put(w, "a", 1, FIRST, LAST);
	path = index_file(w, "a", 1, FIRST, COUNT);
	f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(expect_chain(w, FIRST, 0), COUNT - 1);
	for (long at = 0; at < size; at += size / 60) {
		path = index_file(w, "a", 1, FIRST, COUNT);
		world_flip(path, at);
		(void)expect_chain(w, FIRST, 0);
		(void)expect_chain(w, FIRST + 2, 0);
		world_flip(index_file(w, "a", 1, FIRST, COUNT), at);
	}
	path = index_file(w, "a", 1, FIRST, COUNT);
	assert_int_equal(truncate(path, size - 1), 0);
	assert_int_equal(expect_chain(w, FIRST, 0), 0);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(expect_chain(w, FIRST, 0), 0);
}

static void
an_index_of_an_unknown_signer_is_passed_over(void **state)
{
	struct world *w = *state;
	WAL_INDEX_DRAFT_AUTO struct wal_index_draft d = {0};
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	struct signing_key stranger = {.secret = secret_new()};
	struct err err = {0};

	assert_non_null(stranger.secret);
	crypto_sign_keypair(stranger.public_key, stranger.secret->bytes);
	index_collect(&d, w, r, 1, FIRST, LAST);
	must(wal_index_put(&d, r, w->sysid, OBJECT_CODEC_ZSTD, &stranger, &err), &err);
	assert_int_equal(expect_chain(w, FIRST, 0), 0);
	(void)expect_chain(w, FIRST + 1, 0);
	signing_key_free(&stranger);
}

/* What a writer would have to get wrong, or an enrolled host make up. */
static void
an_index_that_contradicts_itself_or_its_name_is_passed_over(void **state)
{
	static const char *const rows[] = {"{\"segments\":13}", "{\"segments\":0}", "{\"segments\":\"14\"}",
	    "{\"size\":2097152}", "{\"timeline\":2}", "{\"start\":\"0/A00000\"}", "{\"system_identifier\":\"1\"}",
	    "{\"keys\":[\"00\"]}", "{\"keys\":{}}", "{\"keys\":null}", "{\"last_seen\":\"x\"}", "{\"last_seen\":\"0/0\"}",
	    "{\"last_unknown\":1}", "{\"spills\":\"yes\"}", "{\"spills\":[14]}", "{\"spills\":[1,1]}", "{\"spills\":[2,1]}",
	    "{\"spills\":[-1]}", "{\"points\":[]}", "{\"points\":[true]}", "{\"records\":-1}", "{\"head\":7}",
	    "{\"head\":{\"expected\":8,\"length\":9,\"crc0\":0}}",
	    "{\"tail\":{\"start\":\"0/1\",\"total\":2,\"length\":1,\"crc\":0,\"header\":\"\"}}", "{\"commits\":null}"};
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	WRITER_AUTO struct writer *writer = world_writer(w);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct object_header header = {.kind = OBJECT_WAL_INDEX};
		WAL_INDEX_DRAFT_AUTO struct wal_index_draft d = {0};
		JSON_AUTO json_t *clear = json_object(), *wrong = NULL;
		char relative[OBJECT_NAME_MAX];
		struct err err = {0};

		print_message("%s\n", rows[i]);
		index_collect(&d, w, r, 1, FIRST, LAST);
		must(wal_index_encode(&d.index, clear, &err), &err);
		must(json_read(&wrong, rows[i], strlen(rows[i]), "a row", &err), &err);
		assert_int_equal(json_object_update(clear, wrong), 0);
		must(wal_index_relative(relative, r->id, w->sysid, &d.name, 1 << 20, &err), &err);
		must(repository_put_plain(r, relative, &header, &d.rows, clear, &writer->signing, &err), &err);
		assert_int_equal(expect_chain(w, FIRST, 0), 0);
		(void)expect_chain(w, FIRST + 1, 0);
		remove_indexes(w);
	}
}

/* Its clear part is sound, its rows are not: what begins inside of it reads the segments. */
static void
rows_that_are_wrong_are_passed_over(void **state)
{
	static const char *const texts[] = {
	    "", "\n", "{}\n", "{\"clear\":{}}\n", "{\"clear\":7}\n", "no JSON\n", "[]\n", "{\"key_id\":\"00\",\"clear\":{}}\n"};
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	WRITER_AUTO struct writer *writer = world_writer(w);

	for (size_t i = 0; i <= ARRAY_LEN(texts) + 1; i++) {
		WAL_INDEX_DRAFT_AUTO struct wal_index_draft d = {0};
		struct err err = {0};

		index_collect(&d, w, r, 1, FIRST, LAST);
		if (i < ARRAY_LEN(texts)) {
			buf_reset(&d.rows);
			must(buf_append(&d.rows, texts[i], strlen(texts[i]), &err), &err);
		} else if (i == ARRAY_LEN(texts)) {
			d.rows.len--; /* the last line has no end */
		} else {
			must(buf_append(&d.rows, "{}\n", 3, &err), &err);
		}
		must(wal_index_put(&d, r, w->sysid, OBJECT_CODEC_NONE, &writer->signing, &err), &err);
		(void)expect_chain(w, FIRST, 0);
		(void)expect_chain(w, FIRST + 1, 0);
		(void)expect_chain(w, FIRST + 5, SEGMENT_LSN(LAST - 2));
		remove_indexes(w);
	}
}

/* An index does not know what was removed since: names do. */
static void
a_segment_that_is_removed_from_a_row_is_a_gap(void **state)
{
	struct world *w = *state;

	index_put(w, "a", 1, FIRST, LAST);
	index_put(w, "b", 1, FIRST, LAST);
	for (uint64_t segno = FIRST; segno <= LAST; segno += 4) {
		FREE_AUTO char *a = str_printf("%s.away", segment_file(w, "a", segno)),
			       *b = str_printf("%s.away", segment_file(w, "b", segno));
		struct links l;

		/* one repository still has it */
		assert_int_equal(rename(segment_file(w, "a", segno), a), 0);
		must(links_open(&l, w, 1, FIRST, 0), &l.err);
		assert_int_equal(l.chain->n, COUNT);
		links_close(&l);
		(void)expect_chain(w, FIRST, 0);
		assert_int_equal(rename(segment_file(w, "b", segno), b), 0);
		(void)expect_chain(w, FIRST, 0);
		(void)expect_chain(w, FIRST + 2, 0);
		if (segno > FIRST) {
			must(links_open(&l, w, 1, FIRST, 0), &l.err);
			assert_int_equal(l.chain->n, segno - FIRST);
			assert_int_equal(l.chain->broken.kind, ERR_NOT_FOUND);
			links_close(&l);
		}
		assert_int_equal(rename(a, segment_file(w, "a", segno)), 0);
		assert_int_equal(rename(b, segment_file(w, "b", segno)), 0);
	}
}

static void
an_index_alone_makes_no_segment_exist(void **state)
{
	struct world *w = *state;
	WAL_SET_AUTO struct wal_set *set = NULL;
	REPOSITORY_AUTO struct repository *r = NULL;
	FREE_AUTO char *wal = str_printf("wal/%llu", (unsigned long long)w->sysid);
	struct err err = {0};

	index_put(w, "a", 1, FIRST, LAST);
	must(fs_remove_tree(world_object(w, "a", wal), &err), &err);
	r = world_repository(w, "a");
	must(wal_set_load(&set, &r, 1, w->sysid, &err), &err);
	assert_null(wal_set_timeline(set, 1));
}

/* Under the other's id it has another name than its header says. */
static void
an_index_of_another_repository_is_not_used(void **state)
{
	struct world *w = *state;
	FREE_AUTO char *from = NULL, *to = NULL, *dir = NULL;
	struct err err = {0};

	index_put(w, "b", 1, FIRST, LAST);
	assert_int_equal(expect_chain(w, FIRST, 0), 0); /* the segments are read from a */
	from = strdup(index_file(w, "b", 1, FIRST, COUNT));
	to = strdup(index_file(w, "a", 1, FIRST, COUNT));
	dir = strdup(to);
	assert_true(from != NULL && to != NULL && dir != NULL);
	*strrchr(dir, '/') = '\0';
	must(fs_make_dirs(dir, 0700, &err), &err);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(expect_chain(w, FIRST, 0), 0);
	(void)expect_chain(w, FIRST + 1, 0);
}

/* The order of repositories says whose copy counts: where a lacks segments, those of b do, by b's index. */
static void
each_part_of_the_chain_is_told_by_the_repository_that_it_is_read_from(void **state)
{
	struct world *w = *state;

	for (uint64_t segno = 0xC; segno <= 0x12; segno++)
		assert_int_equal(unlink(segment_file(w, "a", segno)), 0);
	index_put(w, "a", 1, FIRST, 0xB);
	index_put(w, "a", 1, 0x13, LAST);
	index_put(w, "b", 1, 0xC, 0x12);
	index_put(w, "b", 1, FIRST, LAST);
	assert_int_equal(expect_chain(w, FIRST, 0), COUNT - 3);
	(void)expect_chain(w, 0xE, 0);
}

/* What the index over a row says is not contradicted by the neighbours, but they do not join it. */
static void
a_row_that_does_not_join_is_asked_again_segment_by_segment(void **state)
{
	struct world *w = *state;
	REPOSITORY_AUTO struct repository *r = world_repository(w, "a");
	WRITER_AUTO struct writer *writer = world_writer(w);
	WAL_INDEX_DRAFT_AUTO struct wal_index_draft d = {0};
	struct err err = {0};

	index_collect(&d, w, r, 1, 0xE, LAST);
	d.index.run.all.first_page_timeline = 0;
	must(wal_index_put(&d, r, w->sysid, OBJECT_CODEC_ZSTD, &writer->signing, &err), &err);
	assert_int_equal(expect_chain(w, FIRST, 0), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(an_index_says_what_it_was_made_of),
	    cmocka_unit_test(only_names_of_one_row_are_names_of_an_index),
	    CASE(a_chain_says_the_same_with_any_indexes),
	    CASE(rows_that_overlap_or_leave_holes_between_them_do_no_harm),
	    CASE(a_damaged_index_is_passed_over),
	    CASE(an_index_of_an_unknown_signer_is_passed_over),
	    CASE(an_index_that_contradicts_itself_or_its_name_is_passed_over),
	    CASE(rows_that_are_wrong_are_passed_over),
	    CASE(a_segment_that_is_removed_from_a_row_is_a_gap),
	    CASE(an_index_alone_makes_no_segment_exist),
	    CASE(an_index_of_another_repository_is_not_used),
	    CASE(each_part_of_the_chain_is_told_by_the_repository_that_it_is_read_from),
	    CASE(a_row_that_does_not_join_is_asked_again_segment_by_segment),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
