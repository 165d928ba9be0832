#include "keys/epoch.h"

#include <sodium.h>

#include "base/bytes.h"
#include "base/str.h"

#define STANZA_X25519 1
#define STANZA_HEAD 4
#define SEALED_KEY (crypto_box_SEALBYTES + KEY_BYTES)
#define IDENTITY_MAX 16

struct identity {
	size_t n;
	uint8_t keys[IDENTITY_MAX][KEY_BYTES];
	uint8_t publics[IDENTITY_MAX][KEY_BYTES];
};

static int
add_recipient(const char *line, size_t len, void *arg, struct err *err)
{
	struct recipients *r = arg;
	const char *blank = memchr(line, ' ', len);
	size_t key_len = blank != NULL ? (size_t)(blank - line) : len, name_len;
	struct recipient *to = &r->list[r->n];
	int rc;

	if (r->n == RECIPIENTS_MAX)
		return err_set(err, ERR_CONFIG, 0, "more than %d recipients", RECIPIENTS_MAX);
	rc = key_parse(to->key, KEY_TYPE_RECIPIENT, line, key_len, err);
	if (rc < 0)
		return rc;
	name_len = blank != NULL ? len - key_len - 1 : 0;
	if (name_len >= sizeof(to->name))
		return err_set(err, ERR_CONFIG, 0, "a recipient's name is longer than %zu bytes", sizeof(to->name) - 1);
	memcpy(to->name, line + len - name_len, name_len);
	to->name[name_len] = '\0';
	if (recipients_contains(r, to->key))
		return err_set(err, ERR_CONFIG, 0, "a recipient stands there twice");
	r->n++;
	return 0;
}

int
recipients_read_file(struct recipients *out, const char *path, struct err *err)
{
	int rc;

	memset(out, 0, sizeof(*out));
	rc = key_file_each(path, false, add_recipient, out, err);
	if (rc == 0 && out->n == 0)
		rc = err_set(err, ERR_CONFIG, 0, "'%s' names no recipient", path);
	return rc;
}

bool
recipients_contains(const struct recipients *r, const uint8_t key[KEY_BYTES])
{
	for (size_t i = 0; i < r->n; i++)
		if (memcmp(r->list[i].key, key, KEY_BYTES) == 0)
			return true;
	return false;
}

static int
add_identity(const char *line, size_t len, void *arg, struct err *err)
{
	struct identity *id = arg;
	const char *blank = memchr(line, ' ', len);
	int rc;

	if (id->n == IDENTITY_MAX)
		return err_set(err, ERR_CONFIG, 0, "more than %d identities", IDENTITY_MAX);
	rc = key_parse(id->keys[id->n], KEY_TYPE_IDENTITY, line, blank != NULL ? (size_t)(blank - line) : len, err);
	if (rc < 0)
		return rc;
	crypto_scalarmult_base(id->publics[id->n], id->keys[id->n]);
	id->n++;
	return 0;
}

int
identity_read_file(struct identity **out, const char *path, struct err *err)
{
	IDENTITY_AUTO struct identity *id = sodium_malloc(sizeof(*id));
	int rc;

	if (id == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an identity");
	memset(id, 0, sizeof(*id));
	rc = key_file_each(path, true, add_identity, id, err);
	if (rc == 0 && id->n == 0)
		rc = err_set(err, ERR_CONFIG, 0, "'%s' holds no identity", path);
	if (rc < 0)
		return rc;
	*out = STEAL(id);
	return 0;
}

void
identity_free(struct identity *id)
{
	sodium_free(id);
}

size_t
identity_count(const struct identity *id)
{
	return id->n;
}

void
identity_recipient(const struct identity *id, size_t i, uint8_t out[KEY_BYTES])
{
	memcpy(out, id->publics[i], KEY_BYTES);
}

void
epoch_id(uint8_t key_id[OBJECT_KEY_ID], const uint8_t public_key[KEY_BYTES])
{
	crypto_generichash(key_id, OBJECT_KEY_ID, public_key, KEY_BYTES, NULL, 0);
}

/* One {"recipient", "box"} a recipient; NULL when it does not work out. */
static json_t *
seal_to_all(const uint8_t private_key[KEY_BYTES], const struct recipients *to)
{
	JSON_AUTO json_t *list = json_array();
	uint8_t box[SEALED_KEY];

	for (size_t i = 0; i < to->n; i++) {
		char hex[2 * SEALED_KEY + 1];
		json_t *one = json_object();

		if (json_array_append_new(list, one) < 0 || crypto_box_seal(box, private_key, KEY_BYTES, to->list[i].key) != 0)
			return NULL;
		str_to_hex(hex, box, sizeof(box));
		if (json_set_hex(one, "recipient", to->list[i].key, KEY_BYTES) < 0 ||
		    json_object_set_new(one, "box", json_string(hex)) < 0)
			return NULL;
	}
	return STEAL(list);
}

int
epoch_create(struct epoch *out, json_t **record, const char *scope, const struct recipients *to, struct err *err)
{
	SECRET_AUTO struct secret *private_key = secret_new();
	JSON_AUTO json_t *o = json_object();
	JSON_AUTO json_t *sealed = NULL;

	if (private_key == NULL || o == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an epoch key");
	if (to->n == 0)
		return err_set(err, ERR_BUG, 0, "an epoch key for nobody");
	crypto_box_keypair(out->public_key, private_key->bytes);
	epoch_id(out->key_id, out->public_key);
	sealed = seal_to_all(private_key->bytes, to);
	if (sealed == NULL || json_object_set_new(o, "scope", json_string(scope)) < 0 ||
	    json_set_hex(o, "key_id", out->key_id, OBJECT_KEY_ID) < 0 ||
	    json_set_hex(o, "public", out->public_key, KEY_BYTES) < 0 || json_object_set(o, "sealed", sealed) < 0)
		return err_set(err, ERR_NOMEM, 0, "seal an epoch key to its recipients");
	*record = STEAL(o);
	return 0;
}

int
epoch_from_record(struct epoch *out, const json_t *record, struct err *err)
{
	uint8_t key_id[OBJECT_KEY_ID];
	int rc = json_get_hex(record, "public", out->public_key, KEY_BYTES, err);

	if (rc == 0)
		rc = json_get_hex(record, "key_id", key_id, OBJECT_KEY_ID, err);
	if (rc < 0)
		return rc;
	epoch_id(out->key_id, out->public_key);
	if (memcmp(out->key_id, key_id, OBJECT_KEY_ID) != 0)
		return err_set(err, ERR_CORRUPT, 0, "an epoch key's id does not fit its public half");
	return 0;
}

/* The stanza for one of the identity's keys: its index there, or -1. */
static int
match_stanza(const json_t *one, const struct identity *id, uint8_t box[SEALED_KEY])
{
	uint8_t to[KEY_BYTES];

	if (json_get_hex(one, "recipient", to, KEY_BYTES, NULL) < 0 || json_get_hex(one, "box", box, SEALED_KEY, NULL) < 0)
		return -1;
	for (size_t i = 0; i < id->n; i++)
		if (memcmp(id->publics[i], to, KEY_BYTES) == 0)
			return (int)i;
	return -1;
}

int
epoch_open(struct secret **private_key, const json_t *record, const struct identity *id, struct err *err)
{
	SECRET_AUTO struct secret *s = secret_new();
	uint8_t box[SEALED_KEY], public_key[KEY_BYTES];
	struct epoch e;
	json_t *sealed, *one;
	size_t i;
	int rc;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	rc = epoch_from_record(&e, record, err);
	if (rc == 0)
		rc = json_get_array(record, "sealed", &sealed, err);
	if (rc < 0)
		return rc;
	json_array_foreach(sealed, i, one)
	{
		int at = match_stanza(one, id, box);

		if (at < 0 || crypto_box_seal_open(s->bytes, box, sizeof(box), id->publics[at], id->keys[at]) != 0)
			continue;
		crypto_scalarmult_base(public_key, s->bytes);
		if (memcmp(public_key, e.public_key, KEY_BYTES) != 0)
			return err_set(err, ERR_CORRUPT, 0, "an epoch key's private half does not fit its public half");
		*private_key = STEAL(s);
		return 0;
	}
	err_set(err, ERR_AUTH, 0, "this identity is not among the recipients of the key");
	return err_hint(err, "use the identity that init made for this cluster, or one of the escrowed copies");
}

int
epoch_seal_object_key(const struct epoch *e, struct object_header *h, struct secret **key, struct err *err)
{
	SECRET_AUTO struct secret *s = secret_new();

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	randombytes_buf(s->bytes, OBJECT_KEY);
	h->cipher = OBJECT_CIPHER_XCHACHA20POLY1305;
	memcpy(h->key_id, e->key_id, OBJECT_KEY_ID);
	h->sealed_key[0] = STANZA_X25519;
	h->sealed_key[1] = 0;
	le16_put(h->sealed_key + 2, SEALED_KEY);
	h->sealed_key_len = STANZA_HEAD + SEALED_KEY;
	if (crypto_box_seal(h->sealed_key + STANZA_HEAD, s->bytes, OBJECT_KEY, e->public_key) != 0)
		return err_set(err, ERR_CONFIG, 0, "the epoch's public key is not a usable key");
	*key = STEAL(s);
	return 0;
}

int
epoch_open_object_key(const struct object_header *h, const struct secret *private_key, struct secret **key, struct err *err)
{
	SECRET_AUTO struct secret *s = secret_new();
	uint8_t public_key[KEY_BYTES];

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	if (h->sealed_key_len != STANZA_HEAD + SEALED_KEY || h->sealed_key[0] != STANZA_X25519 || h->sealed_key[1] != 0 ||
	    le16_get(h->sealed_key + 2) != SEALED_KEY)
		return err_set(err, ERR_CONFIG, 0, "object key is sealed in a way that this build does not know");
	crypto_scalarmult_base(public_key, private_key->bytes);
	if (crypto_box_seal_open(s->bytes, h->sealed_key + STANZA_HEAD, SEALED_KEY, public_key, private_key->bytes) != 0)
		return err_set(err, ERR_CORRUPT, 0, "object key does not open with its epoch key");
	*key = STEAL(s);
	return 0;
}
