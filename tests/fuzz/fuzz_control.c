/* Any bytes as pg_control and as PG_VERSION. */
#include <stdint.h>

#include "pg/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct control c;
	int major;

	(void)control_parse(&c, data, len, NULL);
	(void)control_parse_version((const char *)data, len, &major, NULL);
	return 0;
}
