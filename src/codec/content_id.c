#include "codec/content_id.h"

#define XXH_STATIC_LINKING_ONLY /* the size of its state, to wipe it */
#include <sodium.h>
#include <xxhash.h>

#include "base/bytes.h"

#define SECRET_BYTES 192

struct content_id {
	XXH3_state_t *state;
	uint64_t len;
	uint8_t key[COMPARISON_KEY];
	uint8_t secret[SECRET_BYTES];
};

int
content_id_new(struct content_id **out, const uint8_t key[COMPARISON_KEY], struct err *err)
{
	struct content_id *c = sodium_malloc(sizeof(*c));

	if (c == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a content id");
	memset(c, 0, sizeof(*c));
	memcpy(c->key, key, COMPARISON_KEY);
	for (uint8_t i = 0; i < SECRET_BYTES / 64; i++) {
		const uint8_t block[] = {'x', 'x', 'h', '3', i};

		crypto_generichash(c->secret + (size_t)i * 64, 64, block, sizeof(block), key, COMPARISON_KEY);
	}
	c->state = XXH3_createState();
	if (c->state == NULL || XXH3_128bits_reset_withSecret(c->state, c->secret, SECRET_BYTES) != XXH_OK) {
		content_id_free(c);
		return err_set(err, ERR_NOMEM, 0, "out of memory for a content id");
	}
	*out = c;
	return 0;
}

void
content_id_update(struct content_id *c, const void *data, size_t len)
{
	XXH3_128bits_update(c->state, data, len);
	c->len += len;
}

void
content_id_final(struct content_id *c, uint8_t out[CONTENT_ID])
{
	uint8_t in[8 + 16];
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(c->state));
	le64_put(in, c->len);
	memcpy(in + 8, canonical.digest, 16);
	crypto_generichash(out, CONTENT_ID, in, sizeof(in), c->key, COMPARISON_KEY);
	sodium_memzero(in, sizeof(in));
}

void
content_id_free(struct content_id *c)
{
	if (c == NULL)
		return;
	if (c->state != NULL) {
		sodium_memzero(c->state, sizeof(*c->state));
		XXH3_freeState(c->state);
	}
	sodium_free(c);
}
