/* Opening a repository; founding and enrolling are in found.c. */
#include "repo/repository.h"

#include <sodium.h>

#include "base/clock.h"
#include "base/str.h"
#include "repo/stored.h"

#define MARKER_MAX 4096
#define RECORDS_MAX 10000

/* The marker's id. ERR_NOT_FOUND only when the store says there is none. */
static int
read_marker(struct store *s, char id[REPOSITORY_ID_TEXT], struct err *err)
{
	JSON_AUTO json_t *o = NULL;
	uint8_t raw[(REPOSITORY_ID_TEXT - 1) / 2];
	char text[MARKER_MAX];
	const char *format;
	uint64_t version;
	size_t got;
	int rc = store_get(s, LAYOUT_MARKER, 0, text, sizeof(text), &got, err);

	if (rc == 0)
		rc = json_read(&o, text, got, "the repository's marker", err);
	if (rc == 0)
		rc = json_get_str(o, "format", &format, err);
	if (rc == 0 && strcmp(format, "pgcairn") != 0)
		rc = err_set(err, ERR_CORRUPT, 0, "the marker is of another program");
	if (rc == 0)
		rc = json_get_u64(o, "version", 0, UINT32_MAX, &version, err);
	if (rc == 0 && version != OBJECT_VERSION) {
		err_set(err, ERR_CONFIG, 0, "repository has format version %u, this build knows %d", (unsigned)version,
		    OBJECT_VERSION);
		rc = err_hint(err, "use a newer pgcairn");
	}
	if (rc == 0)
		rc = json_get_hex(o, "id", raw, sizeof(raw), err);
	if (rc == 0)
		str_to_hex(id, raw, sizeof(raw));
	return rc;
}

static int
check_marker(struct repository *r, const char *expected, struct err *err)
{
	int rc = read_marker(r->store, r->id, err);

	if (rc == ERR_NOT_FOUND) {
		err_set(err, ERR_IO, 0, "repository '%s' (%s) has no marker %s", r->name, r->store->url, LAYOUT_MARKER);
		return err_hint(err, "is its file system mounted? a new repository is made by: pgcairn init");
	}
	if (rc < 0)
		return err_wrap(err, "marker of repository '%s'", r->name);
	if (expected != NULL && strcmp(expected, r->id) != 0) {
		err_set(
		    err, ERR_CONFIG, 0, "repository '%s' (%s) has id %s, expected %s", r->name, r->store->url, r->id, expected);
		return err_hint(err, "another repository lies there; check the url and what is mounted");
	}
	return 0;
}

int
repository_confirm(struct repository *r, struct err *err)
{
	char id[REPOSITORY_ID_TEXT];
	int rc = read_marker(r->store, id, err);

	if (rc == 0 && strcmp(id, r->id) == 0)
		return 0;
	if (rc < 0 && rc != ERR_NOT_FOUND)
		return err_wrap(err, "confirm repository '%s'", r->name);
	err_set(err, ERR_IO, 0, "repository '%s' (%s) is no longer the one that was opened", r->name, r->store->url);
	return err_hint(err, "was its file system unmounted or replaced?");
}

int
repository_recheck(struct repository *r, struct err *err)
{
	uint64_t unused;
	/* what a directory says of its space it says only while it is still at its path */
	int rc = store_space(r->store, &unused, &unused, err);

	return rc < 0 && rc != ERR_NOT_FOUND ? rc : repository_confirm(r, err);
}

int
repository_stat(struct repository *r, const char *relative, struct store_stat *out, struct err *err)
{
	char key[STORE_KEY_MAX];
	struct err doubt;
	int rc = layout_key(key, r->cluster_name, relative, err);

	if (rc == 0)
		rc = store_stat(r->store, key, out, err);
	if (rc == ERR_NOT_FOUND && repository_confirm(r, &doubt) < 0) {
		if (err != NULL)
			*err = doubt;
		return doubt.kind;
	}
	return rc;
}

int
repository_settle(struct repository *r, const char *relative, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = layout_key(key, r->cluster_name, relative, err);

	return rc < 0 ? rc : store_settle(r->store, key, err);
}

bool
repository_knows_signer(const struct repository *r, const uint8_t key[KEY_BYTES])
{
	for (size_t i = 0; i < r->n_signers; i++)
		if (memcmp(r->signers[i], key, KEY_BYTES) == 0)
			return true;
	return false;
}

const struct lineage_entry *
repository_lineage(const struct repository *r, uint64_t sysid)
{
	for (size_t i = 0; i < r->n_lineage; i++)
		if (r->lineage[i].sysid == sysid)
			return &r->lineage[i];
	return NULL;
}

/* The first record of all decides whom to trust: a pinned key, or whoever signed it. */
static int
trust_founder(struct repository *r, const struct repository_options *o, const struct stored *s, struct err *err)
{
	for (size_t i = 0; i < o->n_pins; i++)
		r->pinned |= memcmp(o->pins[i], s->index->signer, KEY_BYTES) == 0;
	if (o->n_pins > 0 && !r->pinned) {
		err_set(
		    err, ERR_AUTH, 0, "repository '%s' was founded by a signer that the signers-file does not name", r->name);
		return err_hint(
		    err, "somebody may have replaced the repository; compare with the signers-file of another host");
	}
	memcpy(r->signers[0], s->index->signer, KEY_BYTES);
	r->n_signers = 1;
	memcpy(r->cluster, s->index->header.cluster, OBJECT_CLUSTER);
	r->has_cluster = true;
	return 0;
}

static int
add_signers(struct repository *r, const struct stored *s, struct err *err)
{
	json_t *list, *one;
	size_t i;
	int rc = json_get_array(s->clear, "signers", &list, err);

	if (rc < 0)
		return rc;
	json_array_foreach(list, i, one)
	{
		uint8_t key[KEY_BYTES];
		const char *name;

		rc = json_get_hex(one, "ed25519", key, KEY_BYTES, err);
		if (rc == 0)
			rc = json_get_str(one, "name", &name, err);
		if (rc < 0)
			return rc;
		size_t at = 0;

		while (at < r->n_signers && memcmp(r->signers[at], key, KEY_BYTES) != 0)
			at++;
		if (at == SIGNERS_MAX)
			return err_set(err, ERR_CORRUPT, 0, "more than %d signers", SIGNERS_MAX);
		memcpy(r->signers[at], key, KEY_BYTES);
		(void)snprintf(r->signer_names[at], sizeof(r->signer_names[at]), "%s", name);
		if (at == r->n_signers)
			r->n_signers++;
	}
	r->n_signer_records++;
	return 0;
}

static int
add_lineage(struct repository *r, const struct stored *s, struct err *err)
{
	struct lineage_entry *e = &r->lineage[r->n_lineage];
	const char *sysid;
	uint64_t major, segment;
	int rc = json_get_str(s->clear, "system_identifier", &sysid, err);

	if (r->n_lineage == LINEAGE_MAX)
		return err_set(err, ERR_CORRUPT, 0, "more than %d lineage records", LINEAGE_MAX);
	if (rc == 0)
		rc = json_get_u64(s->clear, "major", 9, 1000, &major, err);
	if (rc == 0)
		rc = json_get_u64(s->clear, "segment_size", 1 << 20, 1 << 30, &segment, err);
	if (rc == 0 && (!str_to_u64(sysid, 1, UINT64_MAX, &e->sysid) || !wal_segment_size_valid(segment)))
		rc = err_set(err, ERR_CORRUPT, 0, "lineage record is malformed");
	if (rc < 0)
		return rc;
	e->major = (unsigned)major;
	e->segment_size = (uint32_t)segment;
	r->n_lineage++;
	return 0;
}

static int
set_recipients(struct repository *r, const struct stored *s, struct err *err)
{
	json_t *list, *one;
	size_t i;
	int rc = json_get_bool(s->clear, "encrypted", &r->encrypted, err);

	if (rc == 0)
		rc = json_get_hex(s->clear, "comparison_check", r->comparison_check, OBJECT_DIGEST, err);
	if (rc == 0)
		rc = json_get_array(s->clear, "recipients", &list, err);
	if (rc < 0)
		return rc;
	r->recipients.n = 0;
	json_array_foreach(list, i, one)
	{
		struct recipient *to = &r->recipients.list[i];
		const char *name;

		if (i == RECIPIENTS_MAX)
			return err_set(err, ERR_CORRUPT, 0, "more than %d recipients", RECIPIENTS_MAX);
		rc = json_get_hex(one, "x25519", to->key, KEY_BYTES, err);
		if (rc == 0)
			rc = json_get_str(one, "name", &name, err);
		if (rc < 0)
			return rc;
		(void)snprintf(to->name, sizeof(to->name), "%s", name);
		r->recipients.n = i + 1;
	}
	return 0;
}

/* Records 0000, 0001, ... of a folder until the first that is not there. */
static int
read_records(struct repository *r, const char *folder, const struct repository_options *founder,
    int (*take)(struct repository *r, const struct stored *s, struct err *err), struct err *err)
{
	for (unsigned i = 0; i < RECORDS_MAX; i++) {
		STORED_AUTO struct stored *s = NULL;
		char name[OBJECT_NAME_MAX];
		int rc = layout_record(name, folder, i, err);

		if (rc == 0)
			rc = stored_open_record(&s, r, name, founder != NULL && i == 0, err);
		if (rc == ERR_NOT_FOUND)
			return i > 0 || founder != NULL ? 0 : err_wrap(err, "%s of cluster '%s'", folder, r->cluster_name);
		if (rc == 0 && founder != NULL && i == 0)
			rc = trust_founder(r, founder, s, err);
		if (rc == 0)
			rc = take(r, s, err);
		if (rc < 0)
			return err_wrap(err, "%s of repository '%s'", name, r->name);
	}
	return err_set(err, ERR_CORRUPT, 0, "more than %d records in %s", RECORDS_MAX, folder);
}

int
repository_open(struct repository **out, const struct repository_options *o, struct err *err)
{
	REPOSITORY_AUTO struct repository *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a repository");
	rc = str_copy(r->name, sizeof(r->name), o->name, "repository name", err);
	if (rc == 0)
		rc = str_copy(r->cluster_name, sizeof(r->cluster_name), o->cluster_name, "cluster name", err);
	if (rc == 0)
		rc =
		    o->guard != NULL ? guard_open(o->guard, &r->store, o->url, err) : store_open(&r->store, o->url, false, err);
	if (rc < 0)
		return err_wrap(err, "repository '%s'", o->name);
	rc = check_marker(r, o->expected_id, err);
	if (rc == 0)
		rc = read_records(r, "signers", o, add_signers, err);
	if (rc == 0 && r->has_cluster)
		rc = read_records(r, "lineage", NULL, add_lineage, err);
	if (rc == 0 && r->has_cluster)
		rc = read_records(r, "recipients", NULL, set_recipients, err);
	if (rc == ERR_NOT_FOUND) /* a founding that was killed: init again completes it */
		rc = err_set(err, ERR_CORRUPT, 0, "repository '%s' lacks records of cluster '%s'", r->name, r->cluster_name);
	if (rc < 0)
		return rc;
	*out = STEAL(r);
	return 0;
}

void
repository_free(struct repository *r)
{
	if (r == NULL)
		return;
	store_close(r->store);
	free(r);
}
