/* An object that one repository has, as it is stored, into another one: without encoding it again, and without keys. */
#ifndef PGCAIRN_REPO_COPY_H
#define PGCAIRN_REPO_COPY_H

#include "repo/stored.h"

/*
 * Under the relative name at. The key that opens it goes first: keys before data. Durable before it returns 0; ERR_EXISTS when
 * the name is taken in the other repository.
 */
int object_copy(struct stored *have, struct repository *to, const char *at, struct err *err);

/*
 * The two steps of it, for who has several repositories to take from: *by_to is set when it is the other repository that fails,
 * not the one that is read. The key may come from any that has it, and need not where the other repository has it already;
 * ERR_NOT_FOUND when neither has.
 */
int object_copy_key(const struct stored *have, struct repository *from, struct repository *to, bool *by_to, struct err *err);
int object_copy_alone(struct stored *have, struct repository *to, const char *at, bool *by_to, struct err *err);

#endif
