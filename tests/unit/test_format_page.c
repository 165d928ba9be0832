/*
 * The worked example of docs/repository-format.md is what this build reads and writes. Where the stored form was changed, make
 * a new one: build-tests/tests/unit/test_format_page print
 */
#include "format_example.h"

#include <sodium.h>

#include "base/fs.h"
#include "base/str.h"
#include "check.h"
#include "keys/epoch.h"
#include "repo/wal_object.h"

static int
setup(void **state)
{
	struct format_example *e = calloc(1, sizeof(*e));

	assert_int_equal(keys_init(NULL), 0);
	format_example_read(e);
	*state = e;
	return 0;
}

static int
teardown(void **state)
{
	format_example_free(*state);
	free(*state);
	return 0;
}

static void
index_of(struct memory_blob *b, struct object_index **x)
{
	struct object_input in = memory_input(b);
	struct err err = {0};

	must(object_index_read(x, &in, &err), &err);
}

/* What a decoder finds on its way, as the page states it: one that fails knows how far it came. */
struct value {
	const char *name;
	char text[256];
};

enum { HEADER_DIGEST, ROOT, OBJECT_DIGEST_FOUND, EPOCH_PRIVATE, OBJECT_KEY_OPENED, SEALED_PART, VALUES };

static void
set_value(struct value *v, const char *name, const uint8_t *data, size_t len)
{
	v->name = name;
	assert_true(2 * len < sizeof(v->text));
	str_to_hex(v->text, data, len);
}

/* An identity file with one key, read as restore reads it. */
static void
identity_of(const char *key, struct identity **id)
{
	char path[] = "/tmp/pgcairn-example-XXXXXX";
	struct err err = {0};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	must(fs_write_all(fd, key, strlen(key), path, &err), &err);
	assert_int_equal(close(fd), 0);
	must(identity_read_file(id, path, &err), &err);
	assert_int_equal(unlink(path), 0);
}

/* The epoch's private half out of the key object. */
static int
open_epoch(struct format_example *e, const char *identity, struct secret **private_key, struct err *err)
{
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	JSON_AUTO json_t *record = NULL;
	IDENTITY_AUTO struct identity *id = NULL;
	int rc;

	index_of(&e->key, &x);
	identity_of(identity, &id);
	rc = json_read(&record, buf_text(&x->clear), x->clear.len, "the clear part", err);
	return rc < 0 ? rc : epoch_open(private_key, record, id, err);
}

static void
open_history(struct format_example *e, struct object_index **x, struct secret **key)
{
	SECRET_AUTO struct secret *private_key = NULL;
	struct err err = {0};

	index_of(&e->history, x);
	must(open_epoch(e, e->identity, &private_key, &err), &err);
	must(epoch_open_object_key(&(*x)->header, private_key, key, &err), &err);
}

static void
find_values(struct format_example *e, struct value v[VALUES])
{
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	SECRET_AUTO struct secret *private_key = NULL, *key = NULL;
	BUF_AUTO struct buf sealed = {0};
	uint8_t root[OBJECT_DIGEST];
	struct err err = {0};

	open_history(e, &x, &key);
	must(open_epoch(e, e->identity, &private_key, &err), &err);
	object_root(root, x->header_digest, e->history.data + x->lengths.header + x->lengths.frame_bytes, x->clear.data,
	    x->sealed.data, &x->lengths);
	must(object_sealed_read(x, key->bytes, &sealed, &err), &err);
	set_value(&v[EPOCH_PRIVATE], "epoch key, private half", private_key->bytes, KEY_BYTES);
	set_value(&v[OBJECT_KEY_OPENED], "object key", key->bytes, OBJECT_KEY);
	set_value(&v[HEADER_DIGEST], "header digest", x->header_digest, OBJECT_DIGEST);
	set_value(&v[ROOT], "root", root, OBJECT_DIGEST);
	set_value(&v[OBJECT_DIGEST_FOUND], "object digest", x->digest, OBJECT_DIGEST);
	v[SEALED_PART].name = "sealed part, opened";
	(void)snprintf(v[SEALED_PART].text, sizeof(v[SEALED_PART].text), "%s", buf_text(&sealed));
}

static void
print(void)
{
	struct format_example e;
	struct value v[VALUES];

	format_example_make(&e);
	format_example_print(&e);
	find_values(&e, v);
	for (size_t i = 0; i < VALUES; i++)
		printf("| %s | `%s` |\n", v[i].name, v[i].text);
	format_example_free(&e);
}

static void
the_page_states_what_a_decoder_finds_on_its_way(void **state)
{
	struct format_example *e = *state;
	struct value v[VALUES];

	find_values(e, v);
	for (size_t i = 0; i < VALUES; i++)
		if (strstr(e->text, v[i].text) == NULL)
			fail_msg("%s does not state: %s %s", FORMAT_PAGE, v[i].name, v[i].text);
}

static void
the_headers_say_what_the_page_says(void **state)
{
	struct format_example *e = *state;
	OBJECT_INDEX_AUTO struct object_index *key = NULL, *history = NULL;
	uint8_t signer[KEY_BYTES];
	struct err err = {0};

	index_of(&e->key, &key);
	index_of(&e->history, &history);
	assert_int_equal(key->header.kind, OBJECT_EPOCH_KEY);
	assert_int_equal(history->header.kind, OBJECT_BACKUP_HISTORY);
	assert_int_equal(history->header.codec, OBJECT_CODEC_LZ4);
	assert_int_equal(history->header.cipher, OBJECT_CIPHER_XCHACHA20POLY1305);
	assert_int_equal(history->frames[0].encoding, OBJECT_CODEC_LZ4);
	assert_memory_equal(key->header.cluster, history->header.cluster, OBJECT_CLUSTER);
	must(key_parse(signer, KEY_TYPE_SIGNER, e->signer, strlen(e->signer), &err), &err);
	assert_memory_equal(key->signer, signer, KEY_BYTES);
	assert_memory_equal(history->signer, signer, KEY_BYTES);
}

static int
append(const void *data, size_t len, void *arg, struct err *err)
{
	return buf_append(arg, data, len, err);
}

static void
the_identity_opens_the_frame(void **state)
{
	struct format_example *e = *state;
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	SECRET_AUTO struct secret *key = NULL;
	BUF_AUTO struct buf plain = {0};
	struct object_input in = memory_input(&e->history);
	struct err err = {0};

	open_history(e, &x, &key);
	must(object_read_all(x, &in, key->bytes, NULL, append, &plain, &err), &err);
	assert_string_equal(buf_text(&plain), buf_text(&e->plain));
}

static void
the_content_id_is_that_of_the_plain_bytes(void **state)
{
	struct format_example *e = *state;
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	CONTENT_ID_AUTO struct content_id *c = NULL;
	JSON_AUTO json_t *clear = NULL;
	uint8_t comparison[KEY_BYTES], want[CONTENT_ID], id[CONTENT_ID];
	struct err err = {0};

	index_of(&e->history, &x);
	must(json_read(&clear, buf_text(&x->clear), x->clear.len, "the clear part", &err), &err);
	must(wal_object_content_id(clear, want, &err), &err);
	must(key_parse(comparison, KEY_TYPE_COMPARISON, e->comparison, strlen(e->comparison), &err), &err);
	must(content_id_new(&c, comparison, &err), &err);
	content_id_update(c, e->plain.data, e->plain.len);
	content_id_final(c, id);
	assert_memory_equal(id, want, CONTENT_ID);
}

static void
another_identity_opens_nothing(void **state)
{
	SECRET_AUTO struct secret *private_key = NULL;
	uint8_t other[KEY_BYTES] = {1};
	char text[KEY_TEXT];
	struct err err = {0};

	key_format(text, KEY_TYPE_IDENTITY, other);
	must_fail(open_epoch(*state, text, &private_key, &err), ERR_AUTH, &err, "another identity");
}

/* Whatever a byte means, it is covered by a digest or a tag: no row of the example is decoration. */
static void
every_byte_of_the_example_is_covered(void **state)
{
	struct format_example *e = *state;
	SECRET_AUTO struct secret *key = NULL;
	OBJECT_INDEX_AUTO struct object_index *x = NULL;
	struct memory_blob *const both[] = {&e->key, &e->history};

	open_history(e, &x, &key);
	for (size_t k = 0; k < ARRAY_LEN(both); k++) {
		for (size_t i = 0; i < both[k]->len; i++) {
			BUF_AUTO struct buf plain = {0};
			struct err err = {0};

			both[k]->data[i] ^= 0x10;
			if (memory_read(both[k], key->bytes, NULL, &plain, &err) == 0)
				fail_msg("byte %zu of object %zu may be anything", i, k);
			both[k]->data[i] ^= 0x10;
		}
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(the_headers_say_what_the_page_says, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_page_states_what_a_decoder_finds_on_its_way, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_identity_opens_the_frame, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_content_id_is_that_of_the_plain_bytes, setup, teardown),
	    cmocka_unit_test_setup_teardown(another_identity_opens_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_byte_of_the_example_is_covered, setup, teardown),
	};

	if (argc > 1 && strcmp(argv[1], "print") == 0) {
		if (keys_init(NULL) == 0)
			print();
		return 0;
	}
	return cmocka_run_group_tests_name("format_page", tests, NULL, NULL);
}
