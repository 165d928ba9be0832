/* What the sources of the conformance table share. */
#ifndef PGCAIRN_TESTS_STORE_CONFORMANCE_INTERNAL_H
#define PGCAIRN_TESTS_STORE_CONFORMANCE_INTERNAL_H

#include "store_conformance.h"

#define MIB ((size_t)1 << 20)

/* Bytes that tell their seed and place, so that a mixture of two writers shows. */
void conform_fill(uint8_t *data, size_t len, uint32_t seed);
uint8_t *conform_bytes(size_t len, uint32_t seed); /* to be freed */

void conform_must(int rc, const struct err *err); /* fails the case with the message */
struct store *conform_fresh(void **state);
void conform_expect(struct store *s, const char *key, const void *want, size_t len);

void of_eight_writers_exactly_one_wins(void **state);
void readers_during_a_put_see_nothing_or_all(void **state);

#endif
