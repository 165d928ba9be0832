"""The files of pgconf/ are what they say: a server takes them, and pgcairn works with the rights they give."""

import os
import pwd

import pytest

from harness import PG_BIN, REPO, Cluster


@pytest.fixture
def with_role(runtime, place):
    """Makes a server that lets nobody in but the role of pgconf/, by peer, and the superuser."""

    def make(cluster):
        user = (runtime.user or pwd.getpwuid(os.geteuid())).pw_name
        cluster.start()
        runtime.run([PG_BIN / "psql", "-h", cluster.directory, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-Xq", "-d", "postgres"],
                    stdin_text=(REPO / "pgconf/role.sql").read_text())
        (cluster.data / "pg_hba.conf").write_text(
            (REPO / "pgconf/pg_hba.conf").read_text() + "local all postgres trust\n")
        (cluster.data / "pg_ident.conf").write_text(
            (REPO / "pgconf/pg_ident.conf").read_text().replace("pgcairn    postgres ", f"pgcairn    {user} "))
        cluster.sql("SELECT pg_reload_conf()")
        assert cluster.value("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == 0
        return f"host={cluster.directory} port={cluster.port} user=pgcairn"

    return make


def psql(runtime, conninfo, statement, status=0):
    return runtime.run([PG_BIN / "psql", conninfo + " dbname=postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement], status=status).stdout.strip()


def test_the_role_can_what_it_needs_and_no_more(runtime, place, with_role):
    cluster = Cluster.create(runtime, place / "c")
    conninfo = with_role(cluster)
    assert psql(runtime, conninfo, "SHOW config_file") == str(cluster.data / "postgresql.conf")
    assert psql(runtime, conninfo, "SELECT pg_switch_wal() IS NOT NULL") == "t"
    assert psql(runtime, conninfo + " replication=true", "IDENTIFY_SYSTEM")
    # what a standby's backup asks the primary
    assert int(psql(runtime, conninfo, "SELECT system_identifier FROM pg_control_system()"))
    assert "/" in psql(runtime, conninfo, "SELECT pg_current_wal_insert_lsn()")
    cluster.sql("CREATE TABLE secret AS SELECT 1 AS i")
    for forbidden in ("SELECT * FROM secret", "CREATE ROLE other", "SELECT pg_read_file('/etc/passwd')", "CHECKPOINT",
                      "SELECT pg_create_restore_point('x')",
                      "ALTER SYSTEM SET archive_command = 'true'", "COPY (SELECT 1) TO PROGRAM 'true'"):
        psql(runtime, conninfo, forbidden, status=1)


def test_pgcairn_works_with_the_role(site, with_role, server_bin):
    cluster = site.cluster(pg_bin=server_bin)
    site.conninfo = with_role(cluster)
    site.write_config()
    site.pgcairn("init")
    site.json("backup", "--full")
    cluster.archive_now()
    site.pgcairn("check")


def test_check_proves_archiving_where_no_record_can_be_written_and_the_last_segment_is_just_closed(site, with_role, server_bin):
    """pg_switch_wal then gives a position between two segments, which pg_walfile_name takes for the later one since 17."""
    cluster = site.cluster(pg_bin=server_bin)
    site.conninfo = with_role(cluster)
    site.write_config()
    site.pgcairn("init")
    site.json("backup", "--full")
    for function in cluster.sql("SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'pg_logical_emit_message'"):
        cluster.sql(f"REVOKE EXECUTE ON FUNCTION {function[0]} FROM PUBLIC")
    closed = cluster.archive_now()
    assert site.json("check", "--timeout", "20s")["proved_segment"] == closed


@pytest.mark.parametrize("files", [("primary.conf",), ("primary.conf", "standby.conf")])
def test_a_server_takes_the_settings(runtime, place, files):
    cluster = Cluster.create(runtime, place / "c")
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        for name in files:
            conf.write((REPO / "pgconf" / name).read_text())
    cluster.start()
    assert cluster.value("SHOW archive_mode") == "on"
    assert cluster.value("SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == 0
