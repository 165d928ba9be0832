/* Any bytes as backup_label and as tablespace_map: a map that is accepted comes back the same when it is written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pg/label.h"
#include "pg/tablespace_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	TABLESPACE_MAP_AUTO struct tablespace_map map = {0}, again = {0};
	BUF_AUTO struct buf b = {0};
	struct label label;

	(void)label_parse(&label, (const char *)data, len, NULL);
	if (tablespace_map_parse(&map, (const char *)data, len, NULL) < 0 || tablespace_map_write(&map, &b, NULL) < 0)
		return 0;
	if (tablespace_map_parse(&again, buf_text(&b), b.len, NULL) < 0 || again.n != map.n)
		abort();
	for (size_t i = 0; i < map.n; i++) {
		if (again.entries[i].oid != map.entries[i].oid || strcmp(again.entries[i].path, map.entries[i].path) != 0)
			abort();
	}
	return 0;
}
