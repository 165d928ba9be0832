/*
 * Any bytes as the files that a host keeps beside its configuration: a file of keys (the signers-file), line by line, and a
 * session; and as a repository's marker, which nobody signs.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "keys/secret.h"
#include "ops/session.h"
#include "repo/repository.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

struct input {
	const uint8_t *data;
	size_t size;
};

/* A line is some of the file's text, without what stands around it. */
static int
take_line(const char *line, size_t len, void *arg, struct err *err)
{
	const struct input *in = arg;
	uint8_t key[KEY_BYTES];

	must(len > 0 && line[0] != '#' && memchr(line, '\n', len) == NULL && memchr(line, '\0', len) == NULL);
	must(line[len - 1] != ' ' && line[len - 1] != '\t' && line[len - 1] != '\r');
	must(memmem(in->data, in->size, line, len) != NULL);
	(void)key_parse(key, KEY_TYPE_SIGNER, line, len, err);
	return 0;
}

static void
try_session(const char *path)
{
	SESSION_AUTO struct session *s = NULL;
	KEYRING_AUTO struct keyring *ring = NULL;

	must(keyring_new(&ring, NULL, NULL) == 0);
	if (session_read(&s, path, ring, NULL) < 0) {
		must(s == NULL);
		return;
	}
	must(s->sysid != 0);
	for (size_t i = 0; i < s->n; i++)
		must(session_repository(s, s->repositories[i].name) != NULL);
}

/* A store that holds a marker and nothing else. */
struct marker_store {
	struct store store;
	struct input marker;
};

static int
get_marker(struct store *s, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	const struct input *in = &((struct marker_store *)s)->marker;

	(void)key;
	(void)err;
	must(offset == 0);
	*got = in->size < len ? in->size : len;
	memcpy(data, in->data, *got);
	return 0;
}

/* One that says another id than the repository had, or nothing that can be understood, is never the same repository. */
static void
try_marker(const struct input *in)
{
	static const struct store_ops ops = {.get = get_marker};
	static const char id[] = "0123456789abcdef0123456789abcdef";
	char url[] = "memory:";
	struct marker_store store = {.store = {.ops = &ops, .url = url}, .marker = *in};
	struct repository *r = calloc(1, sizeof(*r));

	must(r != NULL);
	r->store = &store.store;
	memcpy(r->id, id, sizeof(id));
	if (repository_confirm(r, NULL) == 0) {
		JSON_AUTO json_t *o = NULL;
		const char *says;

		must(json_read(&o, in->data, in->size, "a marker", NULL) == 0 && json_get_str(o, "id", &says, NULL) == 0);
		must(strcmp(says, id) == 0);
	}
	free(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	char path[64];
	FD_AUTO int fd = memfd_create("file", MFD_CLOEXEC);

	must(sodium_init() >= 0 && fd >= 0 && fchmod(fd, 0600) == 0);
	must(fs_write_all(fd, data, size, "file", NULL) == 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)key_file_each(path, false, take_line, &in, NULL);
	try_session(path);
	try_marker(&in);
	return 0;
}
