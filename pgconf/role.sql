-- A role for pgcairn that is no superuser. Run it as a superuser in the database that conninfo names (postgres by default),
-- because rights on functions are kept in each database:
--
--   psql -d postgres -f role.sql
--
-- No password: the lines in pg_hba.conf and pg_ident.conf beside this file let it in by peer. It reads no table. The same in
-- PostgreSQL 14 to 18: backups go over the replication protocol, so the functions that changed their names in 15
-- (pg_backup_start) are not needed.

-- REPLICATION lets it take base backups, which hold everything: guard this role as you guard the data.
CREATE ROLE pgcairn LOGIN REPLICATION CONNECTION LIMIT 8;

-- backup: where the configuration files, the data directory and the tablespaces are: settings that only superusers see otherwise.
-- The files that lie outside the data directory travel with each backup.
GRANT pg_read_all_settings TO pgcairn;

-- check: closes a segment to see that it is archived, end to end.
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO pgcairn;

-- check: whether the archiver's process lives, which tells an archive_command that dies from one that hangs.
GRANT pg_read_all_stats TO pgcairn;

-- check: what waits for archiving and since when, where it does not run beside the server's files.
GRANT EXECUTE ON FUNCTION pg_ls_waldir(), pg_ls_archive_statusdir() TO pgcairn;
