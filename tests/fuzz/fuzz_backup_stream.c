/*
 * Any bytes as the messages of a base backup: the first says how many tablespaces there are, then each message follows its
 * length (two bytes, little-endian). What arrives keeps the order that the contract promises.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "pg/backup_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TABLESPACES 3

struct seen {
	size_t archives;
	bool in_archive, in_file, in_manifest;
	uint64_t left; /* of the file */
};

static int
archive_begin(size_t tablespace, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (s->in_archive || s->in_manifest || tablespace >= TABLESPACES)
		abort();
	s->in_archive = true;
	s->archives++;
	return 0;
}

static int
file_begin(const struct tar_entry *entry, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (!s->in_archive || s->in_file)
		abort();
	s->in_file = true;
	s->left = entry->size;
	return 0;
}

static int
file_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)bytes;
	(void)err;
	if (!s->in_file || len == 0 || len > s->left)
		abort();
	s->left -= len;
	return 0;
}

static int
file_end(void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (!s->in_file || s->left != 0)
		abort();
	s->in_file = false;
	return 0;
}

static int
archive_end(void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	if (!s->in_archive || s->in_file)
		abort();
	s->in_archive = false;
	return 0;
}

static int
manifest_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)bytes;
	(void)len;
	(void)err;
	if (s->in_archive)
		abort();
	s->in_manifest = true;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct backup_events events = {.archive_begin = archive_begin,
	    .file_begin = file_begin,
	    .file_data = file_data,
	    .file_end = file_end,
	    .archive_end = archive_end,
	    .manifest_data = manifest_data};
	static const struct backup_tablespace spaces[TABLESPACES] = {
	    {.oid = 16400, .location = "/a"}, {.oid = 16401, .location = "/b"}, {.oid = 0, .location = ""}};
	BACKUP_STREAM_AUTO struct backup_stream *s = NULL;
	struct backup_start start = {.lsn = 0x2000028, .timeline = 1};
	struct seen seen = {0};
	size_t n = size > 0 ? 1 + data[0] % TABLESPACES : 1;
	int rc;

	start.tablespaces = spaces + TABLESPACES - n;
	start.n_tablespaces = n;
	rc = backup_stream_new(&s, &start, &events, &seen, NULL);
	for (size_t at = 1; rc == 0 && at + 2 <= size;) {
		size_t len = le16_get(data + at);

		at += 2;
		len = len < size - at ? len : size - at;
		rc = backup_stream_message(s, data + at, len, NULL);
		at += len;
	}
	if (rc == 0 && backup_stream_finish(s, NULL) == 0 && (seen.archives != n || seen.in_archive))
		abort();
	return 0;
}
