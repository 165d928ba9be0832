/*
 * What `restore` leaves in the restored directory for pgcairn-wal-restore: which repositories it trusted, by id, up to where
 * each was known to hold WAL, and the private halves of the epoch keys on the path of this recovery. So the identity is read
 * once, by restore, and need not be readable for the server. The file is mode 0600, lies in PGDATA, is left out of base
 * backups, and is removed when recovery ends.
 */
#ifndef PGCAIRN_OPS_SESSION_H
#define PGCAIRN_OPS_SESSION_H

#include "ops/op.h"

#define SESSION_FILE "pgcairn.session" /* in PGDATA */

struct session_repository {
	char name[LAYOUT_LABEL_MAX];
	char id[REPOSITORY_ID_TEXT];
	char newest[WAL_NAME_MAX]; /* segment; "" when it was not asked */
};

struct session {
	uint64_t sysid;
	struct session_repository *repositories;
	size_t n;
};

/* keys go into ring. ERR_NOT_FOUND when there is no file. */
int session_read(struct session **out, const char *path, struct keyring *ring, struct err *err);
/* Durable, mode 0600, replaces one of an earlier restore. */
int session_write(const struct session *s, const char *path, struct keyring *ring, struct err *err);
void session_free(struct session *s);

/* NULL when the session does not know the name. */
const struct session_repository *session_repository(const struct session *s, const char *name);

static inline void
scope_session(struct session **s)
{
	session_free(*s);
}
#define SESSION_AUTO SCOPE(scope_session)

#endif
