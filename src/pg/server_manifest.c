/*
 * See server_manifest.h. Lines are collected up to their cap, hashed, and read according to the place in the document. Only
 * the objects go through a JSON parser: the lines around them are fixed texts of the server, and its system identifier may be
 * larger than JSON integers are in jansson.
 */
#include "pg/server_manifest.h"

#include <jansson.h>
#include <sodium.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/path.h"

enum place { AT_VERSION, AT_SYSTEM, AT_FILES, IN_FILES, AT_RANGES, IN_RANGES, AT_CHECKSUM, AT_END };

struct server_manifest {
	struct server_manifest_events events;
	void *arg;
	struct buf line; /* the line so far, without its newline */
	crypto_hash_sha256_state hash;
	enum place place;
	bool failed;
	bool more;     /* one more object may come: a comma, or the list's start, stands before this line */
	uint64_t rows; /* lines before this one */
	struct server_manifest_end end;
};

struct algorithm {
	const char *name;
	size_t len;
};
static const struct algorithm algorithms[] = {
    [SERVER_CHECKSUM_NONE] = {"NONE", 0},
    [SERVER_CHECKSUM_CRC32C] = {"CRC32C", 4},
    [SERVER_CHECKSUM_SHA224] = {"SHA224", 28},
    [SERVER_CHECKSUM_SHA256] = {"SHA256", 32},
    [SERVER_CHECKSUM_SHA384] = {"SHA384", 48},
    [SERVER_CHECKSUM_SHA512] = {"SHA512", 64},
};

static void
scope_json(json_t **j)
{
	json_decref(*j);
}
#define JSON_AUTO SCOPE(scope_json)

const char *
server_checksum_name(enum server_checksum algorithm)
{
	return algorithms[algorithm].name;
}

int
server_manifest_new(struct server_manifest **out, const struct server_manifest_events *events, void *arg, struct err *err)
{
	struct server_manifest *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a manifest reader");
	m->events = *events;
	m->arg = arg;
	m->line.max = SERVER_MANIFEST_LINE_MAX;
	crypto_hash_sha256_init(&m->hash);
	*out = m;
	return 0;
}

void
server_manifest_free(struct server_manifest *m)
{
	if (m == NULL)
		return;
	buf_free(&m->line);
	free(m);
}

static int
broken(const struct server_manifest *m, struct err *err, const char *what)
{
	return err_set(
	    err, ERR_CORRUPT, 0, "the server's backup manifest, line %llu: %s", (unsigned long long)m->rows + 1, what);
}

/* The line is front, decimal digits, back. */
static bool
number_between(const struct server_manifest *m, const char *front, const char *back, uint64_t *out)
{
	const char *line = buf_text(&m->line);
	size_t skip = strlen(front), n;
	char digits[24];

	if (!str_starts(line, front))
		return false;
	n = strspn(line + skip, "0123456789");
	if (n == 0 || n >= sizeof(digits) || strcmp(line + skip + n, back) != 0)
		return false;
	memcpy(digits, line + skip, n);
	digits[n] = '\0';
	return str_to_u64(digits, 0, UINT64_MAX, out);
}

static bool
line_is(const struct server_manifest *m, const char *text)
{
	return strcmp(buf_text(&m->line), text) == 0;
}

static int
read_version(struct server_manifest *m, struct err *err)
{
	uint64_t version;

	if (!number_between(m, "{ \"PostgreSQL-Backup-Manifest-Version\": ", ",", &version))
		return broken(m, err, "a version was expected");
	if (version < 1 || version > 2)
		return broken(m, err, "a version that this program does not know");
	m->end.version = (unsigned)version;
	m->place = version >= 2 ? AT_SYSTEM : AT_FILES;
	return 0;
}

static int
read_system(struct server_manifest *m, struct err *err)
{
	if (!number_between(m, "\"System-Identifier\": ", ",", &m->end.system_identifier))
		return broken(m, err, "a system identifier was expected");
	m->end.has_system_identifier = true;
	m->place = AT_FILES;
	return 0;
}

/* The object of a line, and in m->more whether a comma follows it. */
static int
read_object(struct server_manifest *m, json_t **out, struct err *err)
{
	const char *line = buf_text(&m->line);
	size_t len = m->line.len;
	json_error_t why;
	json_t *j;

	m->more = len > 0 && line[len - 1] == ',';
	j = json_loadb(line, m->more ? len - 1 : len, JSON_REJECT_DUPLICATES, &why);
	if (j == NULL && json_error_code(&why) == json_error_out_of_memory)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a line of the server's backup manifest");
	if (j == NULL || !json_is_object(j)) {
		json_decref(j);
		return broken(m, err, "one whole JSON object was expected");
	}
	*out = j;
	return 0;
}

/* A string member; NULL when it is absent or something else. Each one found is counted, to see whether others are there. */
static const char *
text_of(const json_t *object, const char *key, size_t *found)
{
	const char *text = json_string_value(json_object_get(object, key));

	*found += text != NULL;
	return text;
}

static bool
count_of(const json_t *object, const char *key, uint64_t max, size_t *found, uint64_t *out)
{
	const json_t *j = json_object_get(object, key);

	if (!json_is_integer(j) || json_integer_value(j) < 0 || (uint64_t)json_integer_value(j) > max)
		return false;
	*found += 1;
	*out = (uint64_t)json_integer_value(j);
	return true;
}

/* The path in exactly one of its two forms, as a buffer with a NUL. */
static int
read_path(const struct server_manifest *m, const json_t *object, size_t *found, struct buf *out, struct err *err)
{
	const char *plain = text_of(object, "Path", found);
	const char *hex = text_of(object, "Encoded-Path", found);
	size_t n = hex != NULL ? strlen(hex) / 2 : 0;
	int rc;

	if ((plain != NULL) == (hex != NULL))
		return broken(m, err, "a file needs one path");
	if (plain != NULL) {
		rc = buf_append(out, plain, strlen(plain), err);
	} else {
		rc = buf_reserve(out, n, err);
		if (rc == 0 && (n == 0 || !str_from_hex(hex, out->data, n)))
			return broken(m, err, "an encoded path is not hexadecimal");
		if (rc == 0) {
			out->len = n;
			out->data[n] = '\0';
		}
	}
	if (rc != 0)
		return rc;
	if (strlen(buf_text(out)) != out->len || !path_is_plain(buf_text(out)))
		return broken(m, err, "a path leads out of the data directory");
	return 0;
}

static int
read_checksum(
    const struct server_manifest *m, const json_t *object, size_t *found, struct server_manifest_file *f, struct err *err)
{
	const char *name = text_of(object, "Checksum-Algorithm", found);
	const char *hex = text_of(object, "Checksum", found);

	if (name == NULL && hex == NULL)
		return 0;
	if (name == NULL || hex == NULL)
		return broken(m, err, "a checksum and its algorithm do not go together");
	for (size_t i = SERVER_CHECKSUM_CRC32C; i < ARRAY_LEN(algorithms); i++) {
		if (strcmp(name, algorithms[i].name) != 0)
			continue;
		f->algorithm = (enum server_checksum)i;
		f->checksum_len = algorithms[i].len;
		if (!str_from_hex(hex, f->checksum, f->checksum_len))
			return broken(m, err, "a checksum does not have its algorithm's form");
		if (f->algorithm == SERVER_CHECKSUM_CRC32C)
			f->crc32c = (uint32_t)f->checksum[0] | (uint32_t)f->checksum[1] << 8 | (uint32_t)f->checksum[2] << 16 |
				    (uint32_t)f->checksum[3] << 24;
		return 0;
	}
	return broken(m, err, "a checksum algorithm that this program does not know");
}

/* "2026-01-02 03:04:05 GMT", which a file far from our days may not keep to: not worth losing a backup over. */
static int64_t
read_time(const char *text)
{
	char utc[32];
	size_t n = strlen(text);
	int64_t us;

	if (n >= sizeof(utc) || !str_ends(text, " GMT"))
		return SERVER_MANIFEST_NO_TIME;
	memcpy(utc, text, n - 4);
	utc[n - 4] = 'Z';
	utc[n - 3] = '\0';
	return clock_parse_utc(utc, &us, NULL) == 0 ? us : SERVER_MANIFEST_NO_TIME;
}

static int
read_file(struct server_manifest *m, struct err *err)
{
	struct server_manifest_file f = {0};
	JSON_AUTO json_t *object = NULL;
	BUF_AUTO struct buf path = {0};
	const char *modified;
	size_t found = 0;
	int rc = read_object(m, &object, err);

	if (rc == 0)
		rc = read_path(m, object, &found, &path, err);
	if (rc == 0)
		rc = read_checksum(m, object, &found, &f, err);
	if (rc != 0)
		return rc;
	if (!count_of(object, "Size", INT64_MAX, &found, &f.size))
		return broken(m, err, "a file needs a size");
	modified = text_of(object, "Last-Modified", &found);
	if (modified == NULL || json_object_size(object) != found)
		return broken(m, err, "a file has other members than it should");
	f.path = buf_text(&path);
	f.modified_us = read_time(modified);
	m->end.files++;
	return m->events.file(&f, m->arg, err);
}

static int
read_range(struct server_manifest *m, struct err *err)
{
	struct server_manifest_range r = {0};
	JSON_AUTO json_t *object = NULL;
	const char *start, *end;
	uint64_t timeline;
	size_t found = 0;
	int rc = read_object(m, &object, err);

	if (rc != 0)
		return rc;
	start = text_of(object, "Start-LSN", &found);
	end = text_of(object, "End-LSN", &found);
	if (!count_of(object, "Timeline", UINT32_MAX, &found, &timeline) || found != 3 || json_object_size(object) != found)
		return broken(m, err, "a WAL range has other members than it should");
	if (timeline == 0 || !lsn_parse(start, &r.start) || !lsn_parse(end, &r.end) || r.start > r.end)
		return broken(m, err, "a WAL range that is none");
	r.timeline = (timeline_t)timeline;
	m->end.ranges++;
	return m->events.range(&r, m->arg, err);
}

static int
read_manifest_checksum(struct server_manifest *m, struct err *err)
{
	static const char front[] = "\"Manifest-Checksum\": \"", back[] = "\"}";
	uint8_t said[sizeof(m->end.checksum)];
	char hex[2 * sizeof(said) + 1];
	const char *line = buf_text(&m->line);

	if (m->line.len != strlen(front) + strlen(back) + 2 * sizeof(said) || !str_starts(line, front) || !str_ends(line, back))
		return broken(m, err, "the manifest's checksum was expected");
	memcpy(hex, line + strlen(front), 2 * sizeof(said));
	hex[2 * sizeof(said)] = '\0';
	if (!str_from_hex(hex, said, sizeof(said)))
		return broken(m, err, "the manifest's checksum is not hexadecimal");
	crypto_hash_sha256_final(&m->hash, m->end.checksum);
	if (memcmp(said, m->end.checksum, sizeof(said)) != 0)
		return broken(m, err, "the manifest's checksum does not fit its bytes");
	m->place = AT_END;
	return 0;
}

/* A line that opens a list. */
static int
open_list(struct server_manifest *m, const char *text, enum place next, struct err *err)
{
	if (!line_is(m, text))
		return broken(m, err, "a list was expected");
	m->place = next;
	m->more = true; /* as behind a comma: an object may come */
	return 0;
}

/* A line within a list that has had so_far objects: one more, or the end. A comma stands between two, and nowhere else. */
static int
in_list(struct server_manifest *m, uint64_t so_far, int (*one)(struct server_manifest *, struct err *), enum place next,
    struct err *err)
{
	if (!line_is(m, "],"))
		return m->more ? one(m, err) : broken(m, err, "a comma is missing before this line");
	if (m->more && so_far > 0)
		return broken(m, err, "a list ends behind a comma");
	m->place = next;
	return 0;
}

static int
read_line(struct server_manifest *m, struct err *err)
{
	if (memchr(buf_text(&m->line), '\0', m->line.len) != NULL)
		return broken(m, err, "a byte 0");
	switch (m->place) {
	case AT_VERSION:
		return read_version(m, err);
	case AT_SYSTEM:
		return read_system(m, err);
	case AT_FILES:
		return open_list(m, "\"Files\": [", IN_FILES, err);
	case IN_FILES:
		return in_list(m, m->end.files, read_file, AT_RANGES, err);
	case AT_RANGES:
		return open_list(m, "\"WAL-Ranges\": [", IN_RANGES, err);
	case IN_RANGES:
		return in_list(m, m->end.ranges, read_range, AT_CHECKSUM, err);
	case AT_CHECKSUM:
		return read_manifest_checksum(m, err);
	case AT_END:
		break;
	}
	return broken(m, err, "bytes follow the end");
}

/* The next piece of the input, up to its newline. */
static int
take(struct server_manifest *m, const uint8_t *p, size_t len, bool ends, struct err *err)
{
	int rc;

	if (m->place == AT_END)
		return broken(m, err, "bytes follow the end");
	if (len > SERVER_MANIFEST_LINE_MAX - m->line.len)
		return broken(m, err, "a line is too long");
	rc = buf_append(&m->line, p, len, err);
	if (rc != 0 || !ends)
		return rc;
	if (m->place != AT_CHECKSUM) {
		crypto_hash_sha256_update(&m->hash, m->line.data, m->line.len);
		crypto_hash_sha256_update(&m->hash, (const uint8_t *)"\n", 1);
	}
	rc = read_line(m, err);
	m->rows++;
	buf_reset(&m->line);
	return rc;
}

int
server_manifest_feed(struct server_manifest *m, const void *bytes, size_t len, struct err *err)
{
	const uint8_t *p = bytes;

	if (m->failed)
		return err_set(err, ERR_BUG, 0, "a manifest reader is used after it failed");
	m->end.bytes += len;
	while (len > 0) {
		const uint8_t *nl = memchr(p, '\n', len);
		size_t n = nl != NULL ? (size_t)(nl - p) : len;
		int rc = take(m, p, n, nl != NULL, err);

		if (rc != 0) {
			m->failed = true;
			return rc;
		}
		n += nl != NULL;
		p += n;
		len -= n;
	}
	return 0;
}

int
server_manifest_finish(struct server_manifest *m, struct server_manifest_end *out, struct err *err)
{
	if (m->failed)
		return err_set(err, ERR_BUG, 0, "a manifest reader is used after it failed");
	if (m->place != AT_END)
		return broken(m, err, "the manifest ends here, cut short");
	if (m->end.ranges == 0)
		return broken(m, err, "the manifest names no WAL");
	*out = m->end;
	return 0;
}
