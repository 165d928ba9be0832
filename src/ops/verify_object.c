/* One object of a repository: its name, its structure, its signature, and what it holds. */
#include <inttypes.h>

#include "base/str.h"
#include "ops/verify_work.h"
#include "pg/wal_walker.h"
#include "repo/conflict.h"
#include "repo/gap.h"
#include "repo/wal_object.h"

#define REMEDY_KEY "without this key what is under it cannot be read: copy the object from a repository that has it whole"

/* "FOLDER/NNNN" of width digits behind the prefix. */
static bool
numbered(const char *text, const char *prefix, size_t width)
{
	uint64_t n;

	return str_starts(text, prefix) && strlen(text + strlen(prefix)) == width &&
	       str_to_u64(text + strlen(prefix), 0, UINT32_MAX, &n);
}

static bool
is_record(const char *relative)
{
	return numbered(relative, "signers/", 4) || numbered(relative, "lineage/", 4) || numbered(relative, "recipients/", 4);
}

/* keys/KEYID/GGGG */
static bool
is_key(const char *relative)
{
	uint8_t id[OBJECT_KEY_ID];
	char hex[2 * OBJECT_KEY_ID + 1];

	if (!str_starts(relative, "keys/") || strlen(relative) < 5 + sizeof(hex))
		return false;
	memcpy(hex, relative + 5, sizeof(hex) - 1);
	hex[sizeof(hex) - 1] = '\0';
	return str_from_hex(hex, id, sizeof(id)) && numbered(relative + 5 + strlen(hex), "/", 4);
}

static void
classify_backup(const char *relative, struct verify_name *out)
{
	const char *label = relative + strlen("backup/"), *file = strchr(label, '/');

	if (file == NULL || (size_t)(file - label) >= sizeof(out->label))
		return;
	memcpy(out->label, label, (size_t)(file - label));
	out->label[file - label] = '\0';
	if (!layout_name_valid(out->label))
		return;
	if (numbered(file, "/pack-", 6)) {
		out->class = VERIFY_PACK;
		out->kind = OBJECT_PACK;
	} else if (numbered(file, "/manifest-", 4)) {
		out->class = VERIFY_MANIFEST;
		out->kind = OBJECT_MANIFEST;
	}
}

static void
classify_wal(const char *relative, struct verify_name *out)
{
	const char *sysid = relative + strlen("wal/"), *slash = strchr(sysid, '/'), *file = strrchr(relative, '/') + 1;
	char digits[24], canonical[OBJECT_NAME_MAX];

	if (slash == NULL || (size_t)(slash - sysid) >= sizeof(digits))
		return;
	memcpy(digits, sysid, (size_t)(slash - sysid));
	digits[slash - sysid] = '\0';
	if (!str_to_u64(digits, 1, UINT64_MAX, &out->sysid) || !wal_name_parse(file, &out->wal) ||
	    layout_wal(canonical, out->sysid, &out->wal, NULL) < 0 || strcmp(canonical, relative) != 0)
		return;
	out->kind = wal_object_kind(&out->wal);
	out->class = out->kind == OBJECT_WAL || out->kind == OBJECT_WAL_PARTIAL ? VERIFY_SEGMENT : VERIFY_HISTORY;
}

/* conflict/OBJECT/CONTENT-ID: what came for OBJECT; stored under this name, with the kind of that one */
static void
classify_conflict(const char *relative, struct verify_name *out)
{
	struct verify_name other = {0};
	char name[OBJECT_NAME_MAX];
	uint8_t content_id[CONTENT_ID];
	const char *suffix;

	if (!conflict_name_parse(relative, name, content_id, &suffix) || !str_starts(name, "wal/"))
		return;
	classify_wal(name, &other);
	if (other.class == VERIFY_UNKNOWN)
		return;
	if (*suffix != '\0') {
		out->class = VERIFY_DECISION;
		out->kind = OBJECT_RECORD;
		return;
	}
	*out = other;
	out->class = VERIFY_CONFLICT;
	memcpy(out->object, name, sizeof(name));
}

/* gaps/SYSID/FILE/CONTENT-ID/record, and bytes beside it */
static void
classify_gap(const char *relative, struct verify_name *out)
{
	char record[OBJECT_NAME_MAX];
	struct gap_record g;
	const char *what = strrchr(relative, '/') + 1;
	bool bytes = strcmp(what, LAYOUT_GAP_BYTES) == 0;

	(void)snprintf(record, sizeof(record), "%.*s%s", (int)(what - relative), relative, bytes ? LAYOUT_GAP_RECORD : what);
	if (!gap_name_parse(record, &g))
		return;
	out->class = bytes ? VERIFY_QUARANTINE : VERIFY_GAP;
	out->kind = bytes ? OBJECT_QUARANTINE : OBJECT_RECORD;
	out->sysid = g.sysid;
	out->wal = g.name;
}

void
verify_classify(const char *relative, struct verify_name *out)
{
	*out = (struct verify_name){.class = VERIFY_UNKNOWN};
	if (strlen(relative) >= sizeof(out->object))
		return;
	(void)snprintf(out->object, sizeof(out->object), "%s", relative);
	if (is_record(relative)) {
		out->class = VERIFY_RECORD;
		out->kind = OBJECT_RECORD;
	} else if (is_key(relative)) {
		out->class = VERIFY_KEY;
		out->kind = OBJECT_EPOCH_KEY;
	} else if (str_starts(relative, "wal/")) {
		classify_wal(relative, out);
	} else if (str_starts(relative, "backup/")) {
		classify_backup(relative, out);
	} else if (str_starts(relative, "conflict/")) {
		classify_conflict(relative, out);
	} else if (str_starts(relative, "gaps/")) {
		classify_gap(relative, out);
	} else if (str_starts(relative, "index/")) {
		verify_classify_index(relative, out);
	}
}

/* An encrypted object without its key can be read by nobody: said once for every key. */
static void
need_key(struct verify_work *w, const struct verify_object *o, const struct object_header *h)
{
	char name[OBJECT_NAME_MAX];
	void *grown;
	bool known = false;

	if (h->cipher == OBJECT_CIPHER_NONE || layout_epoch_key(name, h->key_id, 0, NULL) < 0 || verify_listed(w, name))
		return;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_missing_keys; i++)
		known |= memcmp(w->missing_keys[i], h->key_id, OBJECT_KEY_ID) == 0;
	if (!known) {
		grown = realloc(w->missing_keys, (w->n_missing_keys + 1) * sizeof(*w->missing_keys));
		if (grown != NULL) {
			w->missing_keys = grown;
			memcpy(w->missing_keys[w->n_missing_keys++], h->key_id, OBJECT_KEY_ID);
		}
	}
	pthread_mutex_unlock(&w->lock);
	if (!known)
		verify_find(
		    w, name, "missing", REMEDY_KEY, "the epoch key is not there; '%s' needs it, maybe others", o->relative);
}

/* A key object: its id, and a sealed copy for somebody. */
static int
check_key(const struct verify_object *o, const struct stored *s, struct err *err)
{
	char hex[2 * OBJECT_KEY_ID + 1];
	struct epoch e;
	json_t *sealed;
	int rc = epoch_from_record(&e, s->clear, err);

	if (rc == 0)
		rc = json_get_array(s->clear, "sealed", &sealed, err);
	if (rc < 0)
		return rc;
	str_to_hex(hex, e.key_id, OBJECT_KEY_ID);
	if (strncmp(o->relative + strlen("keys/"), hex, strlen(hex)) != 0)
		return err_set(err, ERR_CORRUPT, 0, "it holds the key %s", hex);
	if (json_array_size(sealed) == 0)
		return err_set(err, ERR_CORRUPT, 0, "it is sealed to nobody");
	return 0;
}

static int
check_manifest(struct verify_work *w, const struct verify_name *name, const struct stored *s, struct err *err)
{
	struct manifest_head head = {0};
	int rc = manifest_head_decode(&head, s->clear, err);

	if (rc == 0 && strcmp(head.label, name->label) != 0)
		rc = err_set(err, ERR_CORRUPT, 0, "it is of backup '%s'", head.label);
	if (rc == 0 && repository_lineage(w->repo, head.sysid) == NULL)
		rc = err_set(err, ERR_CORRUPT, 0, "system identifier %" PRIu64 " is not in the cluster's lineage", head.sysid);
	manifest_head_free(&head);
	return rc;
}

bool
verify_can_open(struct verify_work *w, const struct stored *s, const char *object)
{
	const uint8_t *key_id = s->index->header.key_id;
	char key[OBJECT_NAME_MAX];
	struct err why;
	int rc;

	if (s->index->header.cipher == OBJECT_CIPHER_NONE)
		return true;
	if (w->ring == NULL)
		return false;
	rc = keyring_need(w->ring, w->repo, key_id, &why);
	/* a call that failed by now, and not when the key itself was looked at */
	if (rc < 0 && rc != ERR_NOT_FOUND && (rc == ERR_IO || rc == ERR_RETRY || rc == ERR_NOMEM || why.sys != 0) &&
	    (layout_epoch_key(key, key_id, 0, NULL) < 0 || !verify_is_found(w, key)))
		verify_find_err(w, object, &why);
	return rc == 0;
}

struct content {
	struct content_id *id;     /* NULL: no comparison key */
	struct wal_walker *walker; /* NULL: no WAL */
	uint64_t bytes;
};

static int
take_content(const void *data, size_t len, void *arg, struct err *err)
{
	struct content *c = arg;

	c->bytes += len;
	if (c->id != NULL)
		content_id_update(c->id, data, len);
	return c->walker != NULL ? wal_walker_feed(c->walker, data, len, err) : 0;
}

/* The walk's summary against the one that was stored with the segment. */
static int
compare_summary(struct content *c, const struct wal_summary *said, struct err *err)
{
	FREE_AUTO struct wal_summary *found = malloc(sizeof(*found));
	int rc;

	if (found == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a segment");
	rc = wal_walker_finish(c->walker, found, err);
	/* a later pgcairn sees more than the one that stored it without looking into it */
	if (rc < 0 || !said->verified)
		return rc;
	if (found->start != said->start || found->n_records != said->n_records || found->last_record != said->last_record ||
	    found->end != said->end || found->commit_count != said->commit_count || found->max_time_us != said->max_time_us ||
	    found->min_time_us != said->min_time_us || found->point_count != said->point_count)
		return err_set(err, ERR_CORRUPT, 0, "its clear part says other positions or times than its WAL");
	return 0;
}

static int
read_plain(struct verify_work *w, const struct verify_name *name, struct stored *s, struct wal_summary *said, struct err *err)
{
	const struct wal_walk_options walk = {
	    .name = name->wal,
	    .mode = name->kind == OBJECT_WAL ? WAL_COMPLETE : WAL_PARTIAL,
	    .sysid = name->sysid,
	};
	bool segment = name->kind == OBJECT_WAL || name->kind == OBJECT_WAL_PARTIAL;
	CONTENT_ID_AUTO struct content_id *id = NULL;
	WAL_WALKER_AUTO struct wal_walker *walker = NULL;
	uint8_t have[CONTENT_ID], want[CONTENT_ID];
	struct content c;
	int rc = wal_object_content_id(s->clear, want, err);

	if (rc == 0 && w->comparison != NULL)
		rc = content_id_new(&id, w->comparison->bytes, err);
	if (rc == 0 && segment)
		rc = wal_walker_new(&walker, &walk, err);
	c = (struct content){id, walker, 0};
	if (rc == 0)
		rc = stored_read(s, NULL, take_content, &c, err);
	if (rc == 0 && segment)
		rc = compare_summary(&c, said, err);
	if (rc < 0 || id == NULL)
		return rc;
	content_id_final(id, have);
	if (memcmp(have, want, sizeof(have)) != 0)
		return err_set(err, ERR_CORRUPT, 0, "its bytes are not those that its content id says");
	return 0;
}

/* WAL in every form. */
static int
check_wal(struct verify_work *w, const struct verify_name *name, struct stored *s, bool read, bool open, struct err *err)
{
	FREE_AUTO struct wal_summary *said = malloc(sizeof(*said));
	JSON_AUTO json_t *sealed = NULL;
	bool segment = name->kind == OBJECT_WAL || name->kind == OBJECT_WAL_PARTIAL;
	int rc = 0;

	if (said == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a segment");
	if (repository_lineage(w->repo, name->sysid) == NULL)
		return err_set(
		    err, ERR_CORRUPT, 0, "system identifier %" PRIu64 " is not in the cluster's lineage", name->sysid);
	if (read && open && segment)
		rc = stored_sealed(s, &sealed, err);
	if (rc == 0 && segment)
		rc = wal_object_decode(said, s->clear, sealed, err);
	if (rc == 0 && segment && said->timeline != name->wal.timeline)
		rc = err_set(err, ERR_CORRUPT, 0, "its clear part is of timeline %" PRIu32, said->timeline);
	if (rc == 0 && segment && said->magic != 0 && !said->verified) {
		pthread_mutex_lock(&w->lock);
		w->result->unverified++;
		pthread_mutex_unlock(&w->lock);
	}
	if (rc == 0 && read)
		rc = open ? read_plain(w, name, s, said, err) : object_frames_check(s->index, &s->input, err);
	return rc;
}

/* The bytes, which need not be WAL; and what was decided about them. */
static int
check_gap(struct verify_work *w, const struct verify_name *name, struct stored *s, bool read, bool open, struct err *err)
{
	struct wal_summary none;
	struct gap_record g;

	if (repository_lineage(w->repo, name->sysid) == NULL)
		return err_set(
		    err, ERR_CORRUPT, 0, "system identifier %" PRIu64 " is not in the cluster's lineage", name->sysid);
	if (name->class == VERIFY_GAP)
		return gap_record_decode(&g, s->clear, err);
	if (!read)
		return 0;
	return open ? read_plain(w, name, s, &none, err) : object_frames_check(s->index, &s->input, err);
}

/* Of the conflict beside which it stands. */
static int
check_decision(struct verify_work *w, const char *relative, struct err *err)
{
	struct conflict_record record;
	char object[OBJECT_NAME_MAX];
	uint8_t content_id[CONTENT_ID];
	const char *suffix;

	if (!conflict_name_parse(relative, object, content_id, &suffix))
		return err_set(err, ERR_BUG, 0, "'%s' is no decision", relative);
	return conflict_read_record(&record, w->repo, object, content_id, suffix, err);
}

static int
open_object(
    struct verify_work *w, const struct verify_object *o, const struct verify_name *name, struct stored **out, struct err *err)
{
	if (name->class == VERIFY_RECORD)
		return stored_open_record(out, w->repo, o->relative, strcmp(o->relative, "signers/0000") == 0, err);
	return stored_open(out, w->repo, o->relative, name->kind, err);
}

static int
check(struct verify_work *w, struct verify_object *o, const struct verify_name *name, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	bool read = verify_in_subset(w, o->relative), open = false;
	int rc = open_object(w, o, name, &s, err);

	if (rc < 0)
		return rc;
	need_key(w, o, &s->index->header);
	if (read && name->class != VERIFY_PACK) {
		open = verify_can_open(w, s, o->relative);
		rc = open ? stored_unlock(s, w->ring, err) : 0;
	}
	if (rc == 0 && name->class == VERIFY_KEY)
		rc = check_key(o, s, err);
	if (rc == 0 && name->class == VERIFY_MANIFEST)
		rc = check_manifest(w, name, s, err);
	if (rc == 0 && (name->class == VERIFY_SEGMENT || name->class == VERIFY_HISTORY || name->class == VERIFY_CONFLICT))
		rc = check_wal(w, name, s, read, open, err);
	else if (rc == 0 && name->class == VERIFY_DECISION)
		rc = check_decision(w, o->relative, err);
	else if (rc == 0 && (name->class == VERIFY_GAP || name->class == VERIFY_QUARANTINE))
		rc = check_gap(w, name, s, read, open, err);
	else if (rc == 0 && read && name->class == VERIFY_INDEX)
		verify_index(w, name, s);
	else if (rc == 0 && read)
		rc = object_frames_check(s->index, &s->input, err);
	if (rc == 0 && (name->class == VERIFY_SEGMENT || name->class == VERIFY_HISTORY))
		o->has_content = wal_object_content_id(s->clear, o->content_id, NULL) == 0;
	pthread_mutex_lock(&w->lock);
	w->result->read += read;
	w->result->decrypted += read && open && s->index->header.cipher != OBJECT_CIPHER_NONE;
	w->result->bytes += read ? o->size : 0;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* One that somebody decided about is no finding any more. */
static void
tell_conflict(struct verify_work *w, const struct verify_object *o, const struct verify_name *name)
{
	struct conflict_record record;
	char object[OBJECT_NAME_MAX], why[DECISION_TEXT];
	uint8_t content_id[CONTENT_ID];
	const char *suffix;

	if (conflict_name_parse(o->relative, object, content_id, &suffix) &&
	    conflict_read_record(&record, w->repo, object, content_id, LAYOUT_RESOLVED, NULL) == 0) {
		decision_describe(&record.decision, why);
		verify_note(w, o->relative, "conflict", "", "other content came for %s; the first is kept %s", object, why);
		return;
	}
	verify_find(w, o->relative, "conflict",
	    "find out which server wrote it: pgcairn conflict show; two clusters archive to one place?",
	    "other content came for %s, which was taken", name->object);
}

void
verify_object(struct verify_work *w, struct verify_object *o)
{
	struct verify_name name;
	struct err err = {0};

	verify_classify(o->relative, &name);
	if (name.class == VERIFY_UNKNOWN) {
		verify_find(w, o->relative, "name", "find out who writes here; pgcairn does not need the object",
		    "this is no name that pgcairn gives");
		return;
	}
	if (!verify_selected(w, &name))
		return;
	pthread_mutex_lock(&w->lock);
	w->result->objects++;
	pthread_mutex_unlock(&w->lock);
	if (name.class == VERIFY_CONFLICT)
		tell_conflict(w, o, &name);
	/* one that is gone was removed since the listing */
	if (check(w, o, &name, &err) == 0 || err.kind == ERR_NOT_FOUND)
		return;
	if (name.class == VERIFY_INDEX)
		verify_index_failed(w, o->relative, &err);
	else
		verify_find_err(w, o->relative, &err);
}
