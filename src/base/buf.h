/*
 * A growable byte buffer with a hard cap, so that nothing read from outside makes us grow without end. The bytes are always
 * followed by a NUL that does not count, so data can be read as text. Fails with ERR_NOMEM when memory or the cap is used up;
 * the buffer then stays as it was.
 */
#ifndef PGCAIRN_BASE_BUF_H
#define PGCAIRN_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scope.h"

struct buf {
	uint8_t *data; /* NULL while nothing was ever added */
	size_t len;
	size_t cap;
	size_t max; /* cap on len; 0 means BUF_MAX_DEFAULT */
};

#define BUF_MAX_DEFAULT ((size_t)64 << 20)
#define BUF_AUTO SCOPE(buf_free)

int buf_reserve(struct buf *b, size_t more, struct err *err); /* room for more bytes behind len */
int buf_append(struct buf *b, const void *data, size_t len, struct err *err);
int buf_printf(struct buf *b, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void buf_reset(struct buf *b);             /* len = 0, memory kept */
void buf_free(struct buf *b);              /* everything back to zero; max is kept */
const char *buf_text(const struct buf *b); /* never NULL */

/* Memory of which all, or nearly all, will be used: some large pages are cheaper than a fault for every 4 KiB. For free(). */
void *buf_large(size_t size);

#endif
