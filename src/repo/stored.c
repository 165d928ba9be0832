#include "repo/stored.h"

static int
input_get(void *arg, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	struct stored *s = arg;

	return store_get(s->repo->store, s->key, offset, data, len, got, err);
}

static int
input_get_tail(void *arg, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	struct stored *s = arg;

	return store_get_tail(s->repo->store, s->key, data, len, got, size, err);
}

void
stored_free(struct stored *s)
{
	if (s == NULL)
		return;
	object_index_free(s->index);
	json_decref(s->clear);
	secret_free(s->object_key);
	free(s);
}

/* Kinds whose content is the cluster's data: these must be encrypted where the records say so. */
static bool
holds_data(uint8_t kind)
{
	return kind == OBJECT_WAL || kind == OBJECT_WAL_PARTIAL || kind == OBJECT_BACKUP_HISTORY || kind == OBJECT_PACK ||
	       kind == OBJECT_MANIFEST || kind == OBJECT_QUARANTINE;
}

static int
expect(const struct stored *s, const char *relative, uint8_t kind, bool founder, struct err *err)
{
	const struct object_header *h = &s->index->header;
	const struct repository *r = s->repo;

	if (strcmp(h->name, relative) != 0)
		return err_set(err, ERR_CORRUPT, 0, "holds the object '%s'", h->name);
	if (h->kind != kind)
		return err_set(err, ERR_CORRUPT, 0, "is a %s, not a %s", object_kind_name(h->kind), object_kind_name(kind));
	if (founder)
		return 0;
	if (memcmp(h->cluster, r->cluster, OBJECT_CLUSTER) != 0)
		return err_set(err, ERR_CORRUPT, 0, "belongs to another cluster");
	if (!repository_knows_signer(r, s->index->signer)) {
		err_set(err, ERR_AUTH, 0, "was signed by a key that is not enrolled");
		return err_hint(err, "a host that was never admitted wrote it; see the signers in: pgcairn info");
	}
	if (r->encrypted && holds_data(kind) && h->cipher == OBJECT_CIPHER_NONE) {
		err_set(err, ERR_AUTH, 0, "is not encrypted although this repository demands it");
		return err_hint(err, "it does not come from a pgcairn that was set up for this repository");
	}
	return 0;
}

static int
open_object(struct stored **out, struct repository *r, const char *relative, uint8_t kind, bool founder, struct err *err)
{
	STORED_AUTO struct stored *s = calloc(1, sizeof(*s));
	struct err doubt;
	int rc;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an object");
	s->repo = r;
	s->input = (struct object_input){input_get, input_get_tail, s};
	rc = layout_key(s->key, r->cluster_name, relative, err);
	if (rc == 0)
		rc = object_index_read(&s->index, &s->input, err);
	if (rc == ERR_NOT_FOUND) {
		if (repository_confirm(r, &doubt) == 0)
			return rc;
		if (err != NULL)
			*err = doubt;
		return doubt.kind;
	}
	if (rc == 0)
		rc = expect(s, relative, kind, founder, err);
	if (rc == 0)
		rc = json_read(&s->clear, buf_text(&s->index->clear), s->index->clear.len, "the clear part", err);
	if (rc < 0)
		return err_wrap(err, "object '%s' in repository '%s'", s->key, r->name);
	*out = STEAL(s);
	return 0;
}

int
stored_open(struct stored **out, struct repository *r, const char *relative, uint8_t kind, struct err *err)
{
	return open_object(out, r, relative, kind, false, err);
}

int
stored_open_record(struct stored **out, struct repository *r, const char *relative, bool founder, struct err *err)
{
	return open_object(out, r, relative, OBJECT_RECORD, founder, err);
}

int
stored_unlock(struct stored *s, struct keyring *ring, struct err *err)
{
	int rc;

	if (s->index->header.cipher == OBJECT_CIPHER_NONE || s->object_key != NULL)
		return 0;
	rc = keyring_open_object(ring, s->repo, &s->index->header, &s->object_key, err);
	return rc < 0 ? err_wrap(err, "object '%s' in repository '%s'", s->key, s->repo->name) : 0;
}

static const uint8_t *
key_of(const struct stored *s)
{
	return s->object_key != NULL ? s->object_key->bytes : NULL;
}

int
stored_sealed(struct stored *s, json_t **out, struct err *err)
{
	BUF_AUTO struct buf text = {.max = OBJECT_PART_MAX};
	int rc = object_sealed_read(s->index, key_of(s), &text, err);

	if (rc == 0)
		rc = json_read(out, buf_text(&text), text.len, "the sealed part", err);
	return rc < 0 ? err_wrap(err, "object '%s' in repository '%s'", s->key, s->repo->name) : 0;
}

int
stored_read(struct stored *s, struct worker_pool *pool, int (*each)(const void *data, size_t len, void *arg, struct err *err),
    void *arg, struct err *err)
{
	int rc = object_read_all(s->index, &s->input, key_of(s), pool, each, arg, err);

	return rc < 0 ? err_wrap(err, "object '%s' in repository '%s'", s->key, s->repo->name) : 0;
}

int
stored_scatter(struct stored *s, struct worker_pool *pool, object_put *put, void *arg, struct err *err)
{
	int rc = object_scatter(s->index, &s->input, key_of(s), pool, put, arg, err);

	return rc < 0 ? err_wrap(err, "object '%s' in repository '%s'", s->key, s->repo->name) : 0;
}

int
stored_check(struct stored *s, struct err *err)
{
	int rc = object_frames_check(s->index, &s->input, err);

	return rc < 0 ? err_wrap(err, "object '%s' in repository '%s'", s->key, s->repo->name) : 0;
}

int
stored_copy(struct stored *s, struct sink *to, struct err *err)
{
	const struct object_index *x = s->index;
	FREE_AUTO uint8_t *piece = malloc(OBJECT_FRAME_STORED_MAX);
	uint8_t digest[OBJECT_DIGEST];
	int rc;

	if (piece == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a copy");
	rc = object_front_write(x, &s->input, to, err);
	if (rc < 0)
		return err_wrap(err, "object '%s' in repository '%s'", s->key, s->repo->name);
	for (uint32_t i = 0; rc == 0 && i < x->lengths.frames; i++) {
		size_t got;

		rc = store_get(s->repo->store, s->key, x->frames[i].offset, piece, x->frames[i].stored, &got, err);
		if (rc < 0)
			break;
		object_hash(digest, piece, got);
		if (got != x->frames[i].stored || memcmp(digest, x->frames[i].digest, OBJECT_DIGEST) != 0)
			rc = err_set(err, ERR_CORRUPT, 0, "object '%s' in repository '%s': frame %u is damaged", s->key,
			    s->repo->name, i);
		if (rc == 0)
			rc = sink_write(to, piece, got, err);
	}
	return rc < 0 ? rc : object_end_write(x, to, err);
}
