#include "ops/backup_pages.h"

#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/fs.h"

void
backup_pages_begin(struct backup_pages *p, const char *path)
{
	int n;

	p->n_bad = p->fill = 0;
	p->active = p->server->checks_pages && page_relation_path(path, &p->file);
	p->block = p->file.first_block;
	n = snprintf(p->path, sizeof(p->path), "%s/%s", p->server->pgdata, path);
	if (n < 0 || (size_t)n >= sizeof(p->path))
		p->path[0] = '\0'; /* cannot be read again: what looks bad is bad */
}

void
backup_pages_end(struct backup_pages *p)
{
	p->active = false;
}

void
backup_pages_free(struct backup_pages *p)
{
	free(p->bad);
	p->bad = NULL;
	p->n_bad = p->cap = 0;
}

/*
 * Does this page need no attention? One that was written since the backup began may be torn, and WAL has a whole image of it;
 * but only if its LSN is one that this server can have given.
 */
static bool
is_sound(struct backup_pages *p, const uint8_t *page)
{
	lsn_t lsn;

	switch (page_check(page, p->block, p->start, 0)) {
	case PAGE_OK:
	case PAGE_NEW:
		return true;
	case PAGE_BAD:
		return false;
	case PAGE_NEWER:
		break;
	}
	lsn = page_lsn(page);
	if (lsn > p->newest)
		p->newest = backup_server_position(p->server);
	return p->newest == 0 || lsn <= p->newest;
}

/* The page as it is in PGDATA now. A file that is gone or has become shorter is the server's doing, and WAL repeats it. */
static bool
is_sound_again(struct backup_pages *p)
{
	FD_AUTO int fd = -1;
	uint64_t offset = (uint64_t)(p->block - p->file.first_block) * PG_PAGE_BYTES;
	unsigned tries = p->suspects++ < BACKUP_PAGE_PATIENCE ? BACKUP_PAGE_TRIES : 1;
	uint8_t page[PG_PAGE_BYTES];
	size_t got;

	fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT && p->path[0] != '\0';
	for (unsigned i = 0; i < tries; i++) {
		if (i > 0)
			clock_sleep_ms(BACKUP_PAGE_PAUSE_MS);
		if (fs_pread_upto(fd, page, sizeof(page), offset, &got, p->path, NULL) < 0)
			continue;
		if (got < sizeof(page) || is_sound(p, page))
			return true;
	}
	return false;
}

static int
check(struct backup_pages *p, const uint8_t *page, struct err *err)
{
	if (!is_sound(p, page) && !is_sound_again(p)) {
		if (p->n_bad == p->cap) {
			size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
			uint32_t *more = realloc(p->bad, cap * sizeof(*more));

			if (more == NULL)
				return err_set(err, ERR_NOMEM, 0, "out of memory for %zu bad pages", cap);
			p->bad = more;
			p->cap = cap;
		}
		p->bad[p->n_bad++] = p->block;
	}
	p->block++;
	return 0;
}

int
backup_pages_data(struct backup_pages *p, const uint8_t *bytes, size_t len, struct err *err)
{
	int rc = 0;

	while (p->active && rc == 0 && len > 0) {
		size_t n = PG_PAGE_BYTES - p->fill;

		if (p->fill == 0 && len >= PG_PAGE_BYTES) {
			rc = check(p, bytes, err);
		} else {
			n = n < len ? n : len;
			memcpy(p->page + p->fill, bytes, n);
			p->fill += n;
			if (p->fill == PG_PAGE_BYTES) {
				p->fill = 0;
				rc = check(p, p->page, err);
			}
		}
		bytes += n;
		len -= n;
	}
	return rc;
}
