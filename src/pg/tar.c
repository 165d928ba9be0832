/*
 * See tar.h. A reader is in one of three places: collecting a header block, passing on a file's bytes, or skipping the zeros
 * that fill its last block. libarchive would read more dialects, but pulls its input and accepts what must be refused here.
 */
#include "pg/tar.h"

#include <stdbool.h>

#include "base/str.h"
#include "pg/path.h"

enum place { IN_HEADER, IN_DATA, IN_PADDING };

struct tar_reader {
	struct tar_events events;
	void *arg;
	enum place place;
	bool failed;
	uint8_t block[TAR_BLOCK]; /* the header so far */
	size_t have;              /* bytes of it */
	uint64_t left;            /* bytes of the file, or of the padding, still to come */
	uint32_t padding;         /* behind the current file */
	uint64_t zero_blocks;     /* of the trailer */
	struct tar_entry entry;
};

/* The fields that are read, by offset and width. */
struct field {
	size_t at, width;
};
static const struct field f_name = {0, 100}, f_mode = {100, 8}, f_size = {124, 12}, f_mtime = {136, 12}, f_sum = {148, 8},
			  f_link = {157, 100}, f_prefix = {345, 155};
#define TYPE_AT 156
#define MAGIC_AT 257

int
tar_reader_new(struct tar_reader **out, const struct tar_events *events, void *arg, struct err *err)
{
	struct tar_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a tar reader");
	r->events = *events;
	r->arg = arg;
	*out = r;
	return 0;
}

void
tar_reader_free(struct tar_reader *r)
{
	free(r);
}

static bool
all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Octal digits, then at least one blank or NUL and nothing else. */
static bool
octal(const uint8_t *p, size_t width, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < width && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0'); /* 11 digits at most: 33 bits */
	if (i == 0 || i == width)
		return false;
	for (; i < width; i++)
		if (p[i] != ' ' && p[i] != '\0')
			return false;
	*out = v;
	return true;
}

/* Octal, or behind a first byte of 0x80 a big-endian number of up to 64 bits. */
static bool
number(const struct tar_reader *r, struct field f, uint64_t *out)
{
	const uint8_t *p = r->block + f.at;
	uint64_t v = 0;

	if (p[0] != 0x80)
		return octal(p, f.width, out);
	for (size_t i = 1; i < f.width; i++) {
		if (v >> 56 != 0)
			return false;
		v = v << 8 | p[i];
	}
	*out = v;
	return true;
}

/* Text that ends within its field, so that nothing was cut on the way. */
static bool
text(const struct tar_reader *r, struct field f, char out[TAR_NAME_MAX])
{
	const uint8_t *p = r->block + f.at;

	if (memchr(p, '\0', f.width) == NULL)
		return false;
	memcpy(out, p, TAR_NAME_MAX);
	return true;
}

/* The sum of all bytes, the sum's own field counted as blanks. */
static bool
checksum_fits(const struct tar_reader *r)
{
	uint64_t want, sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= f_sum.at && i < f_sum.at + f_sum.width ? ' ' : r->block[i];
	return octal(r->block + f_sum.at, f_sum.width, &want) && want == sum;
}

static int
read_type(struct tar_reader *r, struct err *err)
{
	struct tar_entry *e = &r->entry;
	char type = (char)r->block[TYPE_AT];

	switch (type) {
	case '0':
		e->type = TAR_FILE;
		break;
	case '2':
		e->type = TAR_SYMLINK;
		break;
	case '5':
		e->type = TAR_DIRECTORY;
		break;
	default:
		return err_set(err, ERR_CORRUPT, 0, "tar entry '%s' has unknown type 0x%02x", e->name, (unsigned char)type);
	}
	if (e->type != TAR_FILE && e->size != 0)
		return err_set(
		    err, ERR_CORRUPT, 0, "tar entry '%s' is no file and has %llu bytes", e->name, (unsigned long long)e->size);
	if ((e->type == TAR_SYMLINK) != (e->link[0] != '\0'))
		return err_set(err, ERR_CORRUPT, 0, "tar entry '%s' and its link target do not go together", e->name);
	return 0;
}

/* The server writes one or two directories, pg_wal/archive_status among them, with "./" in front. */
static int
read_name(struct tar_entry *e, struct err *err)
{
	size_t n = strlen(e->name), skip = str_starts(e->name, "./") ? 2 : 0;

	n -= skip;
	memmove(e->name, e->name + skip, n + 1);
	if (e->type != TAR_FILE && n > 1 && e->name[n - 1] == '/')
		e->name[n - 1] = '\0';
	if (!path_is_plain(e->name))
		return err_set(err, ERR_CORRUPT, 0, "tar entry '%s' has a name that leads elsewhere", e->name);
	return 0;
}

static int
read_header(struct tar_reader *r, struct err *err)
{
	struct tar_entry *e = &r->entry;
	uint64_t mode, mtime;
	int rc;

	if (!checksum_fits(r))
		return err_set(err, ERR_CORRUPT, 0, "a tar header behind '%s' has a wrong checksum", e->name);
	memset(e, 0, sizeof(*e));
	if (memcmp(r->block + MAGIC_AT,
		"ustar\0"
		"00",
		8) != 0)
		return err_set(err, ERR_CORRUPT, 0, "a tar header is not of the ustar format");
	if (r->block[f_prefix.at] != '\0' || !text(r, f_name, e->name) || !text(r, f_link, e->link))
		return err_set(err, ERR_CORRUPT, 0, "a tar header has a name that is too long: '%.99s'",
		    (const char *)r->block + f_name.at);
	if (!number(r, f_size, &e->size) || e->size > INT64_MAX)
		return err_set(err, ERR_CORRUPT, 0, "tar entry '%s' has a size that is no size", e->name);
	if (!number(r, f_mode, &mode) || mode > 07777)
		return err_set(err, ERR_CORRUPT, 0, "tar entry '%s' has a mode that is no mode", e->name);
	if (!number(r, f_mtime, &mtime))
		return err_set(err, ERR_CORRUPT, 0, "tar entry '%s' has a time that is no time", e->name);
	e->mode = (uint32_t)mode;
	e->mtime_s = (int64_t)mtime; /* the server writes a time before 1970 as its 64 bits */
	rc = read_type(r, err);
	return rc != 0 ? rc : read_name(e, err);
}

/* A whole header block is there. */
static int
take_header(struct tar_reader *r, struct err *err)
{
	int rc;

	r->have = 0;
	if (all_zero(r->block, TAR_BLOCK)) {
		r->zero_blocks++;
		return 0;
	}
	if (r->zero_blocks > 0)
		return err_set(err, ERR_CORRUPT, 0, "bytes follow the end of a tar archive");
	rc = read_header(r, err);
	if (rc != 0)
		return rc;
	rc = r->events.begin(&r->entry, r->arg, err);
	if (rc != 0)
		return rc;
	if (r->entry.size == 0)
		return r->events.end(r->arg, err);
	r->place = IN_DATA;
	r->left = r->entry.size;
	r->padding = (uint32_t)((TAR_BLOCK - r->entry.size % TAR_BLOCK) % TAR_BLOCK);
	return 0;
}

/* Take from the len bytes what the current place wants; how much in *used. */
static int
step(struct tar_reader *r, const uint8_t *p, size_t len, size_t *used, struct err *err)
{
	uint64_t want = r->place == IN_HEADER ? TAR_BLOCK - r->have : r->left;
	size_t n = len < want ? len : (size_t)want;
	int rc;

	*used = n;
	switch (r->place) {
	case IN_HEADER:
		memcpy(r->block + r->have, p, n);
		r->have += n;
		return r->have == TAR_BLOCK ? take_header(r, err) : 0;
	case IN_DATA:
		rc = r->events.data(p, n, r->arg, err);
		if (rc != 0)
			return rc;
		r->left -= n;
		if (r->left > 0)
			return 0;
		r->left = r->padding;
		r->place = r->left > 0 ? IN_PADDING : IN_HEADER;
		return r->events.end(r->arg, err);
	case IN_PADDING:
		if (!all_zero(p, n))
			return err_set(
			    err, ERR_CORRUPT, 0, "tar entry '%s' is followed by other bytes than zeros", r->entry.name);
		r->left -= n;
		if (r->left == 0)
			r->place = IN_HEADER;
		return 0;
	}
	return err_set(err, ERR_BUG, 0, "a tar reader is nowhere");
}

int
tar_reader_feed(struct tar_reader *r, const void *bytes, size_t len, struct err *err)
{
	const uint8_t *p = bytes;

	if (r->failed)
		return err_set(err, ERR_BUG, 0, "a tar reader is used after it failed");
	while (len > 0) {
		size_t used;
		int rc = step(r, p, len, &used, err);

		if (rc != 0) {
			r->failed = true;
			return rc;
		}
		p += used;
		len -= used;
	}
	return 0;
}

int
tar_reader_finish(struct tar_reader *r, struct err *err)
{
	if (r->failed)
		return err_set(err, ERR_BUG, 0, "a tar reader is used after it failed");
	if (r->place == IN_DATA || r->place == IN_PADDING)
		return err_set(err, ERR_CORRUPT, 0, "a tar archive ends within '%s'", r->entry.name);
	if (r->have > 0)
		return err_set(err, ERR_CORRUPT, 0, "a tar archive ends within a header, behind '%s'", r->entry.name);
	if (r->zero_blocks == 1)
		return err_set(err, ERR_CORRUPT, 0, "a tar archive ends with half of its trailer, behind '%s'", r->entry.name);
	return 0;
}
