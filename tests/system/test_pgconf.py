"""The files of pgconf/ are what they say: a server takes them, and pgcairn works with the rights they give."""

import os
import pwd

import pytest

from harness import PG_BIN, REPO, Cluster, wait_until


def write_map(cluster, user):
    text = (REPO / "pgconf/pg_ident.conf").read_text()
    (cluster.data / "pg_ident.conf").write_text(text.replace("pgcairn    postgres ", f"pgcairn    {user} "))


def append(cluster, site, *names):
    """Files of pgconf/ into postgresql.conf, with this site's commands for the installed ones."""
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        for name in names:
            text = (REPO / "pgconf" / name).read_text()
            text = text.replace("/usr/local/bin/pgcairn-wal-archive %p %f", site.archive_command)
            conf.write(text.replace("/usr/local/bin/pgcairn-wal-restore %f %p", site.restore_command))


def no_errors(cluster):
    assert cluster.value("SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == 0
    assert cluster.value("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == 0


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
        write_map(cluster, user)
        cluster.sql("SELECT pg_reload_conf()")
        assert cluster.value("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == 0
        return f"host={cluster.directory} port={cluster.port} user=pgcairn"

    return make


def psql(runtime, conninfo, statement, status=0):
    return runtime.run([PG_BIN / "psql", conninfo + " dbname=postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement], status=status).stdout.strip()


@pytest.fixture
def user(runtime):
    return (runtime.user or pwd.getpwuid(os.geteuid())).pw_name


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
                      "SELECT pg_create_restore_point('x')", "SELECT pg_ls_dir('.')", "SELECT pg_ls_logdir()", "SELECT pg_promote()",
                      "SELECT pg_reload_conf()", "SELECT pg_stat_reset_shared('archiver')",
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
    for _ in range(3):  # a hint bit may be logged meanwhile, and that segment is closed then
        closed = cluster.archive_now()
        if site.json("check", "--timeout", "20s")["proved_segment"] == closed:
            return
    raise AssertionError("no check found the last segment just closed")


LOSSES = {
    "REVOKE pg_read_all_settings FROM pgcairn": ("backup", "role.sql"),
    "ALTER ROLE pgcairn NOREPLICATION": ("backup", "eplication"),
    "REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM pgcairn": ("check", "could not be proved"),
    "REVOKE pg_read_all_stats FROM pgcairn": ("hangs", "or ends with a status above 125"),
    "REVOKE EXECUTE ON FUNCTION pg_ls_archive_statusdir() FROM pgcairn": ("remote", "what waits for archiving cannot be seen"),
}


def test_each_right_of_the_role_is_needed(site, runtime, with_role):
    """One after the other is taken away, and something is missed."""
    cluster = site.cluster()
    site.conninfo = with_role(cluster)
    site.write_config()
    site.pgcairn("init")
    site.json("backup", "--full")
    with_pgdata = site.config_text() + "[check]\nstuck-after = 1s\n"
    remote = "\n".join(line for line in with_pgdata.splitlines() if not line.startswith("pgdata")) + "\n"
    for loss, (where, word) in LOSSES.items():
        site.write_config(remote if where == "remote" else with_pgdata)
        if where in ("hangs", "remote"):
            cluster.sql("ALTER SYSTEM SET archive_command = 'sleep 60'")
            cluster.sql("SELECT pg_reload_conf()")
            cluster.switch_wal()
        cluster.sql(loss)
        if where == "backup":
            assert word in site.pgcairn("backup", "--full", status={1, 2}).stderr
        else:
            options = () if where == "check" else ("--no-switch",)
            wait_until(lambda: word in site.pgcairn("check", *options, status={0, 3}).stdout, f"check to miss: {loss}", timeout=20)
        back = loss.replace("REVOKE", "GRANT").replace(" FROM ", " TO ").replace("NOREPLICATION", "REPLICATION")
        cluster.sql(back)
        if where not in ("backup", "check"):
            said = site.pgcairn("check", "--no-switch", status={0, 3}).stdout
            assert word not in said and ("archive_command hangs" in said or "files wait for archiving" in said)
    cluster.stop("immediate")
    runtime.run(["pkill", "-x", "-f", "sleep 60"], status=None)


def test_a_primary_archives_and_is_backed_up_with_its_file(site, server_bin, with_role):
    cluster = site.cluster(pg_bin=server_bin, archive_mode="off", archive_command="")
    append(cluster, site, "primary.conf")
    site.conninfo = with_role(cluster)
    site.write_config()
    site.pgcairn("init")
    assert cluster.value("SHOW archive_timeout") == "1min"
    no_errors(cluster)
    site.json("backup", "--full")
    cluster.archive_now()
    site.pgcairn("check")


def test_a_standby_replays_from_the_repositories_with_its_file(site, server_bin):
    cluster = site.cluster(pg_bin=server_bin, archive_mode="off", archive_command="")
    append(cluster, site, "primary.conf")
    cluster.start()
    site.pgcairn("init")
    site.json("backup", "--full")
    cluster.sql("CREATE TABLE t AS SELECT 7 AS i")
    cluster.archive_now()
    standby = site.restore("--standby", directory="standby")
    # what restore wrote by itself is taken out: the file alone has to do
    (standby.data / "postgresql.auto.conf").write_text("")
    append(standby, site, "standby.conf")
    standby.start()
    wait_until(lambda: standby.value("SELECT count(*) FROM pg_class WHERE relname = 't'") == 1, "the archived change")
    no_errors(standby)
    assert standby.value("SELECT pg_is_in_recovery()") and standby.value("SHOW archive_mode") == "on"
    cluster.stop()
    site.use(standby)
    standby.sql("SELECT pg_promote()")
    standby.wait_promoted()
    standby.archive_now()


def test_a_copy_recovers_by_hand_with_its_files(site, server_bin, user):
    cluster = site.cluster(pg_bin=server_bin)
    cluster.start()
    site.pgcairn("init")
    site.json("backup", "--full")
    cluster.sql("CREATE TABLE t AS SELECT 7 AS i")
    target = cluster.value("SELECT pg_create_restore_point('here')")
    cluster.sql("DROP TABLE t")
    cluster.archive_now()
    copy = site.restore("--target-immediate", directory="copy")
    (copy.data / "postgresql.auto.conf").write_text("")
    append(copy, site, "recovering.conf")
    copy.configure(recovery_target_name="here")
    (copy.data / "pg_hba.conf").write_text((REPO / "pgconf/pg_hba.recovering.conf").read_text())
    write_map(copy, user)
    copy.start()
    as_postgres = f"host={copy.directory} port={copy.port} user=postgres"

    def ask(statement):
        return psql(site.runtime, as_postgres, statement)

    wait_until(lambda: ask("SELECT pg_get_wal_replay_pause_state()") == "paused", "the target")
    assert ask("SELECT i FROM t") == "7" and "/" in str(target)
    assert ask("SHOW archive_mode") == "off"
    assert ask("SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == "0"
    psql(site.runtime, as_postgres.replace("user=postgres", "user=pgcairn"), "SELECT 1", status=2)
    ask("SELECT pg_wal_replay_resume()")
    wait_until(lambda: ask("SELECT pg_is_in_recovery()") == "f", "the end of recovery")


def test_the_files_say_which_majors_they_are_for():
    for path in sorted((REPO / "pgconf").iterdir()):
        assert "PostgreSQL 14 to 18" in path.read_text().replace("\n--", "").replace("\n#", ""), path.name
