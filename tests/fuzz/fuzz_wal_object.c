/*
 * Any bytes as the clear and, behind a NUL, the sealed part of a WAL object: what is accepted comes back the same after it was
 * written again.
 */
#include <stdlib.h>
#include <string.h>

#include "repo/wal_object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
decode(struct wal_summary *out, const void *clear_text, size_t clear_len, const void *sealed_text, size_t sealed_len)
{
	JSON_AUTO json_t *clear = NULL, *sealed = NULL;
	uint8_t id[CONTENT_ID];

	if (json_read(&clear, clear_text, clear_len, "a clear part", NULL) < 0)
		return -1;
	(void)wal_object_content_id(clear, id, NULL);
	if (sealed_text != NULL && json_read(&sealed, sealed_text, sealed_len, "a sealed part", NULL) < 0)
		return -1;
	return wal_object_decode(out, clear, sealed, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t id[CONTENT_ID] = {1};
	const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
	size_t clear_len = nul != NULL ? (size_t)(nul - data) : size;
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	struct wal_summary once, again;

	memset(&once, 0, sizeof(once));
	memset(&again, 0, sizeof(again));
	if (decode(&once, data, clear_len, nul != NULL ? nul + 1 : NULL, nul != NULL ? size - clear_len - 1 : 0) < 0)
		return 0;
	if (nul == NULL)
		return 0; /* what the sealed part would have is missing, so it cannot be written again */
	if (wal_object_encode(&once, id, 1, "file", &clear, &sealed, NULL) < 0)
		return 0;
	if (decode(&again, clear.data, clear.len, sealed.data, sealed.len) < 0)
		abort();
	if (once.start != again.start || once.end != again.end || once.n_records != again.n_records ||
	    once.commit_count != again.commit_count || once.max_time_us != again.max_time_us ||
	    once.point_count != again.point_count || once.tail.start != again.tail.start || once.tail.crc != again.tail.crc ||
	    once.head.len != again.head.len || once.head.crc0 != again.head.crc0 || once.head.kept != again.head.kept ||
	    memcmp(once.head.bytes, again.head.bytes, WAL_KEEP) != 0 || once.tail.kept != again.tail.kept ||
	    memcmp(once.tail.bytes, again.tail.bytes, WAL_KEEP) != 0)
		abort();
	return 0;
}
