/*
 * Any messages as a base backup, in both forms. The first byte has the form and the number of tablespaces; then each message is
 * two bytes of length and its payload, and a length of 0xFFFF begins another COPY. Events must come in the order of
 * backup_stream.h.
 */
#include "pg/backup_stream.h"

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t archives, ended;
	bool open, in_file, manifest;
};

static int
on_archive(size_t i, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (s->open || s->manifest || i != s->archives)
		abort();
	s->archives++;
	s->open = true;
	return 0;
}

static int
on_entry(const struct tar_entry *e, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (!s->open || s->in_file)
		abort();
	s->in_file = e->type == TAR_FILE;
	return 0;
}

static int
on_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)bytes;
	(void)err;
	if (!s->in_file || len == 0)
		abort();
	return 0;
}

static int
on_file_end(void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (!s->in_file)
		abort();
	s->in_file = false;
	return 0;
}

static int
on_archive_end(void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (!s->open || s->in_file)
		abort();
	s->open = false;
	s->ended++;
	return 0;
}

static int
on_manifest(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)bytes;
	(void)len;
	(void)err;
	if (s->open)
		abort();
	s->manifest = true;
	return 0;
}

static int
play(struct backup_stream *s, const uint8_t *p, size_t size)
{
	int rc = 0;

	while (rc == 0 && size >= 2) {
		size_t len = le16_get(p);

		p += 2;
		size -= 2;
		if (len == 0xFFFF) {
			rc = backup_stream_copy(s, NULL);
			continue;
		}
		if (len > size)
			len = size;
		rc = backup_stream_message(s, p, len, NULL);
		p += len;
		size -= len;
	}
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct backup_tablespace list[] = {
	    {.oid = 16400, .location = "/a"}, {.oid = 16401, .location = "/b"}, {.oid = 0, .location = ""}};
	static const struct backup_events events = {.archive_begin = on_archive,
	    .directory = on_entry,
	    .symlink = on_entry,
	    .file_begin = on_entry,
	    .file_data = on_data,
	    .file_end = on_file_end,
	    .archive_end = on_archive_end,
	    .manifest_data = on_manifest};
	BACKUP_STREAM_AUTO struct backup_stream *s = NULL;
	struct backup_start start = {.lsn = 1, .timeline = 1};
	struct seen seen = {0};

	if (size < 1)
		return 0;
	start.form = (data[0] & 1) != 0 ? BACKUP_COPY_EACH : BACKUP_ONE_COPY;
	start.n_tablespaces = 1 + (data[0] >> 1) % 3;
	start.tablespaces = list + 3 - start.n_tablespaces;
	if (backup_stream_new(&s, &start, &events, &seen, NULL) != 0)
		return 0;
	if (play(s, data + 1, size - 1) == 0 && backup_stream_finish(s, NULL) == 0 &&
	    (seen.ended != start.n_tablespaces || !seen.manifest))
		abort();
	return 0;
}
