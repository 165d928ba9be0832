/*
 * Key material in memory and as text.
 *
 * A secret lives in sodium memory: locked, guarded, left out of core dumps, wiped when freed, never formatted into a message.
 * The text form of every key is TYPE:BASE64URL, where the bytes are the key and four bytes of BLAKE2b over type and key, so
 * that a typing error is seen before it costs data.
 */
#ifndef PGCAIRN_KEYS_SECRET_H
#define PGCAIRN_KEYS_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define KEY_BYTES 32
#define KEY_TEXT 96 /* type, colon, base64url of 36 bytes, NUL */

#define KEY_TYPE_RECIPIENT "x25519"
#define KEY_TYPE_IDENTITY "identity-x25519"
#define KEY_TYPE_SIGNER "ed25519"
#define KEY_TYPE_SIGNING "signing-ed25519"
#define KEY_TYPE_COMPARISON "comparison"

struct secret {
	uint8_t bytes[64]; /* as many as its use needs */
};

/* Zeroed; NULL when memory is out. */
struct secret *secret_new(void);
void secret_free(struct secret *s); /* wipes; NULL is fine */

static inline void
scope_secret(struct secret **s)
{
	secret_free(*s);
}
#define SECRET_AUTO SCOPE(scope_secret)

/* Must run before anything else here: sodium_init, no core dumps, no ptrace by others. 0 or ERR_BUG. */
int keys_init(struct err *err);

void key_format(char out[KEY_TEXT], const char *type, const uint8_t key[KEY_BYTES]);
/* ERR_CONFIG when the text is not a key of this type. The text itself never stands in the message. */
int key_parse(uint8_t key[KEY_BYTES], const char *type, const char *text, size_t len, struct err *err);

/*
 * Lines of a key file: comments (#) and blank lines skipped, each other line "KEY [name]". each() gets the line without its
 * end; the text is wiped afterwards. ERR_NOT_FOUND when there is no file, ERR_CONFIG when it holds a NUL. is_secret: also
 * refuse a file that others may read.
 */
int key_file_each(const char *path, bool is_secret, int (*each)(const char *line, size_t len, void *arg, struct err *err),
    void *arg, struct err *err);

/* The first key of this type in a file. */
int key_file_read(const char *path, const char *type, bool is_secret, uint8_t key[KEY_BYTES], struct err *err);

/* A new file with a comment and one key; mode 0600 for secrets, 0644 else. ERR_EXISTS when there is one. */
int key_file_write(const char *path, const char *comment, const char *type, const uint8_t key[KEY_BYTES], const char *name,
    bool is_secret, struct err *err);

#endif
