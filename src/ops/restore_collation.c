/*
 * Sort order lives in the C library: when another version sorts a locale otherwise, indexes that the original built are wrong
 * on this host, silently. PostgreSQL itself says so only to who connects, and only since it records versions of databases (15).
 * ICU is not asked: which one the server was built with is not this program's business, and PostgreSQL compares it.
 */
#include "ops/restore_host.h"

#include <gnu/libc-version.h>

#include "base/buf.h"
#include "base/str.h"

#define NAMES_SHOWN 10

/* Does the C library sort this locale by rules of its own, which have versions? As get_collation_actual_version sees it. */
static bool
has_rules(const char *provider, const char *locale)
{
	return strcmp(provider, "c") == 0 && strcasecmp(locale, "C") != 0 && strncasecmp(locale, "C.", 2) != 0 &&
	       strcasecmp(locale, "POSIX") != 0;
}

static const char *
text_of(const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	return text != NULL ? text : "";
}

/* Is this database ordered as another C library orders? What the database recorded counts before what the host had. */
static bool
differs(const json_t *database, const char *libc, const char *here)
{
	const char *version = text_of(database, "version");

	if (strcmp(text_of(database, "provider"), "c") != 0)
		return false;
	if (version[0] != '\0')
		return strcmp(version, here) != 0;
	return has_rules("c", text_of(database, "locale")) && strcmp(libc, here) != 0;
}

/* The databases, the first of them by name. */
static size_t
list_databases(const json_t *list, const char *libc, const char *here, char *out, size_t size)
{
	const json_t *one;
	size_t i, n = 0, used = 0;

	out[0] = '\0';
	json_array_foreach(list, i, one)
	{
		if (!differs(one, libc, here))
			continue;
		if (n < NAMES_SHOWN && used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%s", n > 0 ? ", " : "", text_of(one, "name"));
		else if (n == NAMES_SHOWN && used < size)
			used += (size_t)snprintf(out + used, size - used, ", ...");
		n++;
	}
	return n;
}

/* Collations that were made for themselves, in the database that the backup was connected to. */
static bool
collations_differ(const json_t *list, const char *here)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) if (strcmp(text_of(one, "provider"), "c") == 0 && text_of(one, "version")[0] != '\0' &&
					     strcmp(text_of(one, "version"), here) != 0) return true;
	return false;
}

void
restore_host_collation(struct restore_host *h, const json_t *sealed)
{
	const json_t *c = json_object_get(sealed, "collation");
	const char *here = gnu_get_libc_version(), *libc = text_of(c, "libc");
	char names[512];
	size_t n;
	struct err *w;

	h->collation = "unknown";
	if (libc[0] == '\0')
		return;
	h->collation = "same";
	n = list_databases(json_object_get(c, "databases"), libc, here, names, sizeof(names));
	if (n == 0 && !collations_differ(json_object_get(c, "collations"), here))
		return;
	h->collation = "differs";
	if ((w = restore_host_warn(h)) == NULL)
		return;
	if (n > 0)
		err_set(w, ERR_CONFIG, 0,
		    "text is sorted by C library %s here, and otherwise in what these databases were built with: %s; indexes "
		    "on text can "
		    "be wrong without any error",
		    here, names);
	else
		err_set(w, ERR_CONFIG, 0,
		    "collations of the original were made with another C library than the %s of this host", here);
	err_hint(w, "after recovery, in each: REINDEX DATABASE name; then ALTER DATABASE name REFRESH COLLATION VERSION, and "
		    "for single "
		    "collations ALTER COLLATION name REFRESH VERSION");
}
