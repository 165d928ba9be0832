#include "keys/sign.h"

#include <sodium.h>

static int
from_seed(struct signing_key *out, const struct secret *seed, struct err *err)
{
	struct secret *s = secret_new();

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	crypto_sign_seed_keypair(out->public_key, s->bytes, seed->bytes);
	out->secret = s;
	return 0;
}

int
signing_key_read(struct signing_key *out, const char *path, struct err *err)
{
	SECRET_AUTO struct secret *seed = secret_new();
	int rc;

	if (seed == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	rc = key_file_read(path, KEY_TYPE_SIGNING, true, seed->bytes, err);
	return rc < 0 ? rc : from_seed(out, seed, err);
}

int
signing_key_create(struct signing_key *out, const char *path, struct err *err)
{
	SECRET_AUTO struct secret *seed = secret_new();
	int rc;

	if (seed == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	randombytes_buf(seed->bytes, KEY_BYTES);
	rc = key_file_write(path, "pgcairn signing key of this host: proves who wrote an object, reads nothing",
	    KEY_TYPE_SIGNING, seed->bytes, "", true, err);
	return rc < 0 ? rc : from_seed(out, seed, err);
}

void
signing_key_free(struct signing_key *k)
{
	secret_free(k->secret);
	k->secret = NULL;
}
