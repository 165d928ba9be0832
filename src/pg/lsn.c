#include "pg/lsn.h"

#include <inttypes.h>

#include "base/str.h"

static bool
half(const char **p, uint64_t *out)
{
	size_t n = strspn(*p, "0123456789ABCDEFabcdef");

	if (n < 1 || n > 8 || !str_hex_to_u64(*p, n, out))
		return false;
	*p += n;
	return true;
}

bool
lsn_parse(const char *text, lsn_t *out)
{
	uint64_t hi, lo;

	if (!half(&text, &hi) || *text++ != '/' || !half(&text, &lo) || *text != '\0')
		return false;
	*out = hi << 32 | lo;
	return true;
}

void
lsn_format(char out[LSN_TEXT], lsn_t lsn)
{
	(void)snprintf(out, LSN_TEXT, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
}

bool
wal_segment_size_valid(uint64_t size)
{
	return size >= 1 << 20 && size <= 1 << 30 && (size & (size - 1)) == 0;
}

/* Eight upper-case hex digits. */
static bool
group(const char *text, uint32_t *out)
{
	uint64_t v;

	if (strspn(text, "0123456789ABCDEF") < 8 || !str_hex_to_u64(text, 8, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

bool
wal_name_parse(const char *text, struct wal_name *out)
{
	struct wal_name n = {0};
	size_t len = strlen(text);

	if (len >= WAL_NAME_MAX || !group(text, &n.timeline) || n.timeline == 0)
		return false;
	if (strcmp(text + 8, ".history") == 0) {
		n.kind = WAL_NAME_HISTORY;
		*out = n;
		return true;
	}
	if (!group(text + 8, &n.log) || !group(text + 16, &n.seg))
		return false;
	if (len == 24)
		n.kind = WAL_NAME_SEGMENT;
	else if (strcmp(text + 24, ".partial") == 0)
		n.kind = WAL_NAME_PARTIAL;
	else if (text[24] == '.' && group(text + 25, &n.offset) && strcmp(text + 33, ".backup") == 0)
		n.kind = WAL_NAME_BACKUP_HISTORY;
	else
		return false;
	*out = n;
	return true;
}

void
wal_name_format(char out[WAL_NAME_MAX], const struct wal_name *n)
{
	int at = snprintf(out, WAL_NAME_MAX, "%08" PRIX32, n->timeline);
	size_t left = WAL_NAME_MAX - (size_t)at;

	switch (n->kind) {
	case WAL_NAME_HISTORY:
		(void)snprintf(out + at, left, ".history");
		break;
	case WAL_NAME_SEGMENT:
		(void)snprintf(out + at, left, "%08" PRIX32 "%08" PRIX32, n->log, n->seg);
		break;
	case WAL_NAME_PARTIAL:
		(void)snprintf(out + at, left, "%08" PRIX32 "%08" PRIX32 ".partial", n->log, n->seg);
		break;
	case WAL_NAME_BACKUP_HISTORY:
		(void)snprintf(out + at, left, "%08" PRIX32 "%08" PRIX32 ".%08" PRIX32 ".backup", n->log, n->seg, n->offset);
		break;
	}
}

static uint64_t
segments_per_log(uint32_t segment_size)
{
	return (UINT64_C(1) << 32) / segment_size;
}

uint64_t
wal_name_segno(const struct wal_name *n, uint32_t segment_size)
{
	return n->log * segments_per_log(segment_size) + n->seg;
}

bool
wal_name_fits(const struct wal_name *n, uint32_t segment_size)
{
	return n->seg < segments_per_log(segment_size);
}

void
wal_segment_name(char out[WAL_NAME_MAX], timeline_t timeline, uint64_t segno, uint32_t segment_size)
{
	struct wal_name n = {
	    .kind = WAL_NAME_SEGMENT,
	    .timeline = timeline,
	    .log = (uint32_t)(segno / segments_per_log(segment_size)),
	    .seg = (uint32_t)(segno % segments_per_log(segment_size)),
	};

	wal_name_format(out, &n);
}

lsn_t
wal_segment_start(uint64_t segno, uint32_t segment_size)
{
	return segno * segment_size;
}
