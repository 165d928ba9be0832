/*
 * Any bytes as pg_control and as PG_VERSION. A fuzzer finds no checksums, so the first byte may ask for one that fits: what
 * then is left to refuse is what a broken server or a forger could write.
 */
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "pg/control.h"
#include "pg/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FIT_CRC 0x01

/* The place of the checksum in versions 1300 and 1700, and in 1800; twice, so that the other one counts as content. */
static void
parse_fitted(const uint8_t *data, size_t len)
{
	static const size_t places[] = {288, 292};
	uint8_t file[CONTROL_FILE_SIZE] = {0};
	struct control c;

	memcpy(file, data, len < sizeof(file) ? len : sizeof(file));
	for (size_t i = 0; i < 2; i++) {
		le32_put(file + places[i], crc32c_final(crc32c_update(CRC32C_INIT, file, places[i])));
		(void)control_parse(&c, file, sizeof(file), NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct control c;
	int major;

	if (len > 0 && (data[0] & FIT_CRC) != 0)
		parse_fitted(data + 1, len - 1);
	(void)control_parse(&c, data, len, NULL);
	(void)control_parse_version((const char *)data, len, &major, NULL);
	return 0;
}
