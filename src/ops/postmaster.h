/* The server that runs in a data directory, by its postmaster.pid. */
#ifndef PGCAIRN_OPS_POSTMASTER_H
#define PGCAIRN_OPS_POSTMASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct postmaster {
	pid_t pid;
	int64_t started; /* seconds since 1970; 0: not known */
};

/* False unless the file names a process that is alive: as the server itself judges it. */
bool postmaster_find(const char *pgdata, struct postmaster *out);

#endif
