/*
 * A second copy of the identity, proved. Where one key alone opens the backups, losing it loses all of them; that a copy lies
 * somewhere else cannot be seen, only shown once: the file is brought, has to hold a recorded recipient's private half, and has
 * to open the newest backup of every repository. The proof is remembered in the state directory, without anything secret.
 */
#ifndef PGCAIRN_OPS_IDENTITY_COPY_H
#define PGCAIRN_OPS_IDENTITY_COPY_H

#include "ops/op.h"

struct identity_copy {
	int64_t time_us;
	uint8_t recipient[KEY_BYTES]; /* the public half that was proved */
};

struct identity_copy_result {
	char recipient[KEY_TEXT];
	size_t repositories, backups; /* looked at; opened in them, one each */
};

/*
 * ERR_REFUSED when the file is the identity itself; ERR_AUTH when none of its keys is a recipient, or it does not open what it
 * should; an error when a repository does not answer. Started by root, goes on as the owner of the state directory.
 */
int identity_copy_prove(const struct op *op, const char *path, struct identity_copy_result *result, struct err *err);

/* What is remembered. ERR_NOT_FOUND when nothing is. */
int identity_copy_read(const struct op *op, struct identity_copy *out, struct err *err);

#endif
