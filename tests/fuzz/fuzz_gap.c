/* Any bytes as the record of a gap or of a conflict: what is accepted is written and read back as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "repo/conflict.h"
#include "repo/gap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
try_conflict(const json_t *o)
{
	JSON_AUTO json_t *again = json_object();
	struct conflict_record c, back;

	if (conflict_record_decode(&c, o, NULL) < 0)
		return;
	if (conflict_record_encode(&c, again, NULL) < 0 || conflict_record_decode(&back, again, NULL) < 0 ||
	    strcmp(c.object, back.object) != 0 || memcmp(c.first, back.first, CONTENT_ID) != 0)
		abort();
}

static void
try_name(const char *name)
{
	char object[OBJECT_NAME_MAX];
	uint8_t content_id[CONTENT_ID];
	const char *suffix;
	struct gap_record g;

	(void)gap_name_parse(name, &g);
	(void)conflict_name_parse(name, object, content_id, &suffix);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	JSON_AUTO json_t *o = NULL, *again = json_object();
	char name[STORE_KEY_MAX];
	struct gap_record g, back;

	if (len < sizeof(name)) {
		memcpy(name, data, len);
		name[len] = '\0';
		try_name(name);
	}
	if (json_read(&o, data, len, "fuzz", NULL) < 0)
		return 0;
	try_conflict(o);
	if (gap_record_decode(&g, o, NULL) < 0)
		return 0;
	if (gap_record_encode(&g, again, NULL) < 0 || gap_record_decode(&back, again, NULL) < 0 ||
	    memcmp(&g, &back, sizeof(g)) != 0)
		abort();
	return 0;
}
