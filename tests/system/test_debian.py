"""A cluster as Debian makes it: configuration in /etc/postgresql, the stock pg_hba.conf, peer authentication."""

import os
import pathlib
import pwd
import shlex
import shutil
import subprocess

import pytest

from harness import Site, wait_until

VERSION = "15"
PSQL = f"/usr/lib/postgresql/{VERSION}/bin/psql"


class DebianCluster:
    """Made by pg_createcluster under a name of our own, and dropped by name again."""

    def __init__(self):
        self.name = f"pgcairn_test_{os.getpid()}"
        self.etc = pathlib.Path("/etc/postgresql", VERSION, self.name)
        self._run("pg_createcluster", "--start-conf=manual", VERSION, self.name, "--", "--wal-segsize=1", "--data-checksums")
        listing = self._run("pg_lsclusters", "--no-header").stdout
        row = next(line.split() for line in listing.splitlines() if line.split()[1] == self.name)
        self.port, self.data = int(row[2]), pathlib.Path(row[5])

    @staticmethod
    def _run(*args, check=True):
        return subprocess.run(args, check=check, capture_output=True, text=True, timeout=120, cwd="/")

    def ctl(self, action, *options, check=True):
        return self._run("pg_ctlcluster", VERSION, self.name, action, *options, check=check)

    def drop(self):
        self._run("pg_dropcluster", "--stop", VERSION, self.name, check=False)


@pytest.fixture
def debian():
    if os.geteuid() != 0 or not shutil.which("pg_createcluster"):
        pytest.skip("needs root and Debian's pg_createcluster")
    cluster = DebianCluster()
    yield cluster
    cluster.drop()
    assert not cluster.data.exists() and not cluster.etc.exists()


@pytest.fixture
def as_postgres(runtime):
    if runtime.user is None or runtime.user != pwd.getpwnam("postgres"):
        pytest.skip("peer authentication wants servers and pgcairn under user postgres")

    def query(port, statement, directory="/var/run/postgresql"):
        return runtime.run([PSQL, "-h", directory, "-p", port, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]).stdout.strip()

    return query


def start_as_printed(runtime, restored):
    assert str(restored.data) in restored.start_command
    said = restored.directory / "said"
    with open(said, "w", encoding="utf-8") as out:  # a file, because the server may keep it open
        process = runtime.popen(shlex.split(restored.start_command), cwd="/", stdout=out, stderr=out)
        assert process.wait(timeout=60) == 0, said.read_text() + (restored.data / "startup.log").read_text()


def test_a_stock_cluster_is_backed_up_by_peer_and_starts_by_the_printed_command(runtime, place, debian, as_postgres):
    site = Site(runtime, place / "site")
    site.pgdata, site.conninfo = debian.data, f"host=/var/run/postgresql port={debian.port} user=postgres"
    site.write_config()
    stock = (debian.etc / "pg_hba.conf").read_text()
    assert "peer" in stock and "trust" not in [w for line in stock.splitlines() if line[:1] not in "#" for w in line.split()]
    with open(debian.etc / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"archive_mode = on\narchive_command = '{site.archive_command}'\n")
    # what a restore of long ago left in PGDATA, longer than the file that has its place now
    leftover = debian.data / "pgcairn.config" / str(debian.etc / "pg_hba.conf").lstrip("/")
    runtime.run(["mkdir", "-p", leftover.parent])
    leftover.write_text("# of an earlier life\n" * 1000)
    runtime.own(leftover)
    debian.ctl("start")
    site.pgcairn("init")
    as_postgres(debian.port, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
    site.json("backup", "--full")
    as_postgres(debian.port, "INSERT INTO t SELECT generate_series(1001, 1500)")
    segment = as_postgres(debian.port, "SELECT pg_walfile_name(pg_switch_wal())")
    wait_until(lambda: as_postgres(debian.port, f"SELECT left(last_archived_wal, 24) >= '{segment}' FROM pg_stat_archiver") == "t",
               f"{segment} to be archived")
    assert (debian.etc / "pg_hba.conf").read_text() == stock
    debian.drop()  # with all of /etc/postgresql/15/NAME: the host is gone

    restored = site.restore("--adopt")
    assert (restored.data / "pgcairn.config" / str(debian.etc / "pg_hba.conf").lstrip("/")).read_text() == stock
    start_as_printed(runtime, restored)
    try:
        wait_until(lambda: as_postgres(debian.port, "SELECT pg_is_in_recovery()") == "f", "the end of recovery")
        assert as_postgres(debian.port, "SELECT count(*), sum(i) FROM t") == "1500|1125750"
        assert as_postgres(debian.port, "SHOW data_directory") == str(restored.data)
        # it lives on with the configuration that lies in PGDATA now, and the next backup of it starts by its own command too
        site.pgdata = restored.data
        site.write_config()
        site.json("backup", "--full")
    finally:
        restored.stop()
    second = site.restore(directory="second")
    start_as_printed(runtime, second)
    try:
        wait_until(lambda: as_postgres(debian.port, "SELECT pg_is_in_recovery()") == "f", "the end of recovery")
        assert as_postgres(debian.port, "SELECT count(*), sum(i) FROM t") == "1500|1125750"
        assert as_postgres(debian.port, "SHOW config_file").startswith(str(second.data))
        assert as_postgres(debian.port, "SHOW archive_mode") == "off"
    finally:
        second.stop()
    assert len(site.info()["backups"]) == 2
