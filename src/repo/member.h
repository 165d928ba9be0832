/* Members of a record's clear part that are more than text or a number: positions, and system identifiers, which no JSON number
 * holds. Setters return 0 or -1 as json_object_set_new does. */
#ifndef PGCAIRN_REPO_MEMBER_H
#define PGCAIRN_REPO_MEMBER_H

#include "base/json.h"
#include "pg/lsn.h"

int member_set_lsn(json_t *o, const char *member, lsn_t lsn);
int member_set_sysid(json_t *o, uint64_t sysid); /* system_identifier */

/* ERR_CORRUPT when it is missing or is none. */
int member_get_lsn(const json_t *o, const char *member, lsn_t *out, struct err *err);
int member_get_sysid(const json_t *o, uint64_t *out, struct err *err);

#endif
