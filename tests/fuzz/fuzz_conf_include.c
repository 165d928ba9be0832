/* Any bytes as a configuration file: what is read of a directive, written anew, is read as the same. And as a path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "pg/conf_include.h"
#include "pg/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int
same(const struct conf_include *i, void *arg, struct err *err)
{
	const struct conf_include *want = arg;

	(void)err;
	if (i->kind != want->kind || strcmp(i->value, want->value) != 0)
		abort();
	return 1; /* it came */
}

static int
write_anew(const struct conf_include *i, void *arg, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	struct conf_include want = *i;

	(void)arg;
	if (buf_printf(&b, err, "%s '", conf_include_word(i->kind)) < 0)
		return 0;
	/* octal, all of it: it may have line feeds and quotes */
	for (const char *p = i->value; *p != '\0'; p++)
		if (buf_printf(&b, err, "\\%03o", (unsigned)(unsigned char)*p) < 0)
			return 0;
	if (buf_printf(&b, err, "'\n") == 0 && conf_includes(buf_text(&b), b.len, same, &want, err) != 1)
		abort();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *path = malloc(len + 2);

	(void)conf_includes((const char *)data, len, write_anew, NULL, NULL);
	if (path == NULL)
		return 0;
	path[0] = '/';
	if (len > 0)
		memcpy(path + 1, data, len);
	path[len + 1] = '\0';
	path_collapse(path);
	if (path[0] != '/' || (path[1] != '\0' && !path_is_plain(path + 1)))
		abort();
	free(path);
	return 0;
}
