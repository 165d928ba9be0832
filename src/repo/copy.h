/* An object that one repository has, as it is stored, into another one: without encoding it again, and without keys. */
#ifndef PGCAIRN_REPO_COPY_H
#define PGCAIRN_REPO_COPY_H

#include "repo/stored.h"

/*
 * Under the relative name at. The key that opens it goes first: keys before data. Durable before it returns 0; ERR_EXISTS when
 * the name is taken in the other repository.
 */
int object_copy(struct stored *have, struct repository *to, const char *at, struct err *err);

#endif
