/*
 * init --upgrade: after pg_upgrade the cluster has a new system identifier, timeline 1 again and a newer major. Its lineage
 * gets one more record, in every repository or none; until then archiving and backup refuse the new system. What was stored of
 * the older systems stays, and is restored with their majors.
 *
 * That it is the same cluster is proved by what pg_upgrade leaves in pg_control: the new WAL begins behind the last segment of
 * the old one (pg_resetwal -l). One that was only initialised begins at 0/1000000, and is another cluster.
 */
#ifndef PGCAIRN_OPS_UPGRADE_H
#define PGCAIRN_OPS_UPGRADE_H

#include "ops/op.h"

struct upgrade_result {
	struct lineage_entry from, to;
	size_t appended; /* repositories that got the record now, or would get it in a dry run */
	size_t existed;
};

/*
 * ERR_REFUSED: not an upgrade of this cluster, or the old system of one that was upgraded since. Safe to repeat, on any host:
 * what is recorded already is success.
 */
int upgrade_run(const struct op *op, bool dry_run, struct upgrade_result *result, struct err *err);

#endif
