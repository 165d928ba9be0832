/* High-water records, and ends of WAL that were lost, as info shows them. */
#ifndef PGCAIRN_CLI_REPORT_TAIL_H
#define PGCAIRN_CLI_REPORT_TAIL_H

#include "cli/report.h"
#include "ops/info.h"

json_t *report_high_water(const struct high_water *h);

/* Lines about what was acknowledged once and is no longer there; none when all is. */
int report_tails(struct buf *b, const struct info *info, struct err *err);

#endif
