/*
 * The private halves of epoch keys that a reading process holds: opened with the identity when first needed, or handed over by
 * a session file. Thread-safe.
 */
#ifndef PGCAIRN_REPO_KEYRING_H
#define PGCAIRN_REPO_KEYRING_H

#include "keys/epoch.h"

struct keyring;
struct repository;

/* identity may be NULL (and is taken over): then only keys that are added open anything. */
int keyring_new(struct keyring **out, struct identity *identity, struct err *err);
void keyring_free(struct keyring *k);

static inline void
scope_keyring(struct keyring **k)
{
	keyring_free(*k);
}
#define KEYRING_AUTO SCOPE(scope_keyring)

int keyring_add(struct keyring *k, const uint8_t key_id[OBJECT_KEY_ID], const uint8_t private_key[KEY_BYTES], struct err *err);

/* Make sure that this epoch's private half is held, reading keys/KEYID/ from the repository when it is not. */
int keyring_need(struct keyring *k, struct repository *r, const uint8_t key_id[OBJECT_KEY_ID], struct err *err);

/* The object key for a header. ERR_AUTH when no key that is held or found opens it. */
int keyring_open_object(
    struct keyring *k, struct repository *r, const struct object_header *h, struct secret **key, struct err *err);

/* Calls back for every key that is held: for writing a session. */
int keyring_each(struct keyring *k,
    int (*each)(const uint8_t key_id[OBJECT_KEY_ID], const uint8_t private_key[KEY_BYTES], void *arg, struct err *err),
    void *arg, struct err *err);

#endif
