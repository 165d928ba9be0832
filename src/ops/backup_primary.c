#include "ops/backup_primary.h"

#include "base/str.h"

/* One row: its system identifier, and where it writes; NULL on a standby. */
static const char where[] =
    "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()),"
    " CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE pg_catalog.pg_current_wal_insert_lsn() END";

static int
check(const struct pg_rows *rows, uint64_t sysid, lsn_t *at, struct err *err)
{
	const char *id = pg_rows_value(rows, 0, 0), *lsn = pg_rows_value(rows, 0, 1);
	uint64_t theirs;

	if (id == NULL || !str_to_u64(id, 0, UINT64_MAX, &theirs) || theirs != sysid)
		return err_set(err, ERR_REFUSED, 0, "primary-conninfo leads to another cluster");
	if (lsn == NULL)
		return err_set(err, ERR_REFUSED, 0, "primary-conninfo leads to a standby");
	return lsn_parse(lsn, at) ? 0 : err_set(err, ERR_IO, 0, "the primary's position '%s' cannot be read", lsn);
}

int
backup_primary_close(const struct op *op, uint64_t sysid, uint64_t segno, uint32_t segment_size, struct err *err)
{
	const struct pg_conn_options o = {.conninfo = op->cluster->primary_conninfo};
	PG_CONN_AUTO struct pg_connection *sql = NULL;
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	FREE_AUTO char *end = NULL;
	lsn_t at;
	int rc = pg_conn_open(&sql, &o, err);

	if (rc == 0)
		rc = pg_conn_query(sql, where, 0, NULL, &rows, err);
	if (rc == 0)
		rc = check(rows, sysid, &at, err);
	if (rc == 0 && at / segment_size <= segno)
		rc = pg_conn_query_value(sql, "SELECT pg_catalog.pg_switch_wal()", 0, NULL, &end, err);
	if (rc == ERR_AUTH)
		err_hint(err, "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO its role; see pgconf/role.sql");
	return rc < 0 ? err_wrap(err, "close a segment on the primary") : 0;
}

bool
backup_primary_is_elsewhere(struct backup_server *s)
{
	FREE_AUTO char *recovery = NULL;

	return pg_conn_query_value(s->sql, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL, &recovery, NULL) < 0 ||
	       strcmp(recovery, "t") == 0;
}
