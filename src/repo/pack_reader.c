#include "repo/pack_reader.h"

#include <pthread.h>

struct pack_reader {
	struct repository *const *repositories;
	size_t n_repositories;
	uint32_t mask;
	const struct manifest_head *head;
	struct keyring *ring;
	pthread_mutex_t lock;
	struct stored **opened; /* n_packs rows of n_repositories; NULL: not yet */
};

int
pack_reader_new(struct pack_reader **out, struct repository *const *repositories, size_t n, uint32_t mask,
    const struct manifest_head *head, struct keyring *ring, struct err *err)
{
	struct pack_reader *p = calloc(1, sizeof(*p));

	if (p != NULL)
		p->opened = calloc(head->n_packs * n + 1, sizeof(struct stored *));
	if (p == NULL || p->opened == NULL) {
		free(p);
		return err_set(err, ERR_NOMEM, 0, "out of memory for packs");
	}
	pthread_mutex_init(&p->lock, NULL);
	p->repositories = repositories;
	p->n_repositories = n;
	p->mask = mask;
	p->head = head;
	p->ring = ring;
	*out = p;
	return 0;
}

void
pack_reader_free(struct pack_reader *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->head->n_packs * p->n_repositories; i++)
		stored_free(p->opened[i]);
	pthread_mutex_destroy(&p->lock);
	free(p->opened);
	free(p);
}

/* The pack in one repository, opened and unlocked; the same bytes that the manifest pins. */
static int
open_pack(struct pack_reader *p, uint32_t pack, size_t repository, struct stored **out, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	char relative[OBJECT_NAME_MAX];
	int rc = layout_pack(relative, p->head->label, pack, err);

	if (rc == 0)
		rc = stored_open(&s, p->repositories[repository], relative, OBJECT_PACK, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(
		    err, ERR_CORRUPT, 0, "repository '%s' has lost '%s'", p->repositories[repository]->name, relative);
	if (rc == 0 && memcmp(s->index->digest, p->head->packs[pack].digest, OBJECT_DIGEST) != 0)
		rc = err_set(err, ERR_CORRUPT, 0, "'%s' in repository '%s' is not the object that the manifest pins", relative,
		    p->repositories[repository]->name);
	if (rc == 0)
		rc = stored_unlock(s, p->ring, err);
	if (rc < 0)
		return rc;
	*out = STEAL(s);
	return 0;
}

static int
need_pack(struct pack_reader *p, uint32_t pack, size_t repository, struct stored **out, struct err *err)
{
	struct stored **place = &p->opened[pack * p->n_repositories + repository];
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (*place == NULL)
		rc = open_pack(p, pack, repository, place, err);
	*out = *place;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static int
read_frames(struct pack_reader *p, uint32_t pack, uint32_t frame, uint32_t n, uint8_t *stored, uint8_t *plain, size_t *len,
    struct err *err)
{
	int rc = err_set(err, ERR_CORRUPT, 0, "pack %u is in no repository", pack);

	for (size_t i = 0; rc < 0 && i < p->n_repositories; i++) {
		struct stored *s;

		if ((p->mask & UINT32_C(1) << i) == 0)
			continue;
		rc = need_pack(p, pack, i, &s, err);
		if (rc < 0)
			continue;
		rc = object_frames_read(
		    s->index, &s->input, s->object_key != NULL ? s->object_key->bytes : NULL, frame, n, stored, plain, err);
		if (rc == 0)
			*len = (size_t)(n - 1) * OBJECT_FRAME + object_frame_plain(s->index, frame + n - 1);
		else
			err_wrap(err, "object '%s' in repository '%s'", s->key, p->repositories[i]->name);
	}
	return rc;
}

int
pack_reader_frames(struct pack_reader *p, uint32_t pack, uint32_t frame, uint32_t n, uint8_t *stored, uint8_t *plain,
    size_t *len, struct err *err)
{
	int rc;

	if (pack >= p->head->n_packs)
		return err_set(err, ERR_CORRUPT, 0, "the manifest names a pack that it does not pin");
	rc = read_frames(p, pack, frame, n, stored, plain, len, err);
	if (rc == 0 || n == 1)
		return rc;
	/* no repository has all of them whole: one may have what another lacks */
	rc = 0;
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		rc = read_frames(p, pack, frame + i, 1, stored, plain + (size_t)i * OBJECT_FRAME, len, err);
		*len += (size_t)i * OBJECT_FRAME;
	}
	return rc;
}
