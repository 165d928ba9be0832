#include "format_example.h"

#include <sodium.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/str.h"
#include "check.h"
#include "keys/epoch.h"
#include "keys/sign.h"
#include "repo/layout.h"
#include "repo/wal_object.h"

#define PAGE_MAX ((size_t)1 << 20)
#define ROW_BYTES 32
#define FILE_NAME "000000010000000000000002.00000028.backup"
#define HISTORY_NAME "wal/7000000000000000001/00000001/00000000/" FILE_NAME

static const char plain_text[] = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"
				 "STOP WAL LOCATION: 0/2000100 (file 000000010000000000000002)\n"
				 "CHECKPOINT LOCATION: 0/2000060\n"
				 "BACKUP METHOD: streamed\n"
				 "BACKUP FROM: primary\n"
				 "START TIME: 2026-01-31 14:59:00 UTC\n"
				 "LABEL: pgcairn 20260131T145900Z-3f2a\n"
				 "START TIMELINE: 1\n"
				 "STOP TIME: 2026-01-31 14:59:02 UTC\n"
				 "STOP TIMELINE: 1\n";

/* What a line of the page is made of: "OFFSET HEX NOTE". */
struct rows {
	const uint8_t *data;
	size_t at;
};

/* Bytes of one meaning; as_text: with their text beside them. */
static void
put(struct rows *r, size_t len, const char *note, bool as_text)
{
	for (size_t done = 0; done < len;) {
		size_t n = len - done < ROW_BYTES ? len - done : ROW_BYTES;
		char hex[2 * ROW_BYTES + 1];

		str_to_hex(hex, r->data + r->at, n);
		printf("%5zu  %s%s%s%.*s\n", r->at, hex, done == 0 || as_text ? "  " : "", done == 0 ? note : "",
		    as_text ? (int)n : 0, (const char *)r->data + r->at);
		r->at += n;
		done += n;
	}
}

static void
row(struct rows *r, size_t len, const char *note)
{
	put(r, len, note, false);
}

static void
header_rows(struct rows *r)
{
	size_t name = le16_get(r->data + 56), sealed = le16_get(r->data + 58);

	row(r, 8, "magic");
	row(r, 2, "version");
	row(r, 2, "length of the header");
	row(r, 1, "kind");
	row(r, 1, "codec");
	row(r, 1, "cipher");
	row(r, 1, "frame size");
	row(r, 8, "features");
	row(r, OBJECT_CLUSTER, "cluster id");
	row(r, OBJECT_KEY_ID, "key id");
	row(r, 2, "length of the name");
	row(r, 2, "length of the sealed key");
	row(r, 4, "zero");
	put(r, name, "name: ", true);
	if (sealed > 0) {
		row(r, 1, "sealed key: type X25519");
		row(r, 1, "zero");
		row(r, 2, "length of the sealed box");
		row(r, sealed - 4, "sealed box");
	}
}

static void
print_object(const char *title, const struct memory_blob *b)
{
	struct rows r = {.data = b->data};
	const uint8_t *tail = b->data + b->len - OBJECT_TAIL;

	printf("```object %s\n", title);
	header_rows(&r);
	for (uint32_t i = 0; i < le32_get(tail + 12); i++) /* the example has one frame at most */
		row(&r, (size_t)le64_get(tail + 32), "frame 0");
	if (le32_get(tail + 12) > 0) {
		row(&r, 4, "frame table, entry 0: stored length");
		row(&r, 1, "encoding");
		row(&r, 3, "zero");
		row(&r, OBJECT_DIGEST, "digest of the stored frame");
	}
	put(&r, le32_get(tail + 16), "clear part: ", true);
	row(&r, le32_get(tail + 20), "sealed part");
	row(&r, 1, "signature: type Ed25519");
	row(&r, 7, "zero");
	row(&r, 32, "signer");
	row(&r, 64, "signature");
	row(&r, 8, "tail magic");
	row(&r, 4, "length of the header");
	row(&r, 4, "number of frames");
	row(&r, 4, "length of the clear part");
	row(&r, 4, "length of the sealed part");
	row(&r, 4, "length of the signature block");
	row(&r, 4, "zero");
	row(&r, 8, "stored bytes of all frames");
	row(&r, 8, "plain bytes of all frames");
	row(&r, OBJECT_DIGEST, "object digest");
	printf("```\n\n");
	assert_int_equal(r.at, b->len);
}

static void
write_object(const struct object_spec *spec, const void *plain, size_t len, const struct buf *clear, const struct buf *sealed,
    struct memory_blob *out)
{
	struct memory_place place = {.fail_at = UINT64_MAX};
	OBJECT_WRITER_AUTO struct object_writer *w = NULL;
	struct err err = {0};

	must(object_writer_new(&w, spec, memory_sink(&place), &err), &err);
	must(object_writer_write(w, plain, len, &err), &err);
	must(object_writer_finish(w, clear, sealed, NULL, &err), &err);
	*out = (struct memory_blob){.data = place.visible.data, .len = place.visible.len, .fail_get_at = UINT64_MAX};
}

static void
make_key(const struct recipients *to, const uint8_t *signing_key, struct epoch *epoch, struct memory_blob *out)
{
	struct object_spec spec = {.header = {.kind = OBJECT_EPOCH_KEY, .cluster = {1, 2, 3}}, .signing_key = signing_key};
	JSON_AUTO json_t *record = NULL;
	BUF_AUTO struct buf clear = {0};
	struct err err = {0};

	must(epoch_create(epoch, &record, "wal", to, &err), &err);
	must(layout_epoch_key(spec.header.name, epoch->key_id, 0, &err), &err);
	must(json_write(record, &clear, &err), &err);
	write_object(&spec, NULL, 0, &clear, NULL, out);
}

static void
make_history(const struct epoch *epoch, const uint8_t *signing_key, const uint8_t *comparison, struct memory_blob *out)
{
	struct object_spec spec = {
	    .header = {.kind = OBJECT_BACKUP_HISTORY, .codec = OBJECT_CODEC_LZ4, .cluster = {1, 2, 3}, .name = HISTORY_NAME},
	    .signing_key = signing_key,
	};
	CONTENT_ID_AUTO struct content_id *content = NULL;
	SECRET_AUTO struct secret *key = NULL;
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	size_t len = strlen(plain_text);
	uint8_t id[CONTENT_ID];
	struct err err = {0};

	must(content_id_new(&content, comparison, &err), &err);
	content_id_update(content, plain_text, len);
	content_id_final(content, id);
	must(wal_object_encode(NULL, id, len, FILE_NAME, &clear, &sealed, &err), &err);
	must(epoch_seal_object_key(epoch, &spec.header, &key, &err), &err);
	spec.key = key->bytes;
	write_object(&spec, plain_text, len, &clear, &sealed, out);
}

void
format_example_make(struct format_example *out)
{
	uint8_t identity[KEY_BYTES], comparison[KEY_BYTES], seed[KEY_BYTES], signer[KEY_BYTES], signing_key[64];
	struct recipients to = {.n = 1};
	struct epoch epoch;
	struct err err = {0};

	memset(out, 0, sizeof(*out));
	memset(identity, 0x11, sizeof(identity));
	memset(seed, 0x22, sizeof(seed));
	memset(comparison, 0x33, sizeof(comparison));
	crypto_scalarmult_base(to.list[0].key, identity);
	crypto_sign_seed_keypair(signer, signing_key, seed);
	make_key(&to, signing_key, &epoch, &out->key);
	make_history(&epoch, signing_key, comparison, &out->history);
	must(buf_append(&out->plain, plain_text, strlen(plain_text), &err), &err);
	key_format(out->identity, KEY_TYPE_IDENTITY, identity);
	key_format(out->signer, KEY_TYPE_SIGNER, signer);
	key_format(out->comparison, KEY_TYPE_COMPARISON, comparison);
}

void
format_example_print(const struct format_example *e)
{
	printf("```keys\n%s\n%s\n%s\n```\n\n", e->identity, e->signer, e->comparison);
	print_object("keys", &e->key);
	print_object("wal", &e->history);
	printf("```plain\n%s```\n\n", buf_text(&e->plain));
}

/* The lines of the fenced block that begins with "```NAME". */
static const char *
block(const struct format_example *e, const char *name, size_t *len)
{
	char fence[32];
	const char *begin, *end;

	(void)snprintf(fence, sizeof(fence), "\n```%s", name);
	begin = strstr(e->text, fence);
	if (begin == NULL)
		fail_msg("%s: the example has no block '%s'", FORMAT_PAGE, name);
	begin = strchr(begin + 1, '\n') + 1;
	end = strstr(begin, "```\n");
	assert_non_null(end);
	*len = (size_t)(end - begin);
	return begin;
}

static void
read_object(const struct format_example *e, const char *name, struct memory_blob *out)
{
	size_t len;
	const char *at = block(e, name, &len), *end = at + len;

	*out = (struct memory_blob){.data = calloc(1, len), .fail_get_at = UINT64_MAX};
	assert_non_null(out->data);
	while (at < end) {
		char *hex, digits[2 * ROW_BYTES + 1];
		size_t offset = strtoul(at, &hex, 10), n;

		hex += strspn(hex, " ");
		n = strspn(hex, "0123456789abcdef");
		if (offset != out->len || n == 0 || n > 2 * ROW_BYTES)
			fail_msg("%s: '%.40s' is not the line of byte %zu", FORMAT_PAGE, at, out->len);
		memcpy(digits, hex, n);
		digits[n] = '\0';
		assert_true(str_from_hex(digits, out->data + out->len, n / 2));
		out->len += n / 2;
		at = strchr(at, '\n') + 1;
	}
}

static void
read_key(const struct format_example *e, const char *type, char *out, size_t size)
{
	size_t len, n;
	const char *at = strstr(block(e, "keys\n", &len), type);

	assert_non_null(at);
	n = strcspn(at, "\n");
	assert_true(n < size);
	memcpy(out, at, n);
	out[n] = '\0';
}

void
format_example_read(struct format_example *out)
{
	FREE_AUTO char *path = str_printf("%s/%s", getenv("PGCAIRN_TEST_SOURCE"), FORMAT_PAGE);
	struct err err = {0};
	const char *text;
	size_t len;

	memset(out, 0, sizeof(*out));
	assert_non_null(path);
	out->page.max = PAGE_MAX;
	must(fs_read_file(path, PAGE_MAX, &out->page, &err), &err);
	out->text = strstr(buf_text(&out->page), FORMAT_EXAMPLE);
	if (out->text == NULL)
		fail_msg("%s has no worked example", FORMAT_PAGE);
	read_object(out, "object keys", &out->key);
	read_object(out, "object wal", &out->history);
	text = block(out, "plain", &len);
	must(buf_append(&out->plain, text, len, &err), &err);
	read_key(out, KEY_TYPE_IDENTITY ":", out->identity, sizeof(out->identity));
	read_key(out, "ed25519:", out->signer, sizeof(out->signer));
	read_key(out, KEY_TYPE_COMPARISON ":", out->comparison, sizeof(out->comparison));
}

void
format_example_free(struct format_example *e)
{
	free(e->key.data);
	free(e->history.data);
	buf_free(&e->plain);
	buf_free(&e->page);
}
