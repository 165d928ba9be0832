/*
 * Any segment in a prefetch spool, and any damage to its file afterwards: it is handed over with exactly its bytes when nothing
 * of the file changed, and else refused and gone, with nothing delivered.
 */
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "ops/spool_entry.h"

#define NAME "000000010000000000000009"
#define FLIPS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FOLDER "/dev/shm/pgcairn-fuzz-spool-XXXXXX"

static char folder[sizeof(FOLDER)], target[sizeof(FOLDER) + 8];

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* A new one each time: a fuzzer ends without a last word. */
static void
open_folder(struct spool *s)
{
	(void)snprintf(folder, sizeof(folder), "%s", FOLDER);
	must(mkdtemp(folder) != NULL);
	(void)snprintf(target, sizeof(target), "%s/target", folder);
	*s = SPOOL_NONE;
	memset(s->key, 7, sizeof(s->key));
	(void)snprintf(s->path, sizeof(s->path), "%s", folder);
	s->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(s->fd >= 0);
}

static void
put(const struct spool *s, const uint8_t *data, size_t size)
{
	SPOOL_WRITER_AUTO struct spool_writer *w = NULL;
	static const struct spool_origin origin = {.repository = "somewhere"};

	must(spool_writer_new(&w, s, NAME, NULL) == 0 && spool_writer_add(w, data, size, 0, NULL) == 0);
	must(spool_writer_end(w, &origin, NULL) == 0 && spool_writer_publish(w, NULL) == 0);
}

/* Three bytes a flip: where, counted from the end, for there the trailer is, and which bits. True: the file is another now. */
static bool
damage(const struct spool *s, const uint8_t *flips, size_t n, int8_t longer)
{
	BUF_AUTO struct buf before = {0}, after = {0};
	char path[sizeof(folder) + sizeof(NAME) + 1];
	FD_AUTO int fd = openat(s->fd, NAME, O_RDWR | O_CLOEXEC);
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, NAME);
	must(fd >= 0 && fstat(fd, &st) == 0 && fs_read_file(path, SIZE_MAX / 2, &before, NULL) == 0);
	for (size_t i = 0; i < n; i++) {
		off_t at = st.st_size - 1 - (flips[3 * i] | flips[3 * i + 1] << 8) % st.st_size;
		uint8_t byte;

		must(pread(fd, &byte, 1, at) == 1);
		byte ^= flips[3 * i + 2];
		must(pwrite(fd, &byte, 1, at) == 1);
	}
	if (st.st_size + longer > 0)
		must(ftruncate(fd, st.st_size + longer) == 0);
	must(fs_read_file(path, SIZE_MAX / 2, &after, NULL) == 0);
	return before.len != after.len || memcmp(before.data, after.data, before.len) != 0;
}

static void
expect(const struct spool *s, bool damaged, const uint8_t *data, size_t size)
{
	BUF_AUTO struct buf got = {0};
	struct fetch_target t;
	struct spool_origin origin;
	struct stat st;
	int rc;

	must(fetch_target_init(&t, target, NULL) == 0);
	rc = spool_take(s, NAME, &t, &origin, NULL);
	must(rc == (damaged ? ERR_CORRUPT : 0));
	must(fstatat(s->fd, NAME, &st, AT_SYMLINK_NOFOLLOW) < 0);
	rc = fs_read_file(target, SIZE_MAX / 2, &got, NULL);
	must(damaged ? rc == ERR_NOT_FOUND : rc == 0 && got.len == size && memcmp(got.data, data, size) == 0);
	must(damaged || strcmp(origin.repository, "somewhere") == 0);
	(void)unlink(target);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = size > 0 ? data[0] % FLIPS : 0;
	SPOOL_AUTO struct spool s = SPOOL_NONE;
	int8_t longer;
	bool damaged;

	must(sodium_init() >= 0);
	if (size < 2 + 3 * n + 1)
		return 0;
	longer = (int8_t)data[1];
	open_folder(&s);
	put(&s, data + 2 + 3 * n, size - 2 - 3 * n);
	damaged = damage(&s, data + 2, n, longer);
	expect(&s, damaged, data + 2 + 3 * n, size - 2 - 3 * n);
	must(rmdir(folder) == 0); /* nothing else was left there */
	return 0;
}
