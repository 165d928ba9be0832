#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

int
buf_reserve(struct buf *b, size_t more, struct err *err)
{
	size_t max = b->max != 0 ? b->max : BUF_MAX_DEFAULT;
	size_t want, cap;
	uint8_t *p;

	if (more > max || b->len > max - more)
		return err_set(err, ERR_NOMEM, 0, "a buffer would grow past its cap of %zu bytes", max);
	want = b->len + more + 1;
	if (want <= b->cap)
		return 0;
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < want)
		cap *= 2;
	p = realloc(b->data, cap);
	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %zu bytes", cap);
	if (b->data == NULL)
		p[0] = '\0';
	b->data = p;
	b->cap = cap;
	return 0;
}

int
buf_append(struct buf *b, const void *data, size_t len, struct err *err)
{
	int rc = buf_reserve(b, len, err);

	if (rc < 0)
		return rc;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int
buf_printf(struct buf *b, struct err *err, const char *fmt, ...)
{
	va_list ap, again;
	int n, rc = 0;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		rc = err_set(err, ERR_BUG, 0, "a format string failed");
	if (rc == 0)
		rc = buf_reserve(b, (size_t)n, err);
	if (rc == 0) {
		(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	return rc;
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void
buf_free(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

const char *
buf_text(const struct buf *b)
{
	return b->data != NULL ? (const char *)b->data : "";
}

void *
buf_large(size_t size)
{
	size_t room = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	void *p = size <= SIZE_MAX - HUGE_PAGE ? aligned_alloc(HUGE_PAGE, room) : NULL;

	if (p != NULL)
		(void)madvise(p, room, MADV_HUGEPAGE); /* without them it is memory all the same */
	return p;
}
