/* Any bytes as a key in text, of every type, and as the clear part of an epoch key object, with an identity to open it. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "keys/epoch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse_text(const uint8_t *data, size_t size)
{
	static const char *const types[] = {
	    KEY_TYPE_RECIPIENT, KEY_TYPE_IDENTITY, KEY_TYPE_SIGNER, KEY_TYPE_SIGNING, KEY_TYPE_COMPARISON};
	uint8_t key[KEY_BYTES];
	char text[KEY_TEXT];

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (key_parse(key, types[i], (const char *)data, size, NULL) < 0)
			continue;
		key_format(text, types[i], key);
		if (strlen(text) != size || memcmp(text, data, size) != 0)
			abort(); /* one key has one text */
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	JSON_AUTO json_t *record = NULL;
	struct epoch e;

	if (sodium_init() < 0)
		abort();
	parse_text(data, size);
	if (json_read(&record, data, size, "a key object", NULL) == 0)
		(void)epoch_from_record(&e, record, NULL);
	return 0;
}
