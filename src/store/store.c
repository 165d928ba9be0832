/* What all stores share: the rules for keys, a put in one call, and the choice of a driver by URL. */
#include "store/store.h"

#include "base/str.h"
#include "store/file.h"

static bool
is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("._+=@-", c) != NULL);
}

/* What a directory needs for itself at its root; refused by every store, so that each can be copied into a directory. */
static bool
is_reserved(const char *segment, size_t n)
{
	return (n == 3 && memcmp(segment, "tmp", 3) == 0) || (n == 10 && memcmp(segment, "lost+found", 10) == 0);
}

int
store_key_check(const char *key, bool prefix, struct err *err)
{
	size_t len = strnlen(key, STORE_KEY_MAX + 2), at = 0;
	const char *why = NULL;

	if (prefix && len == 0)
		return 0;
	if (prefix && key[len - 1] == '/')
		len--;
	else if (prefix)
		why = "a prefix ends in '/'";
	if (len == 0 || len > STORE_KEY_MAX)
		why = "its length is out of range";
	for (int depth = 1; why == NULL; depth++) {
		size_t n = 0;

		while (at + n < len && is_key_char(key[at + n]))
			n++;
		if (at + n < len && key[at + n] != '/')
			why = "a character is not allowed";
		else if (n == 0 || n > STORE_SEGMENT_MAX)
			why = "a segment's length is out of range";
		else if (key[at] == '.')
			why = "a segment begins with '.'";
		else if (depth == 1 && is_reserved(key, n))
			why = "its first segment is reserved";
		else if (depth > STORE_KEY_DEPTH)
			why = "it has too many segments";
		at += n + 1;
		if (at > len)
			break;
	}
	return why == NULL ? 0 : err_set(err, ERR_BUG, 0, "'%.80s' is not a key: %s", key, why);
}

int
store_put_bytes(struct store *s, const char *key, const void *data, size_t len, struct err *err)
{
	SINK_AUTO struct sink *sink = NULL;
	int rc = store_put(s, key, &sink, err);

	if (rc == 0)
		rc = sink_write(sink, data, len, err);
	if (rc == 0)
		rc = sink_finish(sink, err);
	return rc;
}

/* %XX to bytes, in place. */
static int
decode(char *path, const char *url, struct err *err)
{
	char *out = path;

	for (const char *in = path; *in != '\0'; in++) {
		uint64_t byte;

		if (*in != '%') {
			*out++ = *in;
			continue;
		}
		if (!str_hex_to_u64(in + 1, 2, &byte) || byte == 0 || byte == '/')
			return err_set(
			    err, ERR_CONFIG, 0, "'%s': a '%%' that is not followed by two hex digits of a byte", url);
		*out++ = (char)byte;
		in += 2;
	}
	*out = '\0';
	return 0;
}

int
store_file_url_path(char **out, const char *url, struct err *err)
{
	FREE_AUTO char *path = NULL;
	int rc;

	if (!str_starts(url, "file://")) {
		rc = err_set(err, ERR_CONFIG, 0, "'%s' is no URL of a store that is known here", url);
		(void)err_hint(err, "a directory is written file:///srv/backup/pgcairn");
		return rc;
	}
	if (url[7] != '/') {
		rc = err_set(err, ERR_CONFIG, 0, "'%s' has no absolute path", url);
		(void)err_hint(err, "three slashes: file:///srv/backup/pgcairn");
		return rc;
	}
	path = strdup(url + 7);
	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory to open '%s'", url);
	rc = decode(path, url, err);
	if (rc == 0)
		*out = STEAL(path);
	return rc;
}

int
store_open(struct store **out, const char *url, bool create, struct err *err)
{
	FREE_AUTO char *path = NULL;
	int rc = store_file_url_path(&path, url, err);

	return rc < 0 ? rc : store_file_open(out, path, create, err);
}
