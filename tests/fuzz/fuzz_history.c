/* Any bytes as a timeline history: what is accepted answers every question in a way that fits together. */
#include <stdint.h>
#include <stdlib.h>

#include "pg/timeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	TIMELINE_HISTORY_AUTO struct timeline_history h = {0};
	lsn_t end;

	if (timeline_history_parse(&h, 1000, (const char *)data, len, NULL) < 0)
		return 0;
	for (size_t i = 0; i < h.n && i < 100; i++) {
		timeline_t on = timeline_of_lsn(&h, h.entries[i].switch_lsn);

		if (!timeline_history_covers(&h, on, h.entries[i].switch_lsn) || !timeline_switch_end(&h, on, &end) ||
		    end <= h.entries[i].switch_lsn)
			abort();
	}
	return 0;
}
