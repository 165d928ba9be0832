/* The small fixed pieces of the stored form: header, tail, root, signature. Frames are in frame.c. */
#include "codec/object.h"

#include <sodium.h>

#include "base/bytes.h"

static const uint8_t header_magic[8] = {'P', 'G', 'C', 'A', 'I', 'R', 'N', '\n'};
static const uint8_t tail_magic[8] = {'C', 'A', 'I', 'R', 'N', 'E', 'N', 'D'};
static const char signature_domain[] = "pgcairn object signature 0"; /* its NUL is signed too */

#define SIGNATURE_ED25519 1

void
object_hash(uint8_t out[OBJECT_DIGEST], const void *data, size_t len)
{
	crypto_generichash(out, OBJECT_DIGEST, data, len, NULL, 0);
}

const char *
object_kind_name(uint8_t kind)
{
	static const char *const names[] = {"?", "wal", "wal-partial", "backup-history", "timeline-history", "pack", "manifest",
	    "epoch-key", "record", "quarantine", "wal-index"};

	return kind < ARRAY_LEN(names) ? names[kind] : names[0];
}

int
object_header_encode(const struct object_header *h, uint8_t out[OBJECT_HEADER_MAX], size_t *len, struct err *err)
{
	size_t name_len = strnlen(h->name, OBJECT_NAME_MAX);
	size_t total = OBJECT_HEADER_FIXED + name_len + h->sealed_key_len;

	if (name_len == 0 || name_len >= OBJECT_NAME_MAX || h->sealed_key_len > OBJECT_SEALED_KEY_MAX)
		return err_set(err, ERR_BUG, 0, "an object header with a bad name or key");
	memset(out, 0, OBJECT_HEADER_FIXED);
	memcpy(out, header_magic, sizeof(header_magic));
	le16_put(out + 8, OBJECT_VERSION);
	le16_put(out + 10, (uint16_t)total);
	out[12] = h->kind;
	out[13] = h->codec;
	out[14] = h->cipher;
	out[15] = OBJECT_FRAME_SHIFT;
	le64_put(out + 16, h->features);
	memcpy(out + 24, h->cluster, OBJECT_CLUSTER);
	memcpy(out + 40, h->key_id, OBJECT_KEY_ID);
	le16_put(out + 56, (uint16_t)name_len);
	le16_put(out + 58, h->sealed_key_len);
	memcpy(out + OBJECT_HEADER_FIXED, h->name, name_len);
	memcpy(out + OBJECT_HEADER_FIXED + name_len, h->sealed_key, h->sealed_key_len);
	*len = total;
	return 0;
}

/* A key and its id stand there when there is a cipher, and only then. */
static bool
key_fits_cipher(uint8_t cipher, size_t key_len, const uint8_t key_id[OBJECT_KEY_ID])
{
	if (cipher != OBJECT_CIPHER_NONE)
		return key_len > 0;
	return key_len == 0 && sodium_is_zero(key_id, OBJECT_KEY_ID);
}

int
object_header_decode(struct object_header *h, const uint8_t *data, size_t have, size_t *len, struct err *err)
{
	size_t name_len, key_len, total;

	if (have < OBJECT_HEADER_FIXED || memcmp(data, header_magic, sizeof(header_magic)) != 0)
		return err_set(err, ERR_CORRUPT, 0, "not a pgcairn object: the first bytes are wrong");
	if (le16_get(data + 8) != OBJECT_VERSION) {
		err_set(err, ERR_CONFIG, 0, "object has envelope version %u, this build reads %d", le16_get(data + 8),
		    OBJECT_VERSION);
		return err_hint(err, "use a newer pgcairn");
	}
	total = le16_get(data + 10);
	name_len = le16_get(data + 56);
	key_len = le16_get(data + 58);
	if (name_len == 0 || name_len >= OBJECT_NAME_MAX || key_len > OBJECT_SEALED_KEY_MAX ||
	    total != OBJECT_HEADER_FIXED + name_len + key_len || total > have || data[15] != OBJECT_FRAME_SHIFT ||
	    le32_get(data + 60) != 0 || memchr(data + OBJECT_HEADER_FIXED, '\0', name_len) != NULL)
		return err_set(err, ERR_CORRUPT, 0, "object header is malformed");
	memset(h, 0, sizeof(*h));
	h->kind = data[12];
	h->codec = data[13];
	h->cipher = data[14];
	h->features = le64_get(data + 16);
	if (h->features != 0 || h->codec > OBJECT_CODEC_ZSTD || h->cipher > OBJECT_CIPHER_XCHACHA20POLY1305) {
		err_set(err, ERR_CONFIG, 0, "object needs a codec, cipher or feature that this build does not know");
		return err_hint(err, "use a newer pgcairn");
	}
	if (!key_fits_cipher(h->cipher, key_len, data + 40))
		return err_set(err, ERR_CORRUPT, 0, "object header has a cipher without key, or a key without cipher");
	memcpy(h->cluster, data + 24, OBJECT_CLUSTER);
	memcpy(h->key_id, data + 40, OBJECT_KEY_ID);
	memcpy(h->name, data + OBJECT_HEADER_FIXED, name_len);
	h->sealed_key_len = (uint16_t)key_len;
	memcpy(h->sealed_key, data + OBJECT_HEADER_FIXED + name_len, key_len);
	*len = total;
	return 0;
}

void
object_root(uint8_t out[OBJECT_DIGEST], const uint8_t header_digest[OBJECT_DIGEST], const uint8_t *table, const void *clear,
    const void *sealed, const struct object_lengths *l)
{
	uint8_t in[4 * OBJECT_DIGEST + 36], *n = in + 4 * OBJECT_DIGEST;

	memcpy(in, header_digest, OBJECT_DIGEST);
	object_hash(in + OBJECT_DIGEST, table, (size_t)l->frames * OBJECT_TABLE_ENTRY);
	object_hash(in + 2 * OBJECT_DIGEST, clear, l->clear);
	object_hash(in + 3 * OBJECT_DIGEST, sealed, l->sealed);
	le32_put(n, l->header);
	le32_put(n + 4, l->frames);
	le32_put(n + 8, l->clear);
	le32_put(n + 12, l->sealed);
	le32_put(n + 16, l->signature);
	le64_put(n + 20, l->frame_bytes);
	le64_put(n + 28, l->plain);
	object_hash(out, in, sizeof(in));
}

void
object_digest(uint8_t out[OBJECT_DIGEST], const uint8_t root[OBJECT_DIGEST], const uint8_t *signature, size_t len)
{
	crypto_generichash_state s;

	crypto_generichash_init(&s, NULL, 0, OBJECT_DIGEST);
	crypto_generichash_update(&s, root, OBJECT_DIGEST);
	crypto_generichash_update(&s, signature, len);
	crypto_generichash_final(&s, out, OBJECT_DIGEST);
}

void
object_table_entry(uint8_t out[OBJECT_TABLE_ENTRY], const struct object_frame *f)
{
	memset(out, 0, OBJECT_TABLE_ENTRY);
	le32_put(out, f->stored);
	out[4] = f->encoding;
	memcpy(out + 8, f->digest, OBJECT_DIGEST);
}

void
object_tail_encode(uint8_t out[OBJECT_TAIL], const struct object_lengths *l, const uint8_t digest[OBJECT_DIGEST])
{
	memset(out, 0, OBJECT_TAIL);
	memcpy(out, tail_magic, sizeof(tail_magic));
	le32_put(out + 8, l->header);
	le32_put(out + 12, l->frames);
	le32_put(out + 16, l->clear);
	le32_put(out + 20, l->sealed);
	le32_put(out + 24, l->signature);
	le64_put(out + 32, l->frame_bytes);
	le64_put(out + 40, l->plain);
	memcpy(out + 48, digest, OBJECT_DIGEST);
}

int
object_tail_decode(struct object_lengths *l, uint8_t digest[OBJECT_DIGEST], const uint8_t *data, struct err *err)
{
	uint64_t frames;

	if (memcmp(data, tail_magic, sizeof(tail_magic)) != 0) {
		err_set(err, ERR_CORRUPT, 0, "object has no tail: it was cut, or is no pgcairn object");
		return ERR_CORRUPT;
	}
	l->header = le32_get(data + 8);
	l->frames = le32_get(data + 12);
	l->clear = le32_get(data + 16);
	l->sealed = le32_get(data + 20);
	l->signature = le32_get(data + 24);
	l->frame_bytes = le64_get(data + 32);
	l->plain = le64_get(data + 40);
	memcpy(digest, data + 48, OBJECT_DIGEST);
	frames = l->plain / OBJECT_FRAME + (l->plain % OBJECT_FRAME != 0);
	if (l->header > OBJECT_HEADER_MAX || l->header < OBJECT_HEADER_FIXED || l->frames > OBJECT_FRAMES_MAX ||
	    l->frames != frames || l->clear > OBJECT_PART_MAX || l->sealed > OBJECT_PART_MAX ||
	    l->signature != OBJECT_SIGNATURE || l->frame_bytes > (uint64_t)l->frames * OBJECT_FRAME_STORED_MAX ||
	    le32_get(data + 28) != 0)
		return err_set(err, ERR_CORRUPT, 0, "object tail is malformed");
	return 0;
}

/* Domain and root in one message, so that a signature cannot be taken for one of another purpose. */
static void
signed_message(uint8_t out[sizeof(signature_domain) + OBJECT_DIGEST], const uint8_t root[OBJECT_DIGEST])
{
	memcpy(out, signature_domain, sizeof(signature_domain));
	memcpy(out + sizeof(signature_domain), root, OBJECT_DIGEST);
}

void
object_signature_make(uint8_t out[OBJECT_SIGNATURE], const uint8_t root[OBJECT_DIGEST], const uint8_t *secret_key)
{
	uint8_t msg[sizeof(signature_domain) + OBJECT_DIGEST];

	memset(out, 0, OBJECT_SIGNATURE);
	out[0] = SIGNATURE_ED25519;
	crypto_sign_ed25519_sk_to_pk(out + 8, secret_key);
	signed_message(msg, root);
	crypto_sign_detached(out + 8 + crypto_sign_PUBLICKEYBYTES, NULL, msg, sizeof(msg), secret_key);
}

int
object_signature_check(
    const uint8_t sig[OBJECT_SIGNATURE], const uint8_t root[OBJECT_DIGEST], uint8_t signer[32], struct err *err)
{
	static const uint8_t zero[7];
	uint8_t msg[sizeof(signature_domain) + OBJECT_DIGEST];

	signed_message(msg, root);
	if (sig[0] != SIGNATURE_ED25519 || memcmp(sig + 1, zero, sizeof(zero)) != 0 ||
	    crypto_sign_verify_detached(sig + 8 + crypto_sign_PUBLICKEYBYTES, msg, sizeof(msg), sig + 8) != 0)
		return err_set(err, ERR_CORRUPT, 0, "object's signature does not fit its content");
	memcpy(signer, sig + 8, crypto_sign_PUBLICKEYBYTES);
	return 0;
}
