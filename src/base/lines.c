#include "base/lines.h"

#include <string.h>

int
lines_feed(struct lines *l, const void *data, size_t len, struct err *err)
{
	const char *at = data, *end = at + len;
	int rc = 0;

	while (rc == 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((newline != NULL ? newline : end) - at);

		if (n > l->rest.max - l->rest.len)
			return err_set(err, ERR_CORRUPT, 0, "%s has a line that is too long", l->what);
		if (newline == NULL)
			return buf_append(&l->rest, at, n, err);
		if (l->rest.len == 0) {
			rc = l->take(at, n, l->arg, err);
		} else {
			rc = buf_append(&l->rest, at, n, err);
			if (rc == 0)
				rc = l->take(buf_text(&l->rest), l->rest.len, l->arg, err);
			buf_reset(&l->rest);
		}
		at = newline + 1;
	}
	return rc;
}
