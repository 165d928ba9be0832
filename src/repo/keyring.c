#include "repo/keyring.h"

#include <pthread.h>

#include "repo/stored.h"

struct held {
	struct held *next;
	uint8_t key_id[OBJECT_KEY_ID];
	struct secret *private_key;
};

struct keyring {
	pthread_mutex_t lock;
	struct identity *identity;
	struct held *first;
};

int
keyring_new(struct keyring **out, struct identity *identity, struct err *err)
{
	struct keyring *k = calloc(1, sizeof(*k));

	if (k == NULL) {
		identity_free(identity);
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key ring");
	}
	pthread_mutex_init(&k->lock, NULL);
	k->identity = identity;
	*out = k;
	return 0;
}

void
keyring_free(struct keyring *k)
{
	if (k == NULL)
		return;
	while (k->first != NULL) {
		struct held *h = k->first;

		k->first = h->next;
		secret_free(h->private_key);
		free(h);
	}
	identity_free(k->identity);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static struct held *
lookup(struct keyring *k, const uint8_t key_id[OBJECT_KEY_ID])
{
	for (struct held *h = k->first; h != NULL; h = h->next)
		if (memcmp(h->key_id, key_id, OBJECT_KEY_ID) == 0)
			return h;
	return NULL;
}

/* Takes private_key over. */
static int
hold(struct keyring *k, const uint8_t key_id[OBJECT_KEY_ID], struct secret *private_key, struct err *err)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h == NULL) {
		secret_free(private_key);
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	}
	memcpy(h->key_id, key_id, OBJECT_KEY_ID);
	h->private_key = private_key;
	h->next = k->first;
	k->first = h;
	return 0;
}

int
keyring_add(struct keyring *k, const uint8_t key_id[OBJECT_KEY_ID], const uint8_t private_key[KEY_BYTES], struct err *err)
{
	struct secret *s = secret_new();
	int rc;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	memcpy(s->bytes, private_key, KEY_BYTES);
	pthread_mutex_lock(&k->lock);
	rc = hold(k, key_id, s, err);
	pthread_mutex_unlock(&k->lock);
	return rc;
}

/* With the lock held. */
static int
fetch(struct keyring *k, struct repository *r, const uint8_t key_id[OBJECT_KEY_ID], struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	struct secret *private_key = NULL;
	char name[OBJECT_NAME_MAX];
	struct epoch e;
	int rc;

	if (k->identity == NULL) {
		err_set(err, ERR_AUTH, 0, "no identity is configured and the session holds no key for it");
		return err_hint(err, "set [keys] identity to the file that init made, or a copy of it");
	}
	rc = layout_epoch_key(name, key_id, 0, err);
	if (rc == 0)
		rc = stored_open(&s, r, name, OBJECT_EPOCH_KEY, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_CORRUPT, 0, "repository '%s' has lost the key '%s'", r->name, name);
	if (rc == 0)
		rc = epoch_from_record(&e, s->clear, err);
	if (rc == 0 && memcmp(e.key_id, key_id, OBJECT_KEY_ID) != 0)
		rc = err_set(err, ERR_CORRUPT, 0, "'%s' holds another key", name);
	if (rc == 0)
		rc = epoch_open(&private_key, s->clear, k->identity, err);
	return rc < 0 ? rc : hold(k, key_id, private_key, err);
}

int
keyring_need(struct keyring *k, struct repository *r, const uint8_t key_id[OBJECT_KEY_ID], struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&k->lock);
	if (lookup(k, key_id) == NULL)
		rc = fetch(k, r, key_id, err);
	pthread_mutex_unlock(&k->lock);
	return rc;
}

int
keyring_open_object(
    struct keyring *k, struct repository *r, const struct object_header *h, struct secret **key, struct err *err)
{
	int rc;

	if (k == NULL)
		return err_set(err, ERR_BUG, 0, "an encrypted object is opened without a key ring");
	rc = keyring_need(k, r, h->key_id, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&k->lock);
	rc = epoch_open_object_key(h, lookup(k, h->key_id)->private_key, key, err);
	pthread_mutex_unlock(&k->lock);
	return rc;
}

int
keyring_each(struct keyring *k,
    int (*each)(const uint8_t key_id[OBJECT_KEY_ID], const uint8_t private_key[KEY_BYTES], void *arg, struct err *err),
    void *arg, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&k->lock);
	for (struct held *h = k->first; rc == 0 && h != NULL; h = h->next)
		rc = each(h->key_id, h->private_key->bytes, arg, err);
	pthread_mutex_unlock(&k->lock);
	return rc;
}
