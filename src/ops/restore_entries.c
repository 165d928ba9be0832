#include "ops/restore_entries.h"

#include "base/str.h"
#include "ops/restore.h"
#include "pg/crc32c.h"

void
restore_entries_free(struct restore_entries *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->list[i].path);
	free(e->list);
	free(e->pieces);
	memset(e, 0, sizeof(*e));
}

/* Room for one more; the array doubles. */
static int
grow(void **array, size_t n, size_t *cap, size_t size, struct err *err)
{
	size_t more = *cap == 0 ? 256 : *cap * 2;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*array, more * size);
	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the manifest");
	*array = p;
	*cap = more;
	return 0;
}

/* A run may cross frames; each piece lies in one. */
static int
add_run(struct restore_entries *e, uint32_t entry, const struct manifest_run *r, struct err *err)
{
	uint64_t done = 0;

	while (done < r->length) {
		uint64_t at = r->pack_offset + done;
		uint64_t left = OBJECT_FRAME - at % OBJECT_FRAME, n = r->length - done < left ? r->length - done : left;
		int rc = grow((void **)&e->pieces, e->n_pieces, &e->cap_pieces, sizeof(*e->pieces), err);

		if (rc < 0)
			return rc;
		e->pieces[e->n_pieces++] = (struct restore_piece){
		    .entry = entry,
		    .pack = r->pack,
		    .frame = (uint32_t)(at / OBJECT_FRAME),
		    .frame_offset = (uint32_t)(at % OBJECT_FRAME),
		    .length = (uint32_t)n,
		    .file_offset = r->file_offset + done,
		};
		done += n;
	}
	return 0;
}

static int
add_entry(const struct manifest_entry *m, void *arg, struct err *err)
{
	struct restore_entries *e = arg;
	struct restore_entry *r;
	int rc;

	if (m->kind == MANIFEST_BAD_PAGE)
		return 0;
	rc = grow((void **)&e->list, e->n, &e->cap, sizeof(*e->list), err);
	if (rc < 0)
		return rc;
	r = &e->list[e->n];
	*r = (struct restore_entry){
	    .kind = m->kind,
	    .mode = m->mode,
	    .size = m->size,
	    .crc32c = m->crc32c,
	    .tablespace = m->tablespace,
	    .first_piece = e->n_pieces,
	};
	memcpy(r->setting, m->setting, sizeof(r->setting));
	r->path = strdup(m->path);
	if (r->path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the manifest");
	e->n++;
	for (size_t i = 0; rc == 0 && i < m->n_runs; i++)
		rc = add_run(e, (uint32_t)(e->n - 1), &m->runs[i], err);
	r->n_pieces = e->n_pieces - r->first_piece;
	return rc;
}

/*
 * PGDATA may hold what an earlier restore put below RESTORE_CONFIG. Where the server was configured from outside all the same,
 * those files are leftovers, and this restore has other bytes for their place.
 */
static void
mark_replaced(struct restore_entries *e)
{
	for (size_t i = 0; i < e->n; i++) {
		struct restore_entry *old = &e->list[i];

		if (old->kind != MANIFEST_FILE || !str_starts(old->path, RESTORE_CONFIG "/"))
			continue;
		for (size_t k = 0; k < e->n && !old->replaced; k++)
			old->replaced = e->list[k].kind == MANIFEST_CONFIG &&
					strcmp(e->list[k].path, old->path + strlen(RESTORE_CONFIG)) == 0;
	}
}

int
restore_entries_read(struct restore_entries *e, struct stored *manifest, const struct manifest_head *head,
    struct worker_pool *pool, struct err *err)
{
	static const char *const needed[] = {"PG_VERSION", "backup_label", "global/pg_control"};
	int rc = manifest_read(manifest, head, pool, add_entry, e, err);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(needed); i++)
		if (restore_entries_file(e, needed[i]) == NULL)
			rc = err_set(err, ERR_CORRUPT, 0, "the manifest of backup %s lacks %s", head->label, needed[i]);
	if (rc == 0)
		mark_replaced(e);
	return rc;
}

const struct restore_entry *
restore_entries_file(const struct restore_entries *e, const char *path)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->list[i].kind == MANIFEST_FILE && strcmp(e->list[i].path, path) == 0)
			return &e->list[i];
	return NULL;
}

int
restore_entries_load(
    const struct restore_entries *e, const char *path, struct pack_reader *packs, struct buf *out, struct err *err)
{
	const struct restore_entry *entry = restore_entries_file(e, path);
	FREE_AUTO uint8_t *stored = malloc(OBJECT_FRAME_STORED_MAX), *plain = malloc(OBJECT_FRAME);
	size_t before = out->len;
	int rc = 0;

	if (stored == NULL || plain == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a frame");
	if (entry == NULL || entry->size > out->max - before)
		return err_set(err, ERR_CORRUPT, 0, "'%s' is not in the backup, or too large", path);
	for (size_t i = 0; rc == 0 && i < entry->n_pieces; i++) {
		const struct restore_piece *p = &e->pieces[entry->first_piece + i];
		size_t len;

		rc = pack_reader_frames(packs, p->pack, p->frame, 1, stored, plain, &len, err);
		if (rc == 0 && (size_t)p->frame_offset + p->length > len)
			rc = err_set(err, ERR_CORRUPT, 0, "the manifest places '%s' behind the end of a pack", path);
		if (rc == 0)
			rc = buf_append(out, plain + p->frame_offset, p->length, err);
	}
	if (rc == 0 && crc32c_final(crc32c_update(CRC32C_INIT, out->data + before, out->len - before)) != entry->crc32c)
		rc = err_set(err, ERR_CORRUPT, 0, "'%s' is not what the manifest says", path);
	return rc;
}
