#include "pg/conninfo.h"

#include <libpq-fe.h>

#include "base/scope.h"

static void
scope_conninfo(PQconninfoOption **o)
{
	PQconninfoFree(*o);
}

int
conninfo_check_public(const char *conninfo, const char *what, struct err *err)
{
	SCOPE(scope_conninfo) PQconninfoOption *given = PQconninfoParse(conninfo, NULL); /* its message quotes the text */

	if (given == NULL) {
		err_set(err, ERR_CONFIG, 0, "%s: libpq cannot read it", what);
		return err_hint(err, "a list of keyword=value, values with blanks in single quotes, or a postgresql:// URI");
	}
	for (const PQconninfoOption *g = given; g->keyword != NULL; g++) {
		if (g->val == NULL || *g->val == '\0' ||
		    (strcmp(g->keyword, "password") != 0 && strcmp(g->keyword, "sslpassword") != 0))
			continue;
		err_set(err, ERR_CONFIG, 0, "%s: it holds a password", what);
		return err_hint(err, "a command line can be read by everybody: keep it in a password file (passfile=FILE)");
	}
	return 0;
}
