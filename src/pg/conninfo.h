/*
 * A connection string that is not used here but written somewhere: is it one, and what would it give away?
 */
#ifndef PGCAIRN_PG_CONNINFO_H
#define PGCAIRN_PG_CONNINFO_H

#include "base/err.h"

/*
 * ERR_CONFIG when libpq cannot read it, or when it holds a password: what comes from a command line was seen by everybody on
 * the host. No part of it is in the message.
 */
int conninfo_check_public(const char *conninfo, const char *what, struct err *err);

#endif
