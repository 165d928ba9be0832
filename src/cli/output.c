#include "cli/output.h"

#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

int
output_text(struct buf *text, struct err *err)
{
	str_disarm((char *)text->data, text->len);
	return fs_write_all(STDOUT_FILENO, buf_text(text), text->len, "standard output", err);
}

int
output_json(const json_t *o, struct err *err)
{
	BUF_AUTO struct buf text = {0};
	int rc = json_write_indented(o, &text, err);

	if (rc == 0)
		rc = buf_append(&text, "\n", 1, err);
	return rc < 0 ? rc : output_text(&text, err);
}
