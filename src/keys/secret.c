#include "keys/secret.h"

#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "base/str.h"

#define CHECK_BYTES 4
#define FILE_MAX 65536

struct secret *
secret_new(void)
{
	struct secret *s = sodium_malloc(sizeof(*s));

	if (s != NULL)
		sodium_memzero(s, sizeof(*s));
	return s;
}

void
secret_free(struct secret *s)
{
	sodium_free(s);
}

int
keys_init(struct err *err)
{
	static const struct rlimit none = {0, 0};

	if (sodium_init() < 0)
		return err_set(err, ERR_BUG, 0, "libsodium does not start");
	/* neither may fail in a way that matters: sodium memory is left out of dumps on its own */
	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak checker has to look into its own process */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	return 0;
}

static void
check_of(uint8_t out[CHECK_BYTES], const char *type, const uint8_t key[KEY_BYTES])
{
	crypto_generichash_state s;
	uint8_t full[crypto_generichash_BYTES_MIN];

	crypto_generichash_init(&s, NULL, 0, sizeof(full));
	crypto_generichash_update(&s, (const uint8_t *)type, strlen(type) + 1);
	crypto_generichash_update(&s, key, KEY_BYTES);
	crypto_generichash_final(&s, full, sizeof(full));
	memcpy(out, full, CHECK_BYTES);
}

void
key_format(char out[KEY_TEXT], const char *type, const uint8_t key[KEY_BYTES])
{
	uint8_t both[KEY_BYTES + CHECK_BYTES];
	size_t n = strlen(type);

	memcpy(both, key, KEY_BYTES);
	check_of(both + KEY_BYTES, type, key);
	memcpy(out, type, n);
	out[n++] = ':';
	sodium_bin2base64(out + n, KEY_TEXT - n, both, sizeof(both), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(both, sizeof(both));
}

int
key_parse(uint8_t key[KEY_BYTES], const char *type, const char *text, size_t len, struct err *err)
{
	uint8_t both[KEY_BYTES + CHECK_BYTES], check[CHECK_BYTES];
	size_t n = strlen(type), got = 0;
	int rc = 0;

	if (len <= n || memcmp(text, type, n) != 0 || text[n] != ':')
		return err_set(err, ERR_CONFIG, 0, "expected a key that begins with '%s:'", type);
	if (sodium_base642bin(both, sizeof(both), text + n + 1, len - n - 1, NULL, &got, NULL,
		sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    got != sizeof(both))
		rc = err_set(err, ERR_CONFIG, 0, "the %s key is not complete", type);
	if (rc == 0) {
		check_of(check, type, both);
		if (sodium_memcmp(check, both + KEY_BYTES, CHECK_BYTES) != 0)
			rc = err_set(err, ERR_CONFIG, 0, "the %s key has a typing error: its check does not fit", type);
	}
	if (rc == 0)
		memcpy(key, both, KEY_BYTES);
	sodium_memzero(both, sizeof(both));
	return rc;
}

static int
read_plain(const char *path, uint8_t *out, size_t *len, struct err *err)
{
	BUF_AUTO struct buf b = {.max = FILE_MAX};
	int rc = fs_read_file(path, FILE_MAX, &b, err);

	if (rc < 0)
		return rc;
	memcpy(out, b.data, b.len);
	*len = b.len;
	return 0;
}

int
key_file_each(const char *path, bool is_secret, int (*each)(const char *line, size_t len, void *arg, struct err *err),
    void *arg, struct err *err)
{
	uint8_t *text = sodium_malloc(FILE_MAX + 1);
	size_t len = 0, at = 0;
	unsigned line = 0;
	int rc;

	if (text == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key file");
	rc = is_secret ? fs_read_secret(path, text, FILE_MAX, &len, err) : read_plain(path, text, &len, err);
	if (rc == 0 && memchr(text, '\0', len) != NULL) /* what follows it would be passed over unseen */
		rc = err_set(err, ERR_CONFIG, 0, "'%s' holds a NUL byte, which no file of keys does", path);
	while (rc == 0 && at < len) {
		const uint8_t *end = memchr(text + at, '\n', len - at);
		size_t n = end != NULL ? (size_t)(end - (text + at)) : len - at;
		const char *p = (const char *)text + at;

		at += n + 1;
		line++;
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
			n--;
		if (n == 0 || *p == '#')
			continue;
		rc = each(p, n, arg, err);
		if (rc < 0)
			err_wrap(err, "%s:%u", path, line);
	}
	sodium_free(text);
	return rc;
}

struct find {
	const char *type;
	uint8_t *key;
	bool found;
};

static int
find_key(const char *line, size_t len, void *arg, struct err *err)
{
	struct find *f = arg;
	const char *blank = memchr(line, ' ', len);
	int rc;

	if (f->found)
		return 0;
	rc = key_parse(f->key, f->type, line, blank != NULL ? (size_t)(blank - line) : len, err);
	f->found = rc == 0;
	return rc;
}

int
key_file_read(const char *path, const char *type, bool is_secret, uint8_t key[KEY_BYTES], struct err *err)
{
	struct find f = {type, key, false};
	int rc = key_file_each(path, is_secret, find_key, &f, err);

	if (rc == 0 && !f.found)
		rc = err_set(err, ERR_CONFIG, 0, "'%s' holds no %s key", path, type);
	return rc;
}

int
key_file_write(const char *path, const char *comment, const char *type, const uint8_t key[KEY_BYTES], const char *name,
    bool is_secret, struct err *err)
{
	size_t size = strlen(comment) + KEY_TEXT + strlen(name) + 8;
	char *text = sodium_malloc(size), key_text[KEY_TEXT];
	int rc;

	if (text == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	key_format(key_text, type, key);
	(void)snprintf(text, size, "# %s\n%s%s%s\n", comment, key_text, *name != '\0' ? " " : "", name);
	rc = fs_write_file(path, text, strlen(text), is_secret ? 0600 : 0644, FS_CREATE_ONLY, err);
	sodium_memzero(key_text, sizeof(key_text));
	sodium_free(text);
	return rc;
}
