#include "ops/init_keys.h"

#include <sodium.h>
#include <unistd.h>

#include "base/fs.h"

static void
note(struct init_result *r, const char *path)
{
	if (r->n_made < INIT_FILES)
		r->made[r->n_made++] = path;
}

static int
prepare(struct init_keys *k, struct err *err)
{
	k->comparison = secret_new();
	if (k->comparison == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for keys");
	if (gethostname(k->host, sizeof(k->host) - 1) < 0 || k->host[0] == '\0')
		(void)snprintf(k->host, sizeof(k->host), "host");
	return 0;
}

/* A new identity; its recipients file follows. */
static int
make_identity(const struct op *op, struct init_result *result, struct err *err)
{
	SECRET_AUTO struct secret *s = secret_new();
	int rc;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an identity");
	randombytes_buf(s->bytes, KEY_BYTES); /* any 32 bytes are an X25519 key */
	rc = key_file_write(op->config->identity,
	    "pgcairn identity: reads every backup of its recipient. Keep copies away from this host; without one nothing can "
	    "be restored.",
	    KEY_TYPE_IDENTITY, s->bytes, "", true, err);
	if (rc == 0) {
		note(result, op->config->identity);
		result->identity_made = true;
	}
	return rc;
}

/* The recipient of an identity that was made just now, that the operator brought, or that an init left which was killed here.
 */
static int
recipients_of_identity(const struct op *op, struct init_result *result, struct err *err)
{
	IDENTITY_AUTO struct identity *id = NULL;
	uint8_t public_key[KEY_BYTES];
	int rc = identity_read_file(&id, op->config->identity, err);

	if (rc < 0)
		return rc;
	identity_recipient(id, 0, public_key);
	rc = key_file_write(op->config->recipients_file, "pgcairn recipients: who can read. Public keys only.",
	    KEY_TYPE_RECIPIENT, public_key, "operations", false, err);
	if (rc == 0)
		note(result, op->config->recipients_file);
	return rc;
}

static int
need_recipients(struct init_keys *k, const struct op *op, struct init_result *result, struct err *err)
{
	const char *path = op->config->recipients_file;
	int rc = recipients_read_file(&k->recipients, path, err);

	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = access(op->config->identity, F_OK) == 0 ? 0 : make_identity(op, result, err);
	if (rc == 0)
		rc = recipients_of_identity(op, result, err);
	return rc < 0 ? rc : recipients_read_file(&k->recipients, path, err);
}

static int
need_comparison(struct init_keys *k, const struct op *op, struct init_result *result, struct err *err)
{
	const char *path = op->config->comparison_key;
	int rc = key_file_read(path, KEY_TYPE_COMPARISON, true, k->comparison->bytes, err);

	if (rc != ERR_NOT_FOUND)
		return rc;
	randombytes_buf(k->comparison->bytes, KEY_BYTES);
	rc = key_file_write(path,
	    "pgcairn comparison key: proves that two objects are the same, opens nothing. The same on every node.",
	    KEY_TYPE_COMPARISON, k->comparison->bytes, "", true, err);
	if (rc == 0)
		note(result, path);
	return rc;
}

static int
need_signing(struct init_keys *k, const struct op *op, struct init_result *result, struct err *err)
{
	int rc = signing_key_read(&k->signing, op->config->signing_key, err);

	if (rc == ERR_NOT_FOUND) {
		rc = signing_key_create(&k->signing, op->config->signing_key, err);
		if (rc == 0)
			note(result, op->config->signing_key);
	}
	if (rc == 0)
		key_format(result->signer, KEY_TYPE_SIGNER, k->signing.public_key);
	return rc;
}

/* Whom this host trusts to have founded a repository: itself, or who is recorded. One that exists is the operator's. */
static int
need_signers_file(
    const struct init_keys *k, const struct op *op, const struct repository *known, struct init_result *result, struct err *err)
{
	BUF_AUTO struct buf text = {0};
	const char *path = op->config->signers_file;
	char key[KEY_TEXT];
	int rc;

	if (access(path, F_OK) == 0)
		return 0;
	rc =
	    buf_printf(&text, err, "# pgcairn signers: whose founding of a repository this host believes. Public keys only.\n");
	for (size_t i = 0; rc == 0 && known != NULL && i < known->n_signers; i++) {
		key_format(key, KEY_TYPE_SIGNER, known->signers[i]);
		rc = buf_printf(&text, err, "%s %s\n", key, known->signer_names[i]);
	}
	if (rc == 0 && known == NULL) {
		key_format(key, KEY_TYPE_SIGNER, k->signing.public_key);
		rc = buf_printf(&text, err, "%s %s\n", key, k->host);
	}
	if (rc == 0)
		rc = fs_write_file(path, text.data, text.len, 0644, FS_CREATE_ONLY, err);
	if (rc == 0)
		note(result, path);
	return rc;
}

int
init_keys_new_cluster(struct init_keys *k, const struct op *op, struct init_result *result, struct err *err)
{
	int rc = prepare(k, err);

	if (rc == 0 && result->encrypted)
		rc = need_recipients(k, op, result, err);
	if (rc == 0)
		rc = need_comparison(k, op, result, err);
	if (rc == 0)
		rc = need_signing(k, op, result, err);
	return rc < 0 ? rc : need_signers_file(k, op, NULL, result, err);
}

/* A joining host writes down the recorded recipients; they are signed, so the repository's operator cannot slip one in. */
static int
write_recorded_recipients(const struct op *op, const struct repository *known, struct init_result *result, struct err *err)
{
	BUF_AUTO struct buf text = {0};
	const char *path = op->config->recipients_file;
	char key[KEY_TEXT];
	int rc;

	if (!known->encrypted || access(path, F_OK) == 0)
		return 0;
	rc = buf_printf(&text, err, "# pgcairn recipients: who can read. Public keys only.\n");
	for (size_t i = 0; rc == 0 && i < known->recipients.n; i++) {
		key_format(key, KEY_TYPE_RECIPIENT, known->recipients.list[i].key);
		rc = buf_printf(&text, err, "%s %s\n", key, known->recipients.list[i].name);
	}
	if (rc == 0)
		rc = fs_write_file(path, text.data, text.len, 0644, FS_CREATE_ONLY, err);
	if (rc == 0)
		note(result, path);
	return rc;
}

static int
joining_needed(int rc, bool join, const char *what, const char *path, struct err *err)
{
	if (rc != ERR_NOT_FOUND || join)
		return rc;
	err_set(err, ERR_CONFIG, 0, "the repository knows this cluster and this host has no %s '%s'", what, path);
	return err_hint(err, "to let this host write too: pgcairn init --join; to read only: restore needs the identity alone");
}

int
init_keys_existing_cluster(struct init_keys *k, const struct op *op, const struct repository *known, bool join,
    struct init_result *result, struct err *err)
{
	uint8_t check[OBJECT_DIGEST];
	int rc = prepare(k, err);

	if (rc < 0)
		return rc;
	if (known->encrypted != result->encrypted) {
		err_set(err, ERR_CONFIG, 0, "repository '%s' was made with encryption = %s", known->name,
		    known->encrypted ? "on" : "none");
		return err_hint(err, "set the same in [cluster:%s]", op->cluster->name);
	}
	rc = key_file_read(op->config->comparison_key, KEY_TYPE_COMPARISON, true, k->comparison->bytes, err);
	if (rc == ERR_NOT_FOUND) {
		err_set(err, ERR_CONFIG, 0, "the comparison key '%s' is missing", op->config->comparison_key);
		return err_hint(err, "copy it from the host that founded the cluster; it is the same on every node");
	}
	if (rc < 0)
		return rc;
	comparison_check(check, k->comparison->bytes);
	if (memcmp(check, known->comparison_check, sizeof(check)) != 0) {
		err_set(err, ERR_CONFIG, 0, "the comparison key is not the one of repository '%s'", known->name);
		return err_hint(err, "copy it from the host that founded the cluster");
	}
	rc = joining_needed(
	    signing_key_read(&k->signing, op->config->signing_key, err), join, "signing key", op->config->signing_key, err);
	if (rc == ERR_NOT_FOUND || rc == 0) {
		signing_key_free(&k->signing);
		rc = need_signing(k, op, result, err);
	}
	if (rc == 0)
		rc = write_recorded_recipients(op, known, result, err);
	if (rc == 0 && known->encrypted)
		rc = recipients_read_file(&k->recipients, op->config->recipients_file, err);
	if (rc == 0)
		rc = need_signers_file(k, op, known, result, err);
	if (rc == 0)
		result->needs_enrolment = !repository_knows_signer(known, k->signing.public_key);
	return rc;
}

void
init_keys_free(struct init_keys *k)
{
	signing_key_free(&k->signing);
	secret_free(k->comparison);
	k->comparison = NULL;
}
