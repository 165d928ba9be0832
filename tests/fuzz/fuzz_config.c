/* Any bytes as a config file: refused with a place, or a config whose printed form is taken again. */
#include <string.h>

#include "base/scope.h"
#include "config/config_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *cfg = NULL, *again = NULL;
	BUF_AUTO struct buf text = {0}, json = {0};
	struct err err = {0};
	int rc = config_parse_text(&cfg, "f", data, size, &err);

	if (rc < 0) {
		if (cfg != NULL || rc != ERR_CONFIG || err.msg[0] != 'f' || err.msg[1] != ':')
			abort();
		return 0;
	}
	if (config_print(cfg, &text, false, NULL) < 0 || config_print(cfg, &json, true, NULL) < 0)
		abort();
	rc = config_parse_text(&again, "f", buf_text(&text), text.len, &err);
	/* what is printed may be longer than what was written, by the blanks around '=' */
	if (rc < 0 && strstr(err.msg, "can be read") == NULL)
		abort();
	config_free(cfg);
	config_free(again);
	return 0;
}
