#include "repo/writer.h"

#include "base/fs.h"
#include "base/str.h"

/* A file that init makes: absent is a matter of configuration here. */
static int
missing(int rc, const char *what, const char *path, struct err *err)
{
	if (rc != ERR_NOT_FOUND)
		return rc;
	err_set(err, ERR_CONFIG, 0, "the %s '%s' is missing", what, path);
	return err_hint(err, "a first host makes it by: pgcairn init; another one gets a copy or runs: pgcairn init --join");
}

int
writer_open(struct writer **out, const struct writer_options *o, struct err *err)
{
	WRITER_AUTO struct writer *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL || (w->state_directory = strdup(o->state_directory)) == NULL || (w->comparison = secret_new()) == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for keys");
	(void)pthread_mutex_init(&w->epoch_lock, NULL);
	w->encrypted = o->encrypted;
	w->wal_codec = o->wal_codec;
	w->backup_codec = o->backup_codec;
	rc = str_copy(w->cluster_name, sizeof(w->cluster_name), o->cluster_name, "cluster name", err);
	if (rc == 0)
		rc = missing(signing_key_read(&w->signing, o->signing_key, err), "signing key", o->signing_key, err);
	if (rc == 0)
		rc = missing(key_file_read(o->comparison_key, KEY_TYPE_COMPARISON, true, w->comparison->bytes, err),
		    "comparison key", o->comparison_key, err);
	if (rc == 0 && w->encrypted)
		rc = missing(
		    recipients_read_file(&w->recipients, o->recipients_file, err), "recipients file", o->recipients_file, err);
	if (rc < 0)
		return rc;
	*out = STEAL(w);
	return 0;
}

void
writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	signing_key_free(&w->signing);
	secret_free(w->comparison);
	(void)pthread_mutex_destroy(&w->epoch_lock);
	free(w->state_directory);
	free(w);
}

int
writer_check(const struct writer *w, const struct repository *r, struct err *err)
{
	uint8_t check[OBJECT_DIGEST];

	if (!r->has_cluster) {
		err_set(err, ERR_CONFIG, 0, "repository '%s' does not know cluster '%s'", r->name, r->cluster_name);
		return err_hint(err, "run: pgcairn init");
	}
	if (!repository_knows_signer(r, w->signing.public_key)) {
		char key[KEY_TEXT];

		key_format(key, KEY_TYPE_SIGNER, w->signing.public_key);
		err_set(err, ERR_AUTH, 0, "this host's signing key is not enrolled in repository '%s'", r->name);
		return err_hint(err, "on a host that is: pgcairn key enrol %s", key);
	}
	comparison_check(check, w->comparison->bytes);
	if (memcmp(check, r->comparison_check, sizeof(check)) != 0) {
		err_set(err, ERR_CONFIG, 0, "this host has another comparison key than repository '%s'", r->name);
		return err_hint(err, "copy the comparison key from the host that founded the cluster");
	}
	if (w->encrypted != r->encrypted) {
		err_set(
		    err, ERR_CONFIG, 0, "repository '%s' was made with encryption = %s", r->name, r->encrypted ? "on" : "none");
		return err_hint(err, "set the same in [cluster:%s]", r->cluster_name);
	}
	for (size_t i = 0; i < w->recipients.n; i++) {
		if (recipients_contains(&r->recipients, w->recipients.list[i].key))
			continue;
		err_set(err, ERR_CONFIG, 0, "the recipients file names '%s', which repository '%s' does not record",
		    w->recipients.list[i].name, r->name);
		return err_hint(err, "was the file changed? only recipients that the repository records may read");
	}
	if (w->encrypted && w->recipients.n != r->recipients.n) {
		err_set(err, ERR_CONFIG, 0, "the recipients file names %zu recipients, repository '%s' records %zu",
		    w->recipients.n, r->name, r->recipients.n);
		return err_hint(err, "make them the same again");
	}
	return 0;
}

/* Whether this kind's content is encrypted at all. */
static bool
is_encrypted_kind(uint8_t kind)
{
	return kind != OBJECT_TIMELINE_HISTORY && kind != OBJECT_EPOCH_KEY && kind != OBJECT_RECORD;
}

/* Packs and manifests are kept for weeks and written in the background; WAL is written while a server waits. */
static uint8_t
codec_for(const struct writer *w, uint8_t kind)
{
	return kind == OBJECT_PACK || kind == OBJECT_MANIFEST ? w->backup_codec : w->wal_codec;
}

int
writer_start(struct writer *w, struct fanout *f, struct writer_object *out, uint8_t kind, const char *relative,
    const struct epoch *epoch, const bool *skip, struct worker_pool *pool, struct err *err)
{
	struct object_spec spec = {.header = {.kind = kind, .codec = codec_for(w, kind)},
	    .signing_key = w->signing.secret->bytes,
	    .pool = pool,
	    .slots = out->slots};
	SECRET_AUTO struct secret *key = NULL;
	struct repository *first = fanout_first(f);
	struct sink *sink = NULL;
	int rc;

	if (first == NULL)
		return err_set(err, ERR_BUG, 0, "an object for no repository");
	rc = str_copy(spec.header.name, sizeof(spec.header.name), relative, "object name", err);
	memcpy(spec.header.cluster, first->cluster, OBJECT_CLUSTER);
	if (rc == 0 && w->encrypted && is_encrypted_kind(kind)) {
		rc = epoch_seal_object_key(epoch, &spec.header, &key, err);
		if (rc == 0)
			spec.key = key->bytes;
	}
	if (rc == 0)
		rc = fanout_put(f, relative, skip, &sink, err);
	if (rc == 0)
		rc = object_writer_new(&out->object, &spec, sink, err);
	if (rc == 0)
		out->key = STEAL(key);
	return rc;
}

void
writer_object_free(struct writer_object *o)
{
	object_writer_free(o->object);
	secret_free(o->key);
	o->object = NULL;
	o->key = NULL;
}
