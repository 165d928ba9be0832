/* The manifest reader with any bytes: the first says how long the pieces are. */
#include "pg/path.h"
#include "pg/server_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
on_file(const struct server_manifest_file *f, void *arg, struct err *err)
{
	(void)arg;
	(void)err;
	if (!path_is_plain(f->path) || f->size > INT64_MAX || f->checksum_len > sizeof(f->checksum))
		abort();
	return 0;
}

static int
on_range(const struct server_manifest_range *r, void *arg, struct err *err)
{
	(void)arg;
	(void)err;
	if (r->timeline == 0 || r->start > r->end)
		abort();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct server_manifest_events events = {.file = on_file, .range = on_range};
	SERVER_MANIFEST_AUTO struct server_manifest *m = NULL;
	struct server_manifest_end end;
	size_t piece;
	int rc = 0;

	if (size < 1 || server_manifest_new(&m, &events, NULL, NULL) != 0)
		return 0;
	piece = (size_t)data[0] + 1;
	for (size_t at = 1; rc == 0 && at < size; at += piece)
		rc = server_manifest_feed(m, data + at, size - at < piece ? size - at : piece, NULL);
	if (rc == 0)
		(void)server_manifest_finish(m, &end, NULL);
	return 0;
}
