/* Errors as values; see err.h. Messages are cut at their buffer's end, never overrun. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>

int
err_set(struct err *err, int kind, int sys, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (kind == ERR_IO && (sys == ENOSPC || sys == EDQUOT))
		kind = ERR_NOSPACE;
	if (err == NULL)
		return kind;
	err->kind = kind;
	err->sys = sys;
	err->hint[0] = '\0';
	va_start(ap, fmt);
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if (sys != 0 && (size_t)n < sizeof(err->msg)) {
		char text[128];

		/* the GNU strerror_r, which may not use the buffer */
		(void)snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", strerror_r(sys, text, sizeof(text)));
	}
	return kind;
}

int
err_wrap(struct err *err, const char *fmt, ...)
{
	char front[512], old[sizeof(err->msg)];
	va_list ap;

	if (err == NULL)
		return ERR_BUG;
	va_start(ap, fmt);
	(void)vsnprintf(front, sizeof(front), fmt, ap);
	va_end(ap);
	memcpy(old, err->msg, sizeof(old));
	(void)snprintf(err->msg, sizeof(err->msg), "%s: %.*s", front, (int)(sizeof(err->msg) - strlen(front) - 3), old);
	return err->kind;
}

int
err_hint(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return ERR_BUG;
	if (err->hint[0] == '\0') {
		va_start(ap, fmt);
		(void)vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
		va_end(ap);
	}
	return err->kind;
}

const char *
err_kind_name(int kind)
{
	static const char *const names[] = {"ok", "not-found", "exists", "conflict", "retry", "auth", "corrupt", "config",
	    "no-space", "io", "no-memory", "refused", "bug"};

	if (kind > 0 || kind < ERR_BUG)
		return "unknown";
	return names[-kind];
}

const char *
err_remedy(const struct err *err)
{
	if (err->hint[0] != '\0')
		return err->hint;
	switch (err->kind) {
	case ERR_NOT_FOUND:
		return "pgcairn info lists what there is";
	case ERR_EXISTS:
		return "it was made in the meantime; look at it, or try again";
	case ERR_CONFLICT:
		return "pgcairn info shows both contents; find out which server wrote the second";
	case ERR_RETRY:
		return "the same call may work in a moment";
	case ERR_AUTH:
		return "check user, owner, mode and keys of what is named";
	case ERR_CORRUPT:
		return "pgcairn verify says what else is damaged and where a whole copy is";
	case ERR_CONFIG:
		return "see --help, and the configuration file";
	case ERR_NOSPACE:
		return "free space on that file system; the next try goes on";
	case ERR_IO:
		return "see the system's log (journalctl -k) for that disk or mount";
	case ERR_NOMEM:
		return "free memory, or set fewer threads in [pgcairn]";
	case ERR_REFUSED:
		return "change what the message names, or choose another target";
	default:
		return "a bug of pgcairn: report it with this message";
	}
}
