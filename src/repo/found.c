/*
 * Making a repository and a cluster's folder in it. Order: the marker; then recipients and lineage; the signers record last,
 * since its presence is what says that the folder is complete. A founding that was killed is completed by doing it again, and
 * two at once come to the same.
 */
#include <inttypes.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/str.h"
#include "repo/decision.h"
#include "repo/repository.h"
#include "repo/stored.h"

void
comparison_check(uint8_t out[OBJECT_DIGEST], const uint8_t key[COMPARISON_KEY])
{
	static const char purpose[] = "pgcairn comparison check";

	crypto_generichash(out, OBJECT_DIGEST, (const uint8_t *)purpose, sizeof(purpose), key, COMPARISON_KEY);
}

static int
anything(const struct store_entry *e, void *arg, struct err *err)
{
	(void)arg;
	return err_set(err, ERR_REFUSED, 0, "it holds '%s' and no marker", e->key);
}

int
repository_create(const char *url, char id[REPOSITORY_ID_TEXT], struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	BUF_AUTO struct buf text = {0};
	struct store *s = NULL;
	uint8_t raw[(REPOSITORY_ID_TEXT - 1) / 2];
	char when[32];
	uint8_t first;
	size_t got;
	int rc = store_open(&s, url, true, err);

	if (rc < 0)
		return rc;
	rc = store_get(s, LAYOUT_MARKER, 0, &first, 1, &got, err);
	if (rc == 0)
		rc = err_set(err, ERR_EXISTS, 0, "%s has a marker", url);
	else if (rc == ERR_NOT_FOUND) {
		rc = store_list(s, "", anything, NULL, err);
		if (rc == ERR_REFUSED)
			err_hint(err, "give the repository an empty directory of its own");
	}
	if (rc == 0) {
		clock_random(raw, sizeof(raw));
		str_to_hex(id, raw, sizeof(raw));
		clock_format_utc(when, sizeof(when), clock_now_us() / 1000000 * 1000000);
		if (json_object_set_new(o, "format", json_string("pgcairn")) < 0 ||
		    json_object_set_new(o, "version", json_integer(OBJECT_VERSION)) < 0 ||
		    json_object_set_new(o, "id", json_string(id)) < 0 ||
		    json_object_set_new(o, "created", json_string(when)) < 0)
			rc = err_set(err, ERR_NOMEM, 0, "out of memory for the marker");
	}
	if (rc == 0)
		rc = json_write(o, &text, err);
	if (rc == 0)
		rc = buf_append(&text, "\n", 1, err);
	if (rc == 0)
		rc = store_put_bytes(s, LAYOUT_MARKER, text.data, text.len, err);
	store_close(s);
	return rc;
}

int
repository_put_plain(struct repository *r, const char *relative, const struct object_header *kind_and_codec,
    const struct buf *rows, const json_t *clear, const struct signing_key *signer, struct err *err)
{
	struct object_spec spec = {.header = *kind_and_codec, .signing_key = signer->secret->bytes};
	OBJECT_WRITER_AUTO struct object_writer *w = NULL;
	BUF_AUTO struct buf text = {.max = OBJECT_PART_MAX};
	char key[STORE_KEY_MAX];
	struct sink *sink;
	int rc = layout_key(key, r->cluster_name, relative, err);

	if (rc == 0)
		rc = json_write(clear, &text, err);
	if (rc == 0)
		rc = str_copy(spec.header.name, sizeof(spec.header.name), relative, "object name", err);
	if (rc == 0)
		rc = store_put(r->store, key, &sink, err);
	if (rc < 0)
		return rc;
	memcpy(spec.header.cluster, r->cluster, OBJECT_CLUSTER);
	rc = object_writer_new(&w, &spec, sink, err);
	if (rc == 0 && rows != NULL)
		rc = object_writer_write(w, rows->data, rows->len, err);
	if (rc == 0)
		rc = object_writer_finish(w, &text, NULL, NULL, err);
	return rc < 0 ? err_wrap(err, "write '%s' to repository '%s'", relative, r->name) : 0;
}

int
repository_put_record(struct repository *r, const char *relative, uint8_t kind, const json_t *clear,
    const struct signing_key *signer, struct err *err)
{
	return repository_put_plain(r, relative, &(struct object_header){.kind = kind}, NULL, clear, signer, err);
}

/*
 * A record that is there already is of this host's founding that was killed, or of one that goes on at this moment: then it
 * says the same, and the first of them which cluster this is. Whatever else is there may be somebody's only way to his data,
 * and is never taken away.
 */
static int
join_founding(
    struct repository *r, const char *name, const json_t *o, const struct cluster_founding *f, bool *joined, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	int rc = stored_open_record(&s, r, name, true, err);

	if (rc < 0)
		return rc;
	if (!*joined && !f->known)
		memcpy(r->cluster, s->index->header.cluster, OBJECT_CLUSTER);
	*joined = true;
	if (memcmp(s->index->signer, f->signer->public_key, KEY_BYTES) == 0 &&
	    memcmp(s->index->header.cluster, r->cluster, OBJECT_CLUSTER) == 0 && (o == NULL || json_equal(s->clear, o)))
		return repository_settle(r, name, err);
	err_set(err, ERR_REFUSED, 0, "'%s' in repository '%s' is of another founding of cluster '%s', which was not completed",
	    s->key, r->name, r->cluster_name);
	return err_hint(err,
	    "does another host run init just now? if not, and clusters/%s there holds neither wal nor backup, remove it and "
	    "run init again",
	    r->cluster_name);
}

/* joined: whether an earlier record was found instead of made. */
static int
found_record(
    struct repository *r, const char *folder, const json_t *o, const struct cluster_founding *f, bool *joined, struct err *err)
{
	char name[OBJECT_NAME_MAX];
	int rc = layout_record(name, folder, 0, err);

	if (rc == 0)
		rc = repository_put_record(r, name, OBJECT_RECORD, o, f->signer, err);
	if (rc == ERR_EXISTS)
		return join_founding(r, name, strcmp(folder, "signers") != 0 ? o : NULL, f, joined, err);
	*joined = true; /* what follows belongs to what was made */
	return rc;
}

static json_t *
signer_list(const uint8_t key[KEY_BYTES], const char *name)
{
	json_t *o = json_object(), *list = json_array(), *one = json_object();

	if (json_set_hex(one, "ed25519", key, KEY_BYTES) < 0 || json_object_set_new(one, "name", json_string(name)) < 0 ||
	    json_array_append(list, one) < 0 || json_object_set(o, "signers", list) < 0) {
		json_decref(o);
		o = NULL;
	}
	json_decref(list);
	json_decref(one);
	return o;
}

static json_t *
recipients_record(const struct cluster_founding *f)
{
	uint8_t check[OBJECT_DIGEST];
	json_t *o = json_object(), *list = json_array();
	bool ok;

	comparison_check(check, f->comparison_key);
	ok = json_object_set_new(o, "encrypted", json_boolean(f->recipients != NULL)) == 0 &&
	     json_set_hex(o, "comparison_check", check, sizeof(check)) == 0 && json_object_set(o, "recipients", list) == 0;
	for (size_t i = 0; ok && f->recipients != NULL && i < f->recipients->n; i++) {
		json_t *one = json_object();

		ok = json_array_append(list, one) == 0 &&
		     json_set_hex(one, "x25519", f->recipients->list[i].key, KEY_BYTES) == 0 &&
		     json_object_set_new(one, "name", json_string(f->recipients->list[i].name)) == 0;
		json_decref(one);
	}
	json_decref(list);
	if (!ok) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *
lineage_record(const struct lineage_entry *e)
{
	json_t *o = json_object();
	char sysid[24];

	(void)snprintf(sysid, sizeof(sysid), "%" PRIu64, e->sysid);
	if (json_object_set_new(o, "system_identifier", json_string(sysid)) < 0 ||
	    json_object_set_new(o, "major", json_integer(e->major)) < 0 ||
	    json_object_set_new(o, "segment_size", json_integer(e->segment_size)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int
repository_found_cluster(struct repository *r, const struct cluster_founding *f, struct err *err)
{
	JSON_AUTO json_t *lineage = lineage_record(&f->lineage), *recipients = recipients_record(f);
	JSON_AUTO json_t *signers = signer_list(f->signer->public_key, f->signer_name);
	bool joined = false;
	int rc;

	if (lineage == NULL || recipients == NULL || signers == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the records of a cluster");
	if (r->has_cluster)
		return err_set(err, ERR_EXISTS, 0, "repository '%s' holds cluster '%s' already", r->name, r->cluster_name);
	memcpy(r->cluster, f->cluster, OBJECT_CLUSTER);
	rc = found_record(r, "recipients", recipients, f, &joined, err);
	if (rc == 0)
		rc = found_record(r, "lineage", lineage, f, &joined, err);
	if (rc == 0)
		rc = found_record(r, "signers", signers, f, &joined, err);
	return rc;
}

int
repository_settle_records(struct repository *r, struct err *err)
{
	const struct {
		const char *folder;
		size_t n;
	} records[] = {{"recipients", 1}, {"lineage", r->n_lineage}, {"signers", r->n_signer_records}};
	int rc = store_settle(r->store, LAYOUT_MARKER, err);

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		for (size_t k = 0; rc == 0 && k < records[i].n; k++) {
			char name[OBJECT_NAME_MAX];

			rc = layout_record(name, records[i].folder, (unsigned)k, err);
			if (rc == 0)
				rc = repository_settle(r, name, err);
		}
	}
	return rc < 0 ? err_wrap(err, "repository '%s'", r->name) : 0;
}

int
repository_enrol_signer(
    struct repository *r, const uint8_t key[KEY_BYTES], const char *name, const struct signing_key *by, struct err *err)
{
	JSON_AUTO json_t *o = signer_list(key, name);
	char relative[OBJECT_NAME_MAX];
	int rc;

	if (o == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a signer");
	if (!repository_knows_signer(r, by->public_key)) {
		err_set(err, ERR_AUTH, 0, "this host's signing key is not enrolled in repository '%s'", r->name);
		return err_hint(err, "run it on a host whose key is; pgcairn info lists them");
	}
	if (repository_knows_signer(r, key))
		return repository_settle_records(r, err);
	rc = layout_record(relative, "signers", (unsigned)r->n_signer_records, err);
	return rc < 0 ? rc : repository_put_record(r, relative, OBJECT_RECORD, o, by, err);
}

int
repository_append_lineage(struct repository *r, unsigned number, const struct lineage_entry *e, const struct decision *d,
    const struct signing_key *by, struct err *err)
{
	JSON_AUTO json_t *o = lineage_record(e);
	char relative[OBJECT_NAME_MAX];
	int rc;

	if (o == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a lineage record");
	rc = decision_encode(d, o, err);
	if (rc == 0)
		rc = layout_record(relative, "lineage", number, err);
	return rc < 0 ? rc : repository_put_record(r, relative, OBJECT_RECORD, o, by, err);
}
