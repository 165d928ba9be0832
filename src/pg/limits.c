#include "pg/limits.h"

const char *const server_limit_names[SERVER_LIMITS] = {
    "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"};

void
server_limits_raise(struct server_limits *to, const struct server_limits *by)
{
	for (int i = 0; i < SERVER_LIMITS; i++)
		if (by->v[i] > to->v[i])
			to->v[i] = by->v[i];
}
