/* See backup_check.h. An array that is sorted in place once, so that memory is its size and no more, however many files. */
#include "ops/backup_check.h"

#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/clock.h"

struct item {
	uint64_t path;    /* hash, drawn with a seed of this run */
	uint64_t content; /* hash of size and checksum, its last bit cleared; that bit: the server has listed it */
};

struct backup_check {
	struct item *items;
	size_t n, cap;
	size_t listed;
	uint64_t seed;
	bool sorted;
};

int
backup_check_new(struct backup_check **out, struct err *err)
{
	struct backup_check *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a list of files");
	clock_random(&c->seed, sizeof(c->seed));
	*out = c;
	return 0;
}

void
backup_check_free(struct backup_check *c)
{
	if (c == NULL)
		return;
	free(c->items);
	free(c);
}

static struct item
item_of(const struct backup_check *c, const char *path, uint64_t size, uint32_t crc32c)
{
	uint8_t content[12];

	le64_put(content, size);
	le32_put(content + 8, crc32c);
	return (struct item){
	    .path = XXH3_64bits_withSeed(path, strlen(path), c->seed),
	    .content = XXH3_64bits_withSeed(content, sizeof(content), c->seed) & ~UINT64_C(1),
	};
}

int
backup_check_received(struct backup_check *c, const char *path, uint64_t size, uint32_t crc32c, struct err *err)
{
	if (c->sorted)
		return err_set(err, ERR_CORRUPT, 0, "the server sent file '%s' behind its manifest", path);
	if (c->n == c->cap) {
		size_t cap = c->cap == 0 ? 4096 : c->cap + c->cap / 2;
		struct item *more = realloc(c->items, cap * sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %zu files", cap);
		c->items = more;
		c->cap = cap;
	}
	c->items[c->n++] = item_of(c, path, size, crc32c);
	return 0;
}

/* Put the item at root where it belongs in a heap of n items. */
static void
sift(struct item *items, size_t root, size_t n)
{
	struct item v = items[root];

	for (;;) {
		size_t child = 2 * root + 1;

		if (child >= n)
			break;
		if (child + 1 < n && items[child + 1].path > items[child].path)
			child++;
		if (items[child].path <= v.path)
			break;
		items[root] = items[child];
		root = child;
	}
	items[root] = v;
}

/* A heap sort: qsort would copy the whole array aside. */
static int
sort(struct backup_check *c, struct err *err)
{
	for (size_t i = c->n / 2; i-- > 0;)
		sift(c->items, i, c->n);
	for (size_t n = c->n; n > 1; n--) {
		struct item top = c->items[0];

		c->items[0] = c->items[n - 1];
		c->items[n - 1] = top;
		sift(c->items, 0, n - 1);
	}
	for (size_t i = 1; i < c->n; i++)
		if (c->items[i].path == c->items[i - 1].path)
			return err_set(err, ERR_CORRUPT, 0, "the server sent a file twice");
	c->sorted = true;
	return 0;
}

static struct item *
find(struct backup_check *c, uint64_t path)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->items[mid].path < path)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n && c->items[lo].path == path ? &c->items[lo] : NULL;
}

int
backup_check_listed(struct backup_check *c, const struct server_manifest_file *f, struct err *err)
{
	struct item want = item_of(c, f->path, f->size, f->crc32c), *have;
	int rc = c->sorted ? 0 : sort(c, err);

	if (rc < 0)
		return rc;
	if (f->algorithm != SERVER_CHECKSUM_CRC32C)
		return err_set(err, ERR_CORRUPT, 0, "the server's manifest has no CRC32C of file '%s'", f->path);
	have = find(c, want.path);
	if (have == NULL)
		return err_set(err, ERR_CORRUPT, 0, "file '%s' is in the server's manifest and was not received", f->path);
	if ((have->content & 1) != 0)
		return err_set(err, ERR_CORRUPT, 0, "file '%s' is in the server's manifest twice", f->path);
	if (have->content != want.content)
		return err_set(err, ERR_CORRUPT, 0,
		    "file '%s' was received with another size or checksum than in the server's manifest", f->path);
	have->content |= 1;
	c->listed++;
	return 0;
}

int
backup_check_finish(struct backup_check *c, struct err *err)
{
	if (c->listed != c->n)
		return err_set(err, ERR_CORRUPT, 0, "%zu files were received, the server's manifest has %zu", c->n, c->listed);
	return 0;
}
