#include "ops/backup_collation.h"

#include <gnu/libc-version.h>

#include "base/json.h"

/* Before 15 a database has neither a provider nor a version of its own. */
static const char databases_15[] = "SELECT datname, datlocprovider::text, datcollate, datcollversion"
				   " FROM pg_catalog.pg_database WHERE datallowconn ORDER BY 1";
static const char databases_14[] = "SELECT datname, 'c', datcollate, NULL"
				   " FROM pg_catalog.pg_database WHERE datallowconn ORDER BY 1";
static const char collations[] = "SELECT DISTINCT collprovider::text, collversion FROM pg_catalog.pg_collation"
				 " WHERE collversion IS NOT NULL ORDER BY 1, 2";

/* The value under member; in hex under member_hex when it is not UTF-8; nothing for NULL. */
static int
put(json_t *o, const char *member, const char *value)
{
	json_t *text = value != NULL ? json_string(value) : NULL;
	char hex[32];

	if (value == NULL)
		return 0;
	if (text != NULL)
		return json_object_set_new(o, member, text);
	(void)snprintf(hex, sizeof(hex), "%s_hex", member);
	return json_set_hex(o, hex, (const uint8_t *)value, strlen(value));
}

/* The rows of a statement as a list of objects. */
static int
list_rows(
    struct pg_connection *sql, const char *statement, const char *const *members, json_t *o, const char *name, struct err *err)
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	json_t *list = json_array();
	int rc = pg_conn_query(sql, statement, 0, NULL, &rows, err);
	bool failed = json_object_set_new(o, name, list) < 0;

	for (size_t i = 0; rc == 0 && i < pg_rows_count(rows); i++) {
		json_t *one = json_object();

		for (size_t k = 0; members[k] != NULL; k++)
			failed |= put(one, members[k], pg_rows_value(rows, i, k)) < 0;
		failed |= json_array_append_new(list, one) < 0;
	}
	return rc == 0 && failed ? err_set(err, ERR_NOMEM, 0, "out of memory for collation versions") : rc;
}

int
backup_collation(struct pg_connection *sql, struct buf *sealed, struct err *err)
{
	static const char *const of_database[] = {"name", "provider", "locale", "version", NULL};
	static const char *const of_collation[] = {"provider", "version", NULL};
	JSON_AUTO json_t *whole = json_object();
	json_t *c = json_object();
	int rc = 0;

	if (json_object_set_new(whole, "collation", c) < 0 ||
	    json_object_set_new(c, "libc", json_string(gnu_get_libc_version())) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for collation versions");
	rc = list_rows(sql, pg_conn_major(sql) >= 15 ? databases_15 : databases_14, of_database, c, "databases", err);
	if (rc == 0)
		rc = list_rows(sql, collations, of_collation, c, "collations", err);
	return rc < 0 ? rc : json_write(whole, sealed, err);
}
