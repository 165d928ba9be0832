/* Any bytes as the record of a gap: what is accepted is written and read back as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "repo/gap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	JSON_AUTO json_t *o = NULL, *again = json_object();
	char name[OBJECT_NAME_MAX];
	struct gap_record g, back;

	if (len < sizeof(name)) {
		memcpy(name, data, len);
		name[len] = '\0';
		(void)gap_name_parse(name, &g);
	}
	if (json_read(&o, data, len, "fuzz", NULL) < 0 || gap_record_decode(&g, o, NULL) < 0)
		return 0;
	if (gap_record_encode(&g, again, NULL) < 0 || gap_record_decode(&back, again, NULL) < 0 ||
	    memcmp(&g, &back, sizeof(g)) != 0)
		abort();
	return 0;
}
