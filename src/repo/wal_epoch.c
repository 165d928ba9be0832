/* The WAL epoch that successive archive processes share, and its file in the state directory. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "repo/writer.h"

#define EPOCH_SEGMENTS 1024
#define EPOCH_AGE_US (UINT64_C(86400) * 1000000)
#define STATE_MAX 65536

/* What the file says: the key record, and what the epoch is for. */
struct open_epoch {
	json_t *record;
	json_t *published; /* ids of the repositories that have the key */
	int64_t created_us;
	uint64_t sysid, first_segno;
	timeline_t timeline;
};

static void
open_epoch_free(struct open_epoch *e)
{
	json_decref(e->record);
	json_decref(e->published);
}

static char *
state_path(const struct writer *w)
{
	return str_printf("%s/epochs/%s.json", w->state_directory, w->cluster_name);
}

static int
parse_state(struct open_epoch *e, json_t *o, struct err *err)
{
	const char *sysid;
	uint64_t timeline;
	json_t *published;
	int rc = json_get_i64(o, "created_us", &e->created_us, err);

	if (rc == 0)
		rc = json_get_str(o, "system_identifier", &sysid, err);
	if (rc == 0)
		rc = json_get_u64(o, "timeline", 1, UINT32_MAX, &timeline, err);
	if (rc == 0)
		rc = json_get_u64(o, "first_segment", 0, INT64_MAX, &e->first_segno, err);
	if (rc == 0)
		rc = json_get_array(o, "published", &published, err);
	if (rc == 0 && (!str_to_u64(sysid, 1, UINT64_MAX, &e->sysid) || !json_is_object(json_object_get(o, "key"))))
		rc = err_set(err, ERR_CORRUPT, 0, "epoch state is malformed");
	if (rc < 0)
		return rc;
	e->timeline = (timeline_t)timeline;
	e->published = json_incref(published);
	e->record = json_incref(json_object_get(o, "key"));
	return 0;
}

/* The remembered epoch; any trouble with the file means there is none. */
static int
load_state(const struct writer *w, struct open_epoch *e)
{
	FREE_AUTO char *path = state_path(w);
	BUF_AUTO struct buf text = {.max = STATE_MAX};
	JSON_AUTO json_t *o = NULL;
	int rc;

	if (path == NULL)
		return ERR_NOMEM;
	rc = fs_read_file(path, STATE_MAX, &text, NULL);
	if (rc == 0)
		rc = json_read(&o, buf_text(&text), text.len, "epoch state", NULL);
	return rc < 0 ? rc : parse_state(e, o, NULL);
}

static int
save_state(const struct writer *w, const struct open_epoch *e, struct err *err)
{
	FREE_AUTO char *dir = str_printf("%s/epochs", w->state_directory), *path = state_path(w);
	BUF_AUTO struct buf text = {.max = STATE_MAX};
	JSON_AUTO json_t *o = json_object();
	char sysid[24];
	int rc;

	(void)snprintf(sysid, sizeof(sysid), "%" PRIu64, e->sysid);
	if (dir == NULL || path == NULL || json_object_set_new(o, "created_us", json_integer(e->created_us)) < 0 ||
	    json_object_set_new(o, "system_identifier", json_string(sysid)) < 0 ||
	    json_object_set_new(o, "timeline", json_integer(e->timeline)) < 0 ||
	    json_object_set_new(o, "first_segment", json_integer((json_int_t)e->first_segno)) < 0 ||
	    json_object_set(o, "published", e->published) < 0 || json_object_set(o, "key", e->record) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the epoch's state");
	rc = fs_make_dirs(dir, 0700, err);
	if (rc == 0)
		rc = json_write(o, &text, err);
	if (rc == 0)
		rc = fs_write_file(path, text.data, text.len, 0600, FS_REPLACE, err);
	return rc;
}

static bool
is_published(const struct open_epoch *e, const char *id)
{
	json_t *one;
	size_t i;

	json_array_foreach(e->published, i, one)
	{
		const char *text = json_string_value(one);

		if (text != NULL && strcmp(text, id) == 0)
			return true;
	}
	return false;
}

/* Sealed to exactly the recipients that are configured now? */
static bool
same_recipients(const struct open_epoch *e, const struct recipients *r)
{
	json_t *sealed = json_object_get(e->record, "sealed"), *one;
	size_t i;

	if (json_array_size(sealed) != r->n)
		return false;
	json_array_foreach(sealed, i, one)
	{
		uint8_t key[KEY_BYTES];

		if (json_get_hex(one, "recipient", key, KEY_BYTES, NULL) < 0 || !recipients_contains(r, key))
			return false;
	}
	return true;
}

static bool
still_open(const struct open_epoch *e, const struct writer *w, uint64_t sysid, timeline_t timeline, uint64_t segno)
{
	int64_t now = clock_now_us();
	uint64_t age = (uint64_t)now - (uint64_t)e->created_us; /* whatever the file says: no overflow */

	return now >= e->created_us && age < EPOCH_AGE_US && e->sysid == sysid && e->timeline == timeline &&
	       segno >= e->first_segno && segno - e->first_segno < EPOCH_SEGMENTS && same_recipients(e, &w->recipients);
}

/* Put the key into every target that does not have it. True in *changed when the list grew. */
static int
publish(struct writer *w, struct fanout *f, struct open_epoch *e, const struct epoch *epoch, bool *changed, struct err *err)
{
	char name[OBJECT_NAME_MAX];
	struct err one = {.kind = ERR_BUG};
	int rc = layout_epoch_key(name, epoch->key_id, 0, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < f->n; i++) {
		struct fanout_target *t = &f->targets[i];
		struct store_stat st;
		bool known;

		if (t->failed)
			continue;
		known = is_published(e, t->repo->id);
		/* what was put there may be gone, with the directory that was replaced by an older copy: ask, for without its
		 * key a segment is lost */
		rc = known ? repository_stat(t->repo, name, &st, &one) : ERR_NOT_FOUND;
		if (rc == 0)
			continue;
		if (rc == ERR_NOT_FOUND)
			rc = repository_put_record(t->repo, name, OBJECT_EPOCH_KEY, e->record, &w->signing, &one);
		if (rc == ERR_EXISTS) /* an earlier process put it and died before it could say so */
			rc = repository_settle(t->repo, name, &one);
		if (rc < 0) {
			fanout_fail(f, i, &one);
			continue;
		}
		if (known)
			continue;
		if (json_array_append_new(e->published, json_string(t->repo->id)) < 0)
			return err_set(err, ERR_NOMEM, 0, "out of memory for the epoch's state");
		*changed = true;
	}
	if (fanout_alive(f) > 0)
		return 0;
	if (err != NULL)
		*err = one;
	return one.kind;
}

static int
wal_epoch(
    struct writer *w, struct fanout *f, struct epoch *out, uint64_t sysid, timeline_t timeline, uint64_t segno, struct err *err)
{
	__attribute__((cleanup(open_epoch_free))) struct open_epoch e = {0};
	bool changed = false;
	int rc;

	if (load_state(w, &e) < 0 || epoch_from_record(out, e.record, NULL) < 0 || !still_open(&e, w, sysid, timeline, segno)) {
		open_epoch_free(&e);
		e = (struct open_epoch){
		    .created_us = clock_now_us(), .sysid = sysid, .timeline = timeline, .first_segno = segno};
		e.published = json_array();
		rc = epoch_create(out, &e.record, "wal", &w->recipients, err);
		if (rc < 0)
			return rc;
	}
	rc = publish(w, f, &e, out, &changed, err);
	/* keys first: the state says only what is already durable in the repositories */
	if (rc == 0 && changed)
		(void)save_state(w, &e, NULL); /* without it the next process makes another epoch, which costs one object */
	return rc;
}

int
writer_wal_epoch(
    struct writer *w, struct fanout *f, struct epoch *out, uint64_t sysid, timeline_t timeline, uint64_t segno, struct err *err)
{
	int rc;

	if (!w->encrypted)
		return 0;
	(void)pthread_mutex_lock(&w->epoch_lock);
	rc = wal_epoch(w, f, out, sysid, timeline, segno, err);
	(void)pthread_mutex_unlock(&w->epoch_lock);
	return rc;
}

int
writer_end_wal_epoch(struct writer *w, struct err *err)
{
	FREE_AUTO char *path = state_path(w);

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	return fs_remove_tree(path, err);
}

int
writer_new_epoch(struct writer *w, struct fanout *f, const char *scope, struct epoch *out, struct err *err)
{
	__attribute__((cleanup(open_epoch_free))) struct open_epoch e = {.published = json_array()};
	bool changed;
	int rc;

	rc = writer_settle(w, f, err);
	if (rc < 0 || !w->encrypted)
		return rc;
	rc = epoch_create(out, &e.record, scope, &w->recipients, err);
	return rc < 0 ? rc : publish(w, f, &e, out, &changed, err);
}
