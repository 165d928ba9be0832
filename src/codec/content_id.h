/*
 * The content id: says that two objects hold the same plain bytes, to whoever has the cluster's comparison key, and nothing to
 * others. BLAKE2b-128 keyed with the comparison key over (length, XXH3-128 of the bytes with a secret derived from that key).
 * XXH3 makes it cheap (a tenth of a BLAKE2b pass); the outer keyed digest keeps the inner value, which could give its secret
 * away, from being seen.
 */
#ifndef PGCAIRN_CODEC_CONTENT_ID_H
#define PGCAIRN_CODEC_CONTENT_ID_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CONTENT_ID 16
#define COMPARISON_KEY 32

struct content_id;

int content_id_new(struct content_id **out, const uint8_t key[COMPARISON_KEY], struct err *err);
void content_id_update(struct content_id *c, const void *data, size_t len);
void content_id_final(struct content_id *c, uint8_t out[CONTENT_ID]);
void content_id_free(struct content_id *c); /* wipes */

static inline void
scope_content_id(struct content_id **c)
{
	content_id_free(*c);
}
#define CONTENT_ID_AUTO __attribute__((cleanup(scope_content_id)))

#endif
