/* What a manifest says against what is there: its packs and their pins, and every file against its checksum. */
#include <inttypes.h>

#include "base/str.h"
#include "ops/verify_work.h"
#include "pg/crc32c.h"

#define FILES_NAMED_MAX 100 /* damaged files of one backup that are named; the rest is counted */
#define REMEDY_PACK "copy the pack from a repository that has it whole, or take a new backup: pgcairn backup --full"

static void
check_pin(struct verify_work *w, const struct backup_entry *b, const char *name, const struct manifest_pack *pin)
{
	STORED_AUTO struct stored *s = NULL;
	struct err why;
	int rc = stored_open(&s, w->repo, name, OBJECT_PACK, &why);

	if (rc < 0) {
		verify_find_late(w, name, &why);
		return;
	}
	if (memcmp(s->index->digest, pin->digest, OBJECT_DIGEST) != 0)
		verify_find(w, name, "pin", REMEDY_PACK, "it is not the pack that the manifest of backup %s names", b->label);
	else if (s->index->lengths.plain != pin->plain || s->index->size != pin->stored)
		verify_find(w, name, "pin", REMEDY_PACK, "it has another size than the manifest of backup %s says", b->label);
}

void
verify_backup_packs(struct verify_work *w, const struct backup_entry *b)
{
	for (size_t i = 0; i < b->head.n_packs; i++) {
		char name[OBJECT_NAME_MAX];

		if (layout_pack(name, b->label, (unsigned)i, NULL) < 0)
			continue;
		if (verify_listed(w, name))
			check_pin(w, b, name, &b->head.packs[i]);
		else
			verify_find(w, name, "missing", REMEDY_PACK,
			    "the pack is not there; backup %s cannot be restored without it", b->label);
	}
}

static bool
has_backup(const struct verify_work *w, const char *label)
{
	for (size_t i = 0; i < w->backups.n; i++)
		if (strcmp(w->backups.list[i].label, label) == 0)
			return true;
	return false;
}

void
verify_orphans(struct verify_work *w)
{
	char last[LAYOUT_LABEL_MAX] = "";

	for (size_t i = 0; i < w->n; i++) {
		struct verify_name name;

		if (!str_starts(w->objects[i].relative, "backup/"))
			continue;
		verify_classify(w->objects[i].relative, &name);
		if (name.class != VERIFY_PACK || strcmp(name.label, last) == 0 || has_backup(w, name.label))
			continue;
		memcpy(last, name.label, sizeof(last));
		if (verify_selected(w, &name))
			verify_note(w, w->objects[i].relative, "orphan", "nothing to do: no backup needs it",
			    "packs without a manifest: backup %s runs just now, or broke off", name.label);
	}
}

/* Reads runs out of packs; one frame is kept, since the next run usually goes on in it. */
struct reader {
	struct verify_work *w;
	const struct backup_entry *backup;
	struct stored *pack; /* NULL: none is open, or the one that was asked for does not open */
	uint32_t pack_number, frame;
	bool has_pack, has_frame;
	bool pack_failed; /* to open: that was found when the pack was looked at, and every file in it is unreadable */
	size_t frame_len;
	uint8_t *plain, *stored;
	uint64_t damaged; /* files */
};

static int
need_pack(struct reader *r, uint32_t number, struct err *err)
{
	char name[OBJECT_NAME_MAX];
	int rc;

	if (r->has_pack && r->pack_number == number)
		return r->pack_failed ? err_set(err, ERR_CORRUPT, 0, "pack %" PRIu32 " does not open", number) : 0;
	stored_free(r->pack);
	r->pack = NULL;
	r->pack_number = number;
	r->has_pack = true;
	r->has_frame = r->pack_failed = false;
	rc = layout_pack(name, r->backup->label, number, err);
	if (rc == 0)
		rc = stored_open(&r->pack, r->w->repo, name, OBJECT_PACK, err);
	if (rc == 0)
		rc = stored_unlock(r->pack, r->w->ring, err);
	if (rc < 0) {
		stored_free(r->pack);
		r->pack = NULL;
		r->pack_failed = true;
		verify_find_late(r->w, name, err);
		return rc;
	}
	return 0;
}

static int
need_frame(struct reader *r, uint32_t pack, uint32_t frame, struct err *err)
{
	const struct secret *key;
	int rc = need_pack(r, pack, err);

	if (rc < 0 || (r->has_frame && r->frame == frame))
		return rc;
	r->has_frame = false;
	if (frame >= r->pack->index->lengths.frames)
		return err_set(err, ERR_CORRUPT, 0, "pack %" PRIu32 " is shorter than the manifest says", pack);
	key = r->pack->object_key;
	rc = object_frame_read(
	    r->pack->index, &r->pack->input, key != NULL ? key->bytes : NULL, frame, r->stored, r->plain, err);
	if (rc < 0)
		return err_wrap(err, "pack %" PRIu32, pack);
	r->frame = frame;
	r->frame_len = object_frame_plain(r->pack->index, frame);
	r->has_frame = true;
	return 0;
}

static int
digest_run(struct reader *r, const struct manifest_run *run, uint32_t *crc, struct err *err)
{
	uint64_t at = run->pack_offset, end = run->pack_offset + run->length;

	while (at < end) {
		size_t from = (size_t)(at & (OBJECT_FRAME - 1)), len;
		int rc = need_frame(r, run->pack, (uint32_t)(at >> OBJECT_FRAME_SHIFT), err);

		if (rc < 0)
			return rc;
		if (from >= r->frame_len)
			return err_set(err, ERR_CORRUPT, 0, "pack %" PRIu32 " is shorter than the manifest says", run->pack);
		len = r->frame_len - from;
		if (len > end - at)
			len = (size_t)(end - at);
		*crc = crc32c_update(*crc, r->plain + from, len);
		at += len;
	}
	return 0;
}

static int
check_file(const struct manifest_entry *e, void *arg, struct err *err)
{
	struct reader *r = arg;
	struct verify_work *w = r->w;
	uint32_t crc = CRC32C_INIT;
	char name[OBJECT_NAME_MAX];
	struct err why = {0};
	int rc = 0;

	if (e->kind != MANIFEST_FILE && e->kind != MANIFEST_CONFIG)
		return 0;
	for (size_t i = 0; rc == 0 && i < e->n_runs; i++)
		rc = digest_run(r, &e->runs[i], &crc, &why);
	if (rc == ERR_NOMEM) {
		*err = why;
		return rc;
	}
	if (rc == 0 && crc32c_final(crc) != e->crc32c)
		rc = err_set(&why, ERR_CORRUPT, 0, "its checksum is not the one in the manifest");
	if (rc < 0 && !r->pack_failed && ++r->damaged <= FILES_NAMED_MAX &&
	    layout_manifest(name, r->backup->label, r->backup->generation, NULL) == 0)
		verify_find(w, name, "file",
		    "a restore of this backup fails: copy the packs from a repository that has them whole",
		    "file '%s' of backup %s: %s", e->path, r->backup->label, why.msg);
	pthread_mutex_lock(&w->lock);
	w->result->files++;
	w->result->file_bytes += e->size;
	w->done += e->size;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

void
verify_backup_files(struct verify_work *w, const struct backup_entry *b)
{
	FREE_AUTO uint8_t *plain = malloc(OBJECT_FRAME), *stored = malloc(OBJECT_FRAME_STORED_MAX);
	struct reader r = {.w = w, .backup = b, .plain = plain, .stored = stored};
	STORED_AUTO struct stored *manifest = NULL;
	char name[OBJECT_NAME_MAX];
	struct err err = {0};
	int rc = layout_manifest(name, b->label, b->generation, &err);

	if (plain == NULL || stored == NULL)
		rc = err_set(&err, ERR_NOMEM, 0, "out of memory for a frame");
	if (rc == 0)
		rc = stored_open(&manifest, w->repo, name, OBJECT_MANIFEST, &err);
	if (rc == 0 && !verify_can_open(w, manifest, name))
		return;
	if (rc == 0)
		rc = stored_unlock(manifest, w->ring, &err);
	if (rc == 0)
		rc = manifest_read(manifest, &b->head, NULL, check_file, &r, &err);
	stored_free(r.pack);
	if (rc < 0)
		verify_find_err(w, name, &err);
	if (r.damaged > FILES_NAMED_MAX)
		verify_find(w, name, "file", "take a new backup: pgcairn backup --full",
		    "%" PRIu64 " files of backup %s are damaged", r.damaged, b->label);
}
