/*
 * See backup_stream.h. Data belongs to the archive or manifest opened last, by a message or by a COPY of its own. An archive
 * ends where something else begins.
 */
#include "pg/backup_stream.h"

#include "base/str.h"

enum place { BEFORE_ALL, IN_ARCHIVE, IN_MANIFEST };

struct backup_stream {
	const struct backup_start *start;
	const struct backup_events *events;
	void *arg;
	enum place place;
	bool failed;
	bool started;           /* the first COPY has begun */
	size_t archives;        /* begun so far; they come in the order of the list */
	uint64_t bytes;         /* of all archives, where the server does not count them */
	bool is_file;           /* the current tar entry */
	bool manifest_bytes;    /* at least one came */
	struct tar_reader *tar; /* of the current archive */
};

#define CALL(s, event, ...) ((s)->events->event != NULL ? (s)->events->event(__VA_ARGS__, (s)->arg, err) : 0)

static int
on_begin(const struct tar_entry *e, void *arg, struct err *err)
{
	struct backup_stream *s = arg;

	s->is_file = e->type == TAR_FILE;
	switch (e->type) {
	case TAR_FILE:
		return CALL(s, file_begin, e);
	case TAR_DIRECTORY:
		return CALL(s, directory, e);
	case TAR_SYMLINK:
		return CALL(s, symlink, e);
	}
	return err_set(err, ERR_BUG, 0, "a tar entry has no type");
}

static int
on_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct backup_stream *s = arg;

	return CALL(s, file_data, bytes, len);
}

static int
on_end(void *arg, struct err *err)
{
	struct backup_stream *s = arg;

	return s->is_file && s->events->file_end != NULL ? s->events->file_end(s->arg, err) : 0;
}

int
backup_stream_new(struct backup_stream **out, const struct backup_start *start, const struct backup_events *events, void *arg,
    struct err *err)
{
	struct backup_stream *s;

	if (start->n_tablespaces == 0)
		return err_set(err, ERR_CORRUPT, 0, "the server announced a base backup of nothing");
	for (size_t i = 0; i < start->n_tablespaces; i++)
		if ((start->tablespaces[i].oid == 0) != (i + 1 == start->n_tablespaces))
			return err_set(
			    err, ERR_CORRUPT, 0, "the server's list of tablespaces does not end with its data directory");
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a base backup");
	s->start = start;
	s->events = events;
	s->arg = arg;
	*out = s;
	return 0;
}

void
backup_stream_free(struct backup_stream *s)
{
	if (s == NULL)
		return;
	tar_reader_free(s->tar);
	free(s);
}

static int
end_archive(struct backup_stream *s, struct err *err)
{
	int rc;

	if (s->place != IN_ARCHIVE)
		return 0;
	rc = tar_reader_finish(s->tar, err);
	tar_reader_free(STEAL(s->tar));
	if (rc != 0)
		return rc;
	return s->events->archive_end != NULL ? s->events->archive_end(s->arg, err) : 0;
}

/* The archive of the next tablespace in the list. */
static int
next_archive(struct backup_stream *s, struct err *err)
{
	static const struct tar_events tar_events = {.begin = on_begin, .data = on_data, .end = on_end};
	int rc = end_archive(s, err);

	if (rc == 0)
		rc = tar_reader_new(&s->tar, &tar_events, s, err);
	if (rc != 0)
		return rc;
	s->place = IN_ARCHIVE;
	return CALL(s, archive_begin, s->archives++);
}

/* "name NUL path NUL": the archive of the next tablespace in the list, and nothing else. */
static int
begin_archive(struct backup_stream *s, const char *p, size_t len, struct err *err)
{
	const struct backup_tablespace *t;
	size_t name_len = strnlen(p, len);
	char want[32];

	if (s->place == IN_MANIFEST || s->archives == s->start->n_tablespaces)
		return err_set(err, ERR_CORRUPT, 0, "the server began an archive that it had not announced");
	if (name_len == len || strnlen(p + name_len + 1, len - name_len - 1) != len - name_len - 2)
		return err_set(err, ERR_CORRUPT, 0, "the server began an archive with a message of another form");
	t = &s->start->tablespaces[s->archives];
	if (t->oid == 0)
		(void)snprintf(want, sizeof(want), "base.tar");
	else
		(void)snprintf(want, sizeof(want), "%u.tar", t->oid);
	if (strcmp(p, want) != 0 || strcmp(p + name_len + 1, t->location) != 0)
		return err_set(err, ERR_CORRUPT, 0, "the server sent archive '%.64s' of '%.200s' where '%s' was announced", p,
		    p + name_len + 1, want);
	return next_archive(s, err);
}

static int
begin_manifest(struct backup_stream *s, size_t len, struct err *err)
{
	int rc;

	if (s->place != IN_ARCHIVE || s->archives != s->start->n_tablespaces)
		return err_set(err, ERR_CORRUPT, 0, "the server began its manifest before all archives were sent");
	if (len != 0)
		return err_set(err, ERR_CORRUPT, 0, "the server began its manifest with a message of another form");
	rc = end_archive(s, err);
	s->place = IN_MANIFEST;
	return rc;
}

static int
take_data(struct backup_stream *s, const void *p, size_t len, struct err *err)
{
	switch (s->place) {
	case BEFORE_ALL:
		break;
	case IN_ARCHIVE:
		return tar_reader_feed(s->tar, p, len, err);
	case IN_MANIFEST:
		s->manifest_bytes |= len > 0;
		return CALL(s, manifest_data, p, len);
	}
	return err_set(err, ERR_CORRUPT, 0, "the server sent data before it began an archive");
}

static int
take_progress(struct backup_stream *s, const uint8_t *p, size_t len, struct err *err)
{
	uint64_t done = 0;

	if (len != 8 || p[0] > 127)
		return err_set(err, ERR_CORRUPT, 0, "the server reported progress with a message of another form");
	for (size_t i = 0; i < 8; i++)
		done = done << 8 | p[i];
	return CALL(s, progress, done);
}

/* Bytes of the archive or the manifest whose COPY this is; of the archives they are counted, because 14 tells no progress. */
static int
take_plain(struct backup_stream *s, const uint8_t *p, size_t len, struct err *err)
{
	int rc = take_data(s, p, len, err);

	if (rc != 0 || s->place != IN_ARCHIVE)
		return rc;
	s->bytes += len;
	return CALL(s, progress, s->bytes);
}

static int
take_message(struct backup_stream *s, const uint8_t *p, size_t len, struct err *err)
{
	if (len == 0 || len > BACKUP_MESSAGE_MAX)
		return err_set(err, ERR_CORRUPT, 0, "the server sent a message of %zu bytes in a base backup", len);
	if (s->start->form == BACKUP_COPY_EACH)
		return take_plain(s, p, len, err);
	switch (p[0]) {
	case 'n':
		return begin_archive(s, (const char *)p + 1, len - 1, err);
	case 'd':
		return take_data(s, p + 1, len - 1, err);
	case 'p':
		return take_progress(s, p + 1, len - 1, err);
	case 'm':
		return begin_manifest(s, len - 1, err);
	default:
		return err_set(err, ERR_CORRUPT, 0, "the server sent a message of unknown type 0x%02x in a base backup", p[0]);
	}
}

size_t
backup_stream_copies(const struct backup_start *start)
{
	return start->form == BACKUP_ONE_COPY ? 1 : start->n_tablespaces + 1;
}

int
backup_stream_copy(struct backup_stream *s, struct err *err)
{
	int rc = 0;

	if (s->failed)
		return err_set(err, ERR_BUG, 0, "a base backup goes on after it failed");
	if (s->place == IN_MANIFEST)
		rc = err_set(err, ERR_CORRUPT, 0, "the server began a COPY behind its manifest");
	else if (!s->started)
		rc = CALL(s, started, s->start);
	s->started = true;
	if (rc == 0 && s->start->form == BACKUP_COPY_EACH)
		rc = s->archives < s->start->n_tablespaces ? next_archive(s, err) : begin_manifest(s, 0, err);
	s->failed = rc != 0;
	return rc;
}

int
backup_stream_message(struct backup_stream *s, const void *payload, size_t len, struct err *err)
{
	int rc;

	if (s->failed)
		return err_set(err, ERR_BUG, 0, "a base backup goes on after it failed");
	rc = take_message(s, payload, len, err);
	s->failed = rc != 0;
	return rc;
}

int
backup_stream_finish(struct backup_stream *s, struct err *err)
{
	if (s->failed)
		return err_set(err, ERR_BUG, 0, "a base backup goes on after it failed");
	if (s->place != IN_MANIFEST || !s->manifest_bytes)
		return err_set(err, ERR_CORRUPT, 0, "the server's base backup ended before its manifest");
	return 0;
}
