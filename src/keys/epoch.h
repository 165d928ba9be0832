/*
 * Who may read. An epoch key pair (X25519) stands between objects and recipients: every object's own key is sealed to the
 * public half, which is all that a writing host keeps; the private half is sealed to each recipient and stored as an object
 * of its own under keys/. A writing host can therefore read nothing that it wrote.
 *
 * The way from an identity to an object's key, step by step: "Keys" in docs/repository-format.md.
 *
 * Sealing is libsodium's sealed box (an ephemeral X25519 key, XSalsa20-Poly1305). A key id is BLAKE2b-128 of the public half.
 */
#ifndef PGCAIRN_KEYS_EPOCH_H
#define PGCAIRN_KEYS_EPOCH_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/json.h"
#include "codec/object.h"
#include "keys/secret.h"

#define RECIPIENTS_MAX 64

struct recipient {
	uint8_t key[KEY_BYTES];
	char name[64];
};

struct recipients {
	struct recipient list[RECIPIENTS_MAX];
	size_t n;
};

int recipients_read_file(struct recipients *out, const char *path, struct err *err);
bool recipients_contains(const struct recipients *r, const uint8_t key[KEY_BYTES]);

/* One or more private keys that read: the identity file. */
struct identity;
int identity_read_file(struct identity **out, const char *path, struct err *err);
void identity_free(struct identity *id);
size_t identity_count(const struct identity *id);
void identity_recipient(const struct identity *id, size_t i, uint8_t out[KEY_BYTES]); /* the public half of key i */

static inline void
scope_identity(struct identity **id)
{
	identity_free(*id);
}
#define IDENTITY_AUTO SCOPE(scope_identity)

/* The public half of an epoch key pair: what a writer works with. */
struct epoch {
	uint8_t public_key[KEY_BYTES];
	uint8_t key_id[OBJECT_KEY_ID];
};

void epoch_id(uint8_t key_id[OBJECT_KEY_ID], const uint8_t public_key[KEY_BYTES]);

/*
 * A new pair. The private half goes, sealed to every recipient, into *record (the clear part of the key object), and is wiped
 * before this returns. scope is "wal" or "backup".
 */
int epoch_create(struct epoch *out, json_t **record, const char *scope, const struct recipients *to, struct err *err);

/* The public half that a key object's clear part names, checked against its key id. */
int epoch_from_record(struct epoch *out, const json_t *record, struct err *err);

/* The private half, opened with the identity. ERR_AUTH when none of its keys is among the recipients. */
int epoch_open(struct secret **private_key, const json_t *record, const struct identity *id, struct err *err);

/* Draw an object key and seal it into the header (cipher, key id and stanza are set). *key is new secret memory. */
int epoch_seal_object_key(const struct epoch *e, struct object_header *h, struct secret **key, struct err *err);

/* The object key out of a header, with the private half of its epoch: the one place where an object key is opened. */
int epoch_open_object_key(
    const struct object_header *h, const struct secret *private_key, struct secret **key, struct err *err);

#endif
