#include "repo/member.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

#define SYSID "system_identifier"

int
member_set_lsn(json_t *o, const char *member, lsn_t lsn)
{
	char text[LSN_TEXT];

	lsn_format(text, lsn);
	return json_object_set_new(o, member, json_string(text));
}

int
member_set_sysid(json_t *o, uint64_t sysid)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, sysid);
	return json_object_set_new(o, SYSID, json_string(text));
}

int
member_get_lsn(const json_t *o, const char *member, lsn_t *out, struct err *err)
{
	const char *text;
	int rc = json_get_str(o, member, &text, err);

	if (rc == 0 && !lsn_parse(text, out))
		rc = err_set(err, ERR_CORRUPT, 0, "member '%s' is not a position", member);
	return rc;
}

int
member_get_sysid(const json_t *o, uint64_t *out, struct err *err)
{
	const char *text;
	int rc = json_get_str(o, SYSID, &text, err);

	if (rc == 0 && !str_to_u64(text, 1, UINT64_MAX, out))
		rc = err_set(err, ERR_CORRUPT, 0, "member '" SYSID "' is no system identifier");
	return rc;
}
