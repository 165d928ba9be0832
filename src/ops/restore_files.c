#include "ops/restore_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/fs.h"
#include "pg/crc32c.h"

#define CONTROL "global/pg_control"

/* Frames that are read at once, the pieces in them, and room for their bytes. */
struct frame_job {
	struct worker_job job; /* first */
	struct restore_files *f;
	struct restore_piece **pieces; /* in the order of the frames */
	size_t n;
	bool busy;
	uint64_t written;
	int rc;
	struct err err;
	uint8_t stored[OBJECT_HASH_LANES * OBJECT_FRAME_STORED_MAX];
	uint8_t plain[OBJECT_HASH_LANES * OBJECT_FRAME];
};

bool
restore_skips(const struct restore_entry *e)
{
	static const char *const names[] = {
	    "standby.signal", "recovery.signal", "postmaster.pid", "postmaster.opts", "pgcairn.session", RESTORE_NOTE};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (e->kind == MANIFEST_FILE && strcmp(e->path, names[i]) == 0)
			return true;
	return e->replaced;
}

int
restore_path(const struct restore_entry *e, char *out, size_t size, struct err *err)
{
	int n = snprintf(out, size, "%s%s", e->kind == MANIFEST_CONFIG ? RESTORE_CONFIG : "", e->path);

	if (n < 0 || (size_t)n >= size)
		return err_set(err, ERR_CORRUPT, 0, "the path '%.64s...' is too long", e->path);
	return 0;
}

static int
open_for(struct restore_files *f, const struct restore_entry *e, int *fd, struct err *err)
{
	char path[PATH_MAX];
	int rc = restore_path(e, path, sizeof(path), err);

	if (rc < 0)
		return rc;
	*fd = openat(f->root, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, e->mode & 0777);
	if (*fd < 0)
		return err_set(err, ERR_IO, errno, "create '%s/%s'", f->options->pgdata, path);
	return 0;
}

static int
write_piece(struct restore_files *f, struct restore_piece *p, const uint8_t *bytes, struct err *err)
{
	const struct restore_entry *e = &f->entries->list[p->entry];
	int fd, rc;

	p->crc0 = crc32c_update(0, bytes, p->length);
	if (e->kind == MANIFEST_FILE && strcmp(e->path, CONTROL) == 0) {
		memcpy(f->control + p->file_offset, bytes, p->length);
		return 0;
	}
	rc = open_for(f, e, &fd, err);
	if (rc < 0)
		return rc;
	rc = fs_pwrite_all(fd, bytes, p->length, p->file_offset, e->path, err);
	/* only a hint: the disk begins while other pieces are still being decoded, and the fsync at the end finds little to do
	 */
	if (rc == 0)
		(void)sync_file_range(fd, (off_t)p->file_offset, p->length, SYNC_FILE_RANGE_WRITE);
	if (close(fd) < 0 && rc == 0)
		rc = err_set(err, ERR_IO, errno, "close '%s'", e->path);
	return rc;
}

static void
run_frame(struct worker_job *job)
{
	struct frame_job *j = (struct frame_job *)job;
	const struct restore_piece *first = j->pieces[0];
	uint32_t n = j->pieces[j->n - 1]->frame - first->frame + 1;
	size_t len = 0;

	j->rc = pack_reader_frames(j->f->packs, first->pack, first->frame, n, j->stored, j->plain, &len, &j->err);
	for (size_t i = 0; j->rc == 0 && i < j->n; i++) {
		struct restore_piece *p = j->pieces[i];
		size_t at = (size_t)(p->frame - first->frame) * OBJECT_FRAME + p->frame_offset;

		if (at + p->length > len)
			j->rc = err_set(&j->err, ERR_CORRUPT, 0, "the manifest points behind the end of pack %u", p->pack);
		else
			j->rc = write_piece(j->f, p, j->plain + at, &j->err);
		j->written += p->length;
	}
}

static int
by_place(const void *a, const void *b)
{
	const struct restore_piece *x = *(struct restore_piece *const *)a, *y = *(struct restore_piece *const *)b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	if (x->frame != y->frame)
		return x->frame < y->frame ? -1 : 1;
	return x->frame_offset < y->frame_offset ? -1 : x->frame_offset > y->frame_offset;
}

/* The pieces that have to be written, in the order of the packs. */
static struct restore_piece **
sorted_pieces(const struct restore_files *f, size_t *n)
{
	struct restore_entries *e = f->entries;
	struct restore_piece **list = calloc(e->n_pieces + 1, sizeof(*list));

	*n = 0;
	for (size_t i = 0; list != NULL && i < e->n_pieces; i++)
		if (!restore_skips(&e->list[e->pieces[i].entry]))
			list[(*n)++] = &e->pieces[i];
	if (list != NULL)
		qsort(list, *n, sizeof(*list), by_place);
	return list;
}

/* Wait for a slot's job, and tell how far we are. */
static int
collect(struct restore_files *f, struct frame_job *j, uint64_t *done, uint64_t total, struct err *err)
{
	if (!j->busy)
		return 0;
	worker_wait(f->pool, &j->job);
	j->busy = false;
	if (j->rc < 0) {
		*err = j->err;
		return j->rc;
	}
	*done += j->written;
	if (f->options->progress.update != NULL)
		f->options->progress.update(f->options->progress.arg, *done, total);
	return 0;
}

static int
run_frames(
    struct restore_files *f, struct restore_piece **list, size_t n, struct frame_job *slots, size_t n_slots, struct err *err)
{
	uint64_t done = 0, total = 0;
	size_t at = 0, slot = 0;
	struct err why;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		total += list[i]->length;
	while (rc == 0 && at < n) {
		struct frame_job *j = &slots[slot++ % n_slots];
		size_t end = at;

		rc = collect(f, j, &done, total, err);
		if (rc == 0 && f->options->interrupted != NULL && *f->options->interrupted)
			rc = err_set(
			    err, ERR_RETRY, 0, "interrupted; what was restored so far does not start and can be removed");
		if (rc < 0)
			break;
		while (end < n && list[end]->pack == list[at]->pack && list[end]->frame - list[at]->frame < OBJECT_HASH_LANES)
			end++;
		j->job = (struct worker_job){.run = run_frame};
		j->f = f;
		j->pieces = list + at;
		j->n = end - at;
		j->written = 0;
		j->busy = true;
		worker_submit(f->pool, &j->job);
		at = end;
	}
	for (size_t i = 0; i < n_slots; i++) {
		int one = collect(f, &slots[i], &done, total, rc == 0 ? err : &why);

		if (rc == 0)
			rc = one;
	}
	return rc;
}

static int
write_contents(struct restore_files *f, struct err *err)
{
	size_t n, n_slots = (size_t)worker_pool_threads(f->pool) + 2;
	FREE_AUTO struct restore_piece **list = sorted_pieces(f, &n);
	FREE_AUTO struct frame_job *slots = calloc(n_slots, sizeof(*slots));

	if (list == NULL || slots == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a restore");
	return run_frames(f, list, n, slots, n_slots, err);
}

/* What the backup read from the server is what lies here now. */
static int
check_crc(const struct restore_files *f, const struct restore_entry *e, struct err *err)
{
	uint32_t state = CRC32C_INIT;
	uint64_t size = 0;

	for (size_t i = 0; i < e->n_pieces; i++) {
		const struct restore_piece *p = &f->entries->pieces[e->first_piece + i];

		state = crc32c_combine(state, p->crc0, p->length);
		size += p->length;
	}
	if (size != e->size || crc32c_final(state) != e->crc32c)
		return err_set(err, ERR_CORRUPT, 0, "'%s' does not have the checksum that its backup recorded", e->path);
	return 0;
}

struct sync_job {
	struct worker_job job; /* first */
	struct restore_files *f;
	size_t from, to;
	int rc;
	struct err err;
};

/* Empty files are made here; all are made durable. */
static void
run_sync(struct worker_job *job)
{
	struct sync_job *j = (struct sync_job *)job;

	for (size_t i = j->from; j->rc == 0 && i < j->to; i++) {
		const struct restore_entry *e = &j->f->entries->list[i];
		int fd;

		if ((e->kind != MANIFEST_FILE && e->kind != MANIFEST_CONFIG) || restore_skips(e) ||
		    (e->kind == MANIFEST_FILE && strcmp(e->path, CONTROL) == 0))
			continue;
		j->rc = check_crc(j->f, e, &j->err);
		if (j->rc == 0)
			j->rc = open_for(j->f, e, &fd, &j->err);
		if (j->rc < 0)
			break;
		if (fsync(fd) < 0)
			j->rc = err_set(&j->err, ERR_IO, errno, "fsync '%s'", e->path);
		if (close(fd) < 0 && j->rc == 0)
			j->rc = err_set(&j->err, ERR_IO, errno, "close '%s'", e->path);
	}
}

static int
sync_files(struct restore_files *f, struct err *err)
{
	size_t n_jobs = (size_t)worker_pool_threads(f->pool) + 1, share = f->entries->n / n_jobs + 1;
	FREE_AUTO struct sync_job *jobs = calloc(n_jobs, sizeof(*jobs));
	int rc = 0;

	if (jobs == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a restore");
	for (size_t i = 0; i < n_jobs; i++) {
		jobs[i] = (struct sync_job){.job = {.run = run_sync}, .f = f, .from = i * share, .to = (i + 1) * share};
		if (jobs[i].from > f->entries->n)
			jobs[i].from = f->entries->n;
		if (jobs[i].to > f->entries->n)
			jobs[i].to = f->entries->n;
		worker_submit(f->pool, &jobs[i].job);
	}
	for (size_t i = 0; i < n_jobs; i++) {
		worker_wait(f->pool, &jobs[i].job);
		if (rc == 0 && jobs[i].rc < 0) {
			*err = jobs[i].err;
			rc = jobs[i].rc;
		}
	}
	return rc;
}

static int
prepare_control(struct restore_files *f, struct err *err)
{
	const struct restore_entry *e = restore_entries_file(f->entries, CONTROL);

	if (e == NULL || e->size == 0 || e->size > 65536)
		return err_set(err, ERR_CORRUPT, 0, "the backup has no sound " CONTROL);
	f->control_len = (size_t)e->size;
	f->control = calloc(1, f->control_len);
	return f->control != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for pg_control");
}

int
restore_files_run(struct restore_files *f, struct err *err)
{
	int rc = prepare_control(f, err);

	if (rc == 0)
		rc = write_contents(f, err);
	if (rc == 0)
		rc = check_crc(f, restore_entries_file(f->entries, CONTROL), err);
	return rc < 0 ? rc : sync_files(f, err);
}
