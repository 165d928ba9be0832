/*
 * Errors are values: a kind that tells the caller what it can do, the errno where there is one, a message that names the
 * object, and a hint that tells the operator what to do.
 *
 * A function that can fail returns 0 or one of these kinds and fills *err; with 0, *err is untouched. A caller that only asks
 * whether it failed may pass NULL; one that looks at the kind passes a struct, since context is added to what is in it.
 */
#ifndef PGCAIRN_BASE_ERR_H
#define PGCAIRN_BASE_ERR_H

enum err_kind {
	ERR_NOT_FOUND = -1, /* proven absent: an exact lookup answered so */
	ERR_EXISTS = -2,    /* create-only name is taken */
	ERR_CONFLICT = -3,  /* the name is taken by other content */
	ERR_RETRY = -4,     /* the same call may work later */
	ERR_AUTH = -5,      /* not allowed, or no key that opens it */
	ERR_CORRUPT = -6,   /* bytes are not what they claim to be */
	ERR_CONFIG = -7,    /* the configuration or the command line must change */
	ERR_NOSPACE = -8,
	ERR_IO = -9,
	ERR_NOMEM = -10,
	ERR_REFUSED = -11, /* a policy, a hold or a proof says no */
	ERR_BUG = -12,     /* our own mistake */
};

struct err {
	int kind;
	int sys; /* errno, 0 when none */
	char msg[1024];
	char hint[512];
};

/* Raise: fills *err, returns kind. The text of sys, when not 0, is appended. ENOSPC and EDQUOT turn ERR_IO into ERR_NOSPACE. */
int err_set(struct err *err, int kind, int sys, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Add context in front ("archive X: ..."). Returns the kind that is there, ERR_BUG for NULL. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set the remedy unless one is there already. Returns the kind. */
int err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What to tell the operator to do: the hint, or where nobody set one, what is true of every error of this kind. */
const char *err_remedy(const struct err *err);

/* A word for a kind, for logs and JSON: "not-found", "corrupt", ... */
const char *err_kind_name(int kind);

#endif
