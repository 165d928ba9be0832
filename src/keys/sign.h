/*
 * Who wrote. Each writing host has an Ed25519 signing key in its state directory; its public half is enrolled in the
 * repository's signers records.
 */
#ifndef PGCAIRN_KEYS_SIGN_H
#define PGCAIRN_KEYS_SIGN_H

#include "base/err.h"
#include "keys/secret.h"

struct signing_key {
	uint8_t public_key[KEY_BYTES];
	struct secret *secret; /* 64 bytes: libsodium's Ed25519 secret key */
};

/* From a key file (the 32-byte seed). ERR_NOT_FOUND when there is none. */
int signing_key_read(struct signing_key *out, const char *path, struct err *err);
/* Make one and store it, create-only. */
int signing_key_create(struct signing_key *out, const char *path, struct err *err);
void signing_key_free(struct signing_key *k);

#endif
