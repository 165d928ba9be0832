/* Any bytes as the name of a high-water record and as the record: what is accepted is written and read back as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "repo/high_water.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
try_name(const char *name)
{
	char again[OBJECT_NAME_MAX];
	struct high_water h;

	if (high_water_name_parse(name, &h) &&
	    (layout_high_water(again, h.sysid, h.timeline, h.lsn, NULL) < 0 || strcmp(again, name) != 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	JSON_AUTO json_t *o = NULL, *again = json_object();
	char name[STORE_KEY_MAX];
	struct high_water h, back;

	if (len < sizeof(name)) {
		memcpy(name, data, len);
		name[len] = '\0';
		try_name(name);
	}
	if (json_read(&o, data, len, "fuzz", NULL) < 0 || high_water_decode(&h, o, NULL) < 0)
		return 0;
	if (high_water_encode(&h, again, NULL) < 0 || high_water_decode(&back, again, NULL) < 0 ||
	    memcmp(&h, &back, sizeof(h)) != 0)
		abort();
	return 0;
}
