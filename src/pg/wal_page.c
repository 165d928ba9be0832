#include "pg/wal_page.h"

#include <stddef.h>

#include "base/bytes.h"
#include "base/scope.h"

void
wal_page_parse(const uint8_t *p, bool long_form, struct wal_page_header *out)
{
	*out = (struct wal_page_header){
	    .magic = le16_get(p),
	    .info = le16_get(p + 2),
	    .timeline = le32_get(p + 4),
	    .address = le64_get(p + 8),
	    .rem_len = le32_get(p + 16),
	};
	if (long_form) {
		out->sysid = le64_get(p + 24);
		out->segment_size = le32_get(p + 32);
		out->page_size = le32_get(p + 36);
	}
}

int
wal_magic_major(uint16_t magic)
{
	static const struct {
		uint16_t magic;
		int major;
	} known[] = {{0xD10D, 14}, {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (known[i].magic == magic)
			return known[i].major;
	}
	return 0;
}

bool
wal_magic_newer(uint16_t magic)
{
	return magic > 0xD118 && magic <= 0xDFFF;
}

bool
wal_page_size_valid(uint32_t size)
{
	return size >= 1024 && size <= 65536 && (size & (size - 1)) == 0;
}
