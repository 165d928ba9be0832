/*
 * Settings of which a server that recovers needs at least as much as the one that wrote the WAL had, else it refuses to start
 * (hot_standby = on) or stops at the record that raised one. pg_control has them, and each change is a record in the WAL.
 * Follows CheckRequiredParameterValues of src/backend/access/transam/xlog.c, in the order of xl_parameter_change.
 */
#ifndef PGCAIRN_PG_LIMITS_H
#define PGCAIRN_PG_LIMITS_H

#include <stdint.h>

#define SERVER_LIMITS 5

struct server_limits {
	int32_t v[SERVER_LIMITS];
};

extern const char *const server_limit_names[SERVER_LIMITS];

/* The larger of both, setting by setting. */
void server_limits_raise(struct server_limits *to, const struct server_limits *by);

#endif
