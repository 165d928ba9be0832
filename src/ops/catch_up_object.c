/* One object from whoever has it whole. */
#include "base/str.h"
#include "ops/catch_up_work.h"
#include "repo/copy.h"
#include "repo/wal_object.h"

#define FAILURES_MAX 8 /* of one source in a row: then it is left alone for this round */

void
catch_up_trouble(struct catch_up_work *w, const char *repository, const char *relative, const struct err *why)
{
	w->result->troubles++;
	if (w->round->trouble != NULL)
		w->round->trouble(repository, relative, why, w->round->arg);
}

/* The source as a whole, not one object in it? */
static bool
is_of_store(int kind)
{
	return kind == ERR_IO || kind == ERR_AUTH || kind == ERR_RETRY;
}

void
catch_up_source_failed(struct catch_up_work *w, size_t source, const char *relative, const struct err *why)
{
	catch_up_trouble(w, w->round->sources[source]->name, relative, why);
	if (!is_of_store(why->kind))
		return;
	w->failures[source]++;
	if (why->kind != ERR_RETRY && w->failures[source] < FAILURES_MAX)
		return;
	w->down[source] = true;
	w->result->heard_all = false;
}

/* Two objects are the same when their content is, whoever encoded it. Records have no content id: their name says what they
 * are. */
static int
compare(struct catch_up_work *w, const struct stored *have, const char *relative, struct err *err)
{
	struct repository *target = w->round->target;
	STORED_AUTO struct stored *theirs = NULL;
	uint8_t a[CONTENT_ID], b[CONTENT_ID];
	int rc;

	if (have->index->header.kind != OBJECT_RECORD && have->index->header.kind != OBJECT_HIGH_WATER) {
		rc = stored_open(&theirs, target, relative, have->index->header.kind, err);
		if (rc == 0)
			rc = wal_object_content_id(have->clear, a, err);
		if (rc == 0)
			rc = wal_object_content_id(theirs->clear, b, err);
		if (rc < 0)
			return rc;
		if (memcmp(a, b, CONTENT_ID) != 0) {
			err_set(err, ERR_CONFLICT, 0, "repositories '%s' and '%s' hold different contents under the name '%s'",
			    have->repo->name, target->name, relative);
			return err_hint(err, "pgcairn verify names both; nothing is overwritten");
		}
	}
	return repository_settle(target, relative, err);
}

/* The key that opens it: from the same repository, else from any other that has it. */
static int
bring_key(struct catch_up_work *w, const struct stored *have, bool *by_target, struct err *err)
{
	const struct object_header *h = &have->index->header;
	struct err other;
	int rc;

	*by_target = false;
	if (w->has_key && memcmp(w->key_id, h->key_id, OBJECT_KEY_ID) == 0)
		return 0;
	rc = object_copy_key(have, have->repo, w->round->target, by_target, err);
	for (size_t i = 0; rc < 0 && !*by_target && i < w->round->n_sources; i++)
		if (!w->down[i] && w->round->sources[i] != have->repo &&
		    object_copy_key(have, w->round->sources[i], w->round->target, by_target, &other) == 0)
			rc = 0;
	if (rc == ERR_NOT_FOUND) {
		rc = err_set(
		    err, ERR_CORRUPT, 0, "the key that opens '%s' is in no repository, so that nobody can read it", have->key);
		(void)err_hint(err, "copy the key from where it still is; pgcairn verify names all that is lost with it");
	}
	if (rc == 0 && h->cipher != OBJECT_CIPHER_NONE) {
		memcpy(w->key_id, h->key_id, OBJECT_KEY_ID);
		w->has_key = true;
	}
	return rc;
}

/* Complete segments only: the small files cost more to ask for than to copy. ERR_NOT_FOUND: from a repository. */
static int
from_server(struct catch_up_work *w, const struct stored *have, const char *relative, bool *by_target, struct err *err)
{
	uint8_t content_id[CONTENT_ID];
	struct err why;
	int rc;

	*by_target = false;
	if (w->round->from_server == NULL || have->index->header.kind != OBJECT_WAL || !str_starts(relative, "wal/") ||
	    wal_object_content_id(have->clear, content_id, NULL) < 0)
		return ERR_NOT_FOUND;
	rc = w->round->from_server(strrchr(relative, '/') + 1, content_id, w->round->arg, &why);
	if (rc == ERR_CORRUPT || rc == ERR_CONFIG || rc == ERR_REFUSED) /* it is another file by now */
		return ERR_NOT_FOUND;
	if (rc < 0 && rc != ERR_NOT_FOUND) {
		*by_target = true;
		*err = why;
	}
	return rc;
}

static int
bring(struct catch_up_work *w, struct stored *have, const struct wanted *o, bool *by_target, struct err *err)
{
	int rc = from_server(w, have, o->relative, by_target, err);

	if (rc == 0)
		w->result->from_server++;
	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = bring_key(w, have, by_target, err);
	if (rc == 0)
		rc = object_copy_alone(have, w->round->target, o->relative, by_target, err);
	if (rc == 0) {
		w->result->copied++;
		w->result->bytes += o->size;
	}
	return rc;
}

/* What goes wrong at the target with this one object alone, and what ends the round because it would with every other. */
static bool
is_of_object(int kind)
{
	return kind == ERR_CORRUPT || kind == ERR_CONFLICT || kind == ERR_REFUSED || kind == ERR_CONFIG;
}

/* From one source. *done: the target has it, or nothing more is to be tried. An error is the target's. */
static int
try_source(struct catch_up_work *w, size_t i, const struct wanted *o, bool *done, bool *left, struct err *err)
{
	STORED_AUTO struct stored *have = NULL;
	bool by_target = false;
	struct err why;
	int rc = stored_open(&have, w->round->sources[i], o->relative, catch_up_kind(o->relative), &why);

	if (rc == ERR_NOT_FOUND) /* it went since it was listed */
		return 0;
	if (rc == 0)
		rc = bring(w, have, o, &by_target, &why);
	if (rc == ERR_EXISTS) { /* somebody was faster */
		by_target = true;
		rc = compare(w, have, o->relative, &why);
	}
	if (rc == 0) {
		w->failures[i] = 0;
		*done = true;
		return 0;
	}
	if (!by_target) {
		catch_up_source_failed(w, i, o->relative, &why);
		return 0;
	}
	if (!is_of_object(rc)) {
		*err = why;
		return rc;
	}
	catch_up_trouble(w, w->round->target->name, o->relative, &why);
	*done = *left = true;
	return 0;
}

int
catch_up_object(struct catch_up_work *w, const struct wanted *o, bool *left, struct err *err)
{
	bool done = false;

	*left = false;
	for (size_t i = 0; i < w->round->n_sources && !done; i++) {
		int rc;

		if ((o->have & UINT32_C(1) << i) == 0 || w->down[i])
			continue;
		rc = try_source(w, i, o, &done, left, err);
		if (rc < 0)
			return rc;
	}
	*left = *left || !done;
	return 0;
}
