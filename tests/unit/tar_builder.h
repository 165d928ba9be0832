/* Tar archives for tests, as a server writes them, and headers with one field spoiled. */
#ifndef PGCAIRN_TESTS_TAR_BUILDER_H
#define PGCAIRN_TESTS_TAR_BUILDER_H

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "pg/tar.h"

/* Set the checksum so that only what a test spoiled is wrong. */
static inline void
tar_seal(uint8_t h[TAR_BLOCK])
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 8, "%07o", sum);
	h[155] = ' ';
}

static inline void
tar_header(uint8_t h[TAR_BLOCK], const char *name, char type, uint64_t size, const char *link)
{
	memset(h, 0, TAR_BLOCK);
	memcpy(h, name, strlen(name));
	memcpy(h + 100, "0000600 ", 8);
	memcpy(h + 108, "0000000 0000000 ", 16);
	if (size < UINT64_C(1) << 33) {
		char digits[24];

		(void)snprintf(digits, sizeof(digits), "%011llo ", (unsigned long long)size);
		memcpy(h + 124, digits, 12);
	} else {
		h[124] = 0x80;
		for (int i = 0; i < 8; i++)
			h[135 - i] = (uint8_t)(size >> 8 * i);
	}
	memcpy(h + 136, "00000000144 ", 12);
	h[156] = (uint8_t)type;
	memcpy(h + 157, link, strlen(link));
	memcpy(h + 257,
	    "ustar\0"
	    "00",
	    8);
	tar_seal(h);
}

/* A whole entry: header, bytes, and the zeros behind them. */
static inline void
tar_add(struct buf *out, const char *name, char type, const char *bytes, const char *link)
{
	static const uint8_t zeros[TAR_BLOCK];
	size_t len = strlen(bytes);
	uint8_t h[TAR_BLOCK];

	tar_header(h, name, type, len, link);
	(void)buf_append(out, h, sizeof(h), NULL);
	(void)buf_append(out, bytes, len, NULL);
	(void)buf_append(out, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK, NULL);
}

#endif
