#include "cli/output.h"

#include <unistd.h>

#include "base/fs.h"

int
output_text(const struct buf *text, struct err *err)
{
	return fs_write_all(STDOUT_FILENO, buf_text(text), text->len, "standard output", err);
}

static int
append(const char *text, size_t len, void *arg)
{
	return buf_append(arg, text, len, NULL);
}

int
output_json(const json_t *o, struct err *err)
{
	BUF_AUTO struct buf text = {0};
	int rc = 0;

	if (o == NULL ||
	    json_dump_callback(o, append, &text, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6)) < 0)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for the report");
	if (rc == 0)
		rc = buf_append(&text, "\n", 1, err);
	return rc < 0 ? rc : output_text(&text, err);
}
