/* Any bytes as the lines of a manifest, cut into pieces: refused, or every entry is sound and comes back when written again. */
#include <string.h>

#include "base/scope.h"
#include "base/str.h"
#include "pg/path.h"
#include "repo/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
each(const struct manifest_entry *e, void *arg, struct err *err)
{
	const struct manifest_head *h = arg;
	BUF_AUTO struct buf line = {0};
	uint64_t at = 0;

	(void)err;
	if (e->kind == MANIFEST_TABLESPACE || e->kind == MANIFEST_CONFIG ? e->path[0] != '/' : !path_is_plain(e->path))
		abort();
	for (size_t i = 0; i < e->n_runs; i++) {
		const struct manifest_run *r = &e->runs[i];

		if (r->file_offset != at || r->pack >= h->n_packs || r->length > h->packs[r->pack].plain ||
		    r->pack_offset > h->packs[r->pack].plain - r->length)
			abort();
		at += r->length;
	}
	if ((e->kind == MANIFEST_FILE || e->kind == MANIFEST_CONFIG) && at != e->size)
		abort();
	if (manifest_entry_encode(e, &line, NULL) != 0 || line.data[line.len - 1] != '\n' ||
	    memchr(line.data, '\n', line.len) != line.data + line.len - 1)
		abort();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_pack packs[] = {{.plain = 1000}, {.plain = UINT64_C(1) << 34}};
	struct manifest_head head = {.packs = packs, .n_packs = ARRAY_LEN(packs)}, back;
	MANIFEST_PARSER_AUTO struct manifest_parser *p = NULL;
	JSON_AUTO json_t *o = NULL;
	size_t step = size > 0 ? 1 + data[0] : 1;
	int rc = manifest_parser_new(&p, &head, each, &head, NULL);

	for (size_t at = 0; rc == 0 && at < size; at += step)
		rc = manifest_parser_feed(p, data + at, size - at < step ? size - at : step, NULL);
	if (rc == 0)
		(void)manifest_parser_finish(p, NULL);
	if (json_read(&o, data, size, "the clear part", NULL) == 0 && manifest_head_decode(&back, o, NULL) == 0) {
		BUF_AUTO struct buf text = {0};

		if (manifest_head_encode(&back, &text, NULL) != 0)
			abort();
		manifest_head_free(&back);
	}
	return 0;
}
