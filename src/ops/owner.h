/*
 * The user who owns PGDATA. What init makes belongs to that user; started by root, pgcairn goes on as that user as soon as the
 * directories are there, and never touches a repository as root.
 */
#ifndef PGCAIRN_OPS_OWNER_H
#define PGCAIRN_OPS_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct owner {
	uid_t uid;
	gid_t gid;
};

int owner_of(struct owner *out, const char *path, struct err *err);

/* Make the directory where it is missing; started by root, give every directory made now to the owner. Durable on return, also
 * where somebody else made it. */
int owner_make_dirs(const struct owner *o, const char *path, mode_t mode, struct err *err);
int owner_make_parent(const struct owner *o, const char *file, mode_t mode, struct err *err);

/* By the file's mode; the directories above it are not looked at. */
bool owner_can_read(const struct owner *o, const char *path);

/* For root: become the owner for good. For anybody else: nothing, but ERR_AUTH unless it is the owner. what: is owned, for
 * messages. */
int owner_become(const struct owner *o, const char *what, struct err *err);

#endif
