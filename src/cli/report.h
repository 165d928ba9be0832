/* Members of a JSON report, as every verb writes them: LSNs as PostgreSQL prints them, times in RFC 3339, UTC. */
#ifndef PGCAIRN_CLI_REPORT_H
#define PGCAIRN_CLI_REPORT_H

#include "base/json.h"
#include "pg/lsn.h"
#include "repo/decision.h"

/* As text: no JSON number holds all of them. */
void report_sysid(json_t *o, const char *member, uint64_t sysid);

/* Memory that is out shows when the report is printed: jansson then gives NULL or leaves the member out. */
void report_text(json_t *o, const char *member, const char *text); /* bytes that are not UTF-8 are shown as '?' */
void report_number(json_t *o, const char *member, uint64_t n);
void report_lsn(json_t *o, const char *member, lsn_t lsn);
void report_time(json_t *o, const char *member, int64_t us);

/* The members time, by and reason. */
void report_decision(json_t *o, const struct decision *d);

/* {"kind", "message", "hint"} */
json_t *report_err(const struct err *err);

struct survey;

/* The member silent: [{"repository", "error"}], empty when all answered. */
void report_survey(json_t *o, const struct survey *s);

#endif
