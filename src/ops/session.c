#include "ops/session.h"

#include <inttypes.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

#define SESSION_MAX ((size_t)16 << 20)
#define SESSION_REPOSITORIES 1024

void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	free(s->repositories);
	free(s);
}

const struct session_repository *
session_repository(const struct session *s, const char *name)
{
	for (size_t i = 0; s != NULL && i < s->n; i++)
		if (strcmp(s->repositories[i].name, name) == 0)
			return &s->repositories[i];
	return NULL;
}

static int
read_repositories(struct session *s, const json_t *o, struct err *err)
{
	json_t *list, *one;
	size_t i;
	int rc = json_get_array(o, "repositories", &list, err);

	if (rc < 0)
		return rc;
	if (json_array_size(list) > SESSION_REPOSITORIES)
		return err_set(err, ERR_CORRUPT, 0, "a session with too many repositories");
	s->repositories = calloc(json_array_size(list) + 1, sizeof(*s->repositories));
	if (s->repositories == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a session");
	json_array_foreach(list, i, one)
	{
		struct session_repository *r = &s->repositories[i];
		const char *name, *id, *newest;

		rc = json_get_str(one, "name", &name, err);
		if (rc == 0)
			rc = json_get_str(one, "id", &id, err);
		if (rc == 0)
			rc = json_get_str(one, "newest", &newest, err);
		if (rc == 0)
			rc = str_copy(r->name, sizeof(r->name), name, "repository name", err);
		if (rc == 0)
			rc = str_copy(r->id, sizeof(r->id), id, "repository id", err);
		if (rc == 0)
			rc = str_copy(r->newest, sizeof(r->newest), newest, "segment name", err);
		if (rc < 0)
			return rc;
		s->n = i + 1;
	}
	return 0;
}

static int
read_keys(const json_t *o, struct keyring *ring, struct err *err)
{
	json_t *list, *one;
	size_t i;
	int rc = json_get_array(o, "keys", &list, err);

	if (rc < 0)
		return rc;
	json_array_foreach(list, i, one)
	{
		uint8_t key_id[OBJECT_KEY_ID], private_key[KEY_BYTES];

		rc = json_get_hex(one, "key_id", key_id, sizeof(key_id), err);
		if (rc == 0)
			rc = json_get_hex(one, "private", private_key, sizeof(private_key), err);
		if (rc == 0)
			rc = keyring_add(ring, key_id, private_key, err);
		sodium_memzero(private_key, sizeof(private_key));
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
parse(struct session *s, const uint8_t *text, size_t len, struct keyring *ring, struct err *err)
{
	JSON_AUTO json_t *o = NULL;
	const char *sysid;
	int rc = json_read(&o, text, len, "session file", err);

	if (rc == 0)
		rc = json_get_str(o, "system_identifier", &sysid, err);
	if (rc == 0 && !str_to_u64(sysid, 1, UINT64_MAX, &s->sysid))
		rc = err_set(err, ERR_CORRUPT, 0, "session file has no system identifier");
	if (rc == 0)
		rc = read_repositories(s, o, err);
	return rc < 0 ? rc : read_keys(o, ring, err);
}

/* Locked memory is dear, and this runs once a segment: as much as the file has, and one byte to see that it did not grow. */
static size_t
size_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size >= SESSION_MAX)
		return SESSION_MAX;
	return (size_t)st.st_size + 1;
}

int
session_read(struct session **out, const char *path, struct keyring *ring, struct err *err)
{
	SESSION_AUTO struct session *s = calloc(1, sizeof(*s));
	size_t len, room = size_of(path);
	uint8_t *text = sodium_malloc(room);
	int rc;

	if (s == NULL || text == NULL) {
		sodium_free(text);
		return err_set(err, ERR_NOMEM, 0, "out of memory for a session");
	}
	rc = fs_read_secret(path, text, room, &len, err);
	if (rc == 0)
		rc = parse(s, text, len, ring, err);
	sodium_free(text);
	if (rc < 0)
		return rc == ERR_NOT_FOUND ? rc : err_wrap(err, "session '%s'", path);
	*out = STEAL(s);
	return 0;
}

/* Text with key material is built by hand in memory that is wiped: jansson's would stay behind in the heap. */
struct secret_text {
	char *data;
	size_t len, cap;
};

static int
add_key(const uint8_t key_id[OBJECT_KEY_ID], const uint8_t private_key[KEY_BYTES], void *arg, struct err *err)
{
	struct secret_text *t = arg;
	char id[2 * OBJECT_KEY_ID + 1], key[2 * KEY_BYTES + 1];
	int n;

	str_to_hex(id, key_id, OBJECT_KEY_ID);
	str_to_hex(key, private_key, KEY_BYTES);
	n = snprintf(t->data + t->len, t->cap - t->len, "%s{\"key_id\":\"%s\",\"private\":\"%s\"}",
	    t->data[t->len - 1] == '[' ? "" : ",\n", id, key);
	sodium_memzero(key, sizeof(key));
	if (n < 0 || (size_t)n >= t->cap - t->len)
		return err_set(err, ERR_NOMEM, 0, "more keys than a session holds");
	t->len += (size_t)n;
	return 0;
}

static int
add_public_part(const struct session *s, struct secret_text *t, struct err *err)
{
	BUF_AUTO struct buf b = {.max = SESSION_MAX / 2};
	int rc = buf_printf(&b, err, "{\"system_identifier\":\"%" PRIu64 "\",\n\"repositories\":[", s->sysid);

	for (size_t i = 0; rc == 0 && i < s->n; i++)
		rc = buf_printf(&b, err, "%s{\"name\":\"%s\",\"id\":\"%s\",\"newest\":\"%s\"}", i > 0 ? "," : "",
		    s->repositories[i].name, s->repositories[i].id, s->repositories[i].newest);
	if (rc == 0)
		rc = buf_printf(&b, err, "],\n\"keys\":[");
	if (rc < 0)
		return rc;
	memcpy(t->data, b.data, b.len);
	t->len = b.len;
	return 0;
}

int
session_write(const struct session *s, const char *path, struct keyring *ring, struct err *err)
{
	struct secret_text t = {.data = sodium_malloc(SESSION_MAX), .cap = SESSION_MAX - 8};
	int rc;

	if (t.data == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a session");
	rc = add_public_part(s, &t, err);
	if (rc == 0)
		rc = keyring_each(ring, add_key, &t, err);
	if (rc == 0) {
		memcpy(t.data + t.len, "]}\n", 3);
		rc = fs_write_file(path, t.data, t.len + 3, 0600, FS_REPLACE, err);
	}
	sodium_free(t.data);
	return rc;
}
