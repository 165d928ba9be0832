"""What the tests of standbys and promotions share: a second host, and a ledger that proves every acknowledged commit."""

import re
import shutil
import threading

import psycopg2

from harness import PG_BIN, Cluster, Site, wait_until

FAILED = set(range(1, 126))  # the archiver tries again
ABORT = set(range(126, 256)) - {143}  # recovery stops
QUICK = {"wal_retrieve_retry_interval": "200ms", "wal_receiver_timeout": "5s"}


class Ledger:
    """Rows 1, 2, 3, ... committed one by one, by hand or by a thread; what was acknowledged must be there, and nothing else."""

    TABLE = "CREATE TABLE ledger (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())"

    def __init__(self, cluster):
        cluster.sql(self.TABLE)
        self.acknowledged = 0
        self._end = threading.Event()
        self._thread = None

    def write(self, cluster, rows=1):
        connection = cluster.connect()
        try:
            for _ in range(rows):
                self._commit(connection)
        finally:
            connection.close()
        return self.acknowledged

    def _commit(self, connection):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO ledger VALUES (%s)", (self.acknowledged + 1,))
        self.acknowledged += 1

    def begin(self, cluster):
        """Commit in the background until end(), or until the server goes away."""
        self._end.clear()
        self._thread = threading.Thread(target=self._run, args=(cluster.connect(),), daemon=True)
        self._thread.start()

    def _run(self, connection):
        try:
            while not self._end.is_set():
                self._commit(connection)
                self._end.wait(0.005)
        except psycopg2.Error:
            pass  # the commit was not acknowledged
        finally:
            connection.close()

    def end(self):
        self._end.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.acknowledged

    @staticmethod
    def rows(cluster):
        return cluster.value("SELECT count(*) FROM ledger")

    def wait(self, cluster, rows=None, timeout=60):
        """Until the cluster shows so many rows; all of them when no number is given."""
        rows = self.acknowledged if rows is None else rows
        wait_until(lambda: cluster.value("SELECT to_regclass('ledger')") and self.rows(cluster) >= rows, f"row {rows}", timeout)

    def wants(self, cluster, rows=None):
        """Exactly the rows from 1 to the number, all that were acknowledged when none is given."""
        rows = self.acknowledged if rows is None else rows
        assert cluster.sql("SELECT count(*), min(id), max(id) FROM ledger") == [(rows, 1 if rows else None, rows or None)]


def other_host(site, name, identity=True):
    """Another host with the same repositories: a state directory and keys of its own, and the identity when it may read."""
    host = Site(site.runtime, site.directory.parent / name, keys=site.directory.parent / f"{name}-keys")
    host.repositories, host.acknowledge, host.extra = site.repositories, site.acknowledge, list(site.extra)
    for key in ("recipients", "comparison-key", "signers", *(["identity"] if identity else [])):
        shutil.copy2(site.keys / key, host.keys)
    site.runtime.own(host.keys)
    return host


def admit(site, host):
    """Let the other host write: it joins, and a host that is known admits it."""
    said = host.pgcairn("init", "--join", status=None)
    site.pgcairn("key", "enrol", re.search(r"ed25519:\S+", said.stdout + said.stderr)[0])


def place_of(host, directory="standby"):
    """Where a server of this host will be: known to its configuration before there is one."""
    top = host.runtime.make_directory(host.directory / directory, 0o755)
    cluster = Cluster(host.runtime, top)
    host.use(cluster)
    return cluster


def restore_standby(host, *args, directory="standby", **settings):
    """A standby on this host, restored from the repository; not started."""
    cluster = place_of(host, directory)
    cluster.report = host.json("restore", "--standby", "--pgdata", cluster.data, *args)
    cluster.configure(**{**QUICK, "archive_command": host.archive_command, **settings})
    return cluster


def clone_standby(host, primary, directory="standby", streams=True, **settings):
    """A standby on this host, copied from the running primary; not started."""
    cluster = place_of(host, directory)
    host.runtime.run([PG_BIN / "pg_basebackup", "-h", primary.directory, "-p", primary.port, "-U", "postgres", "-D", cluster.data,
                      "-X", "none", "-c", "fast"])
    cluster.configure(**{**QUICK, "restore_command": host.restore_command, "archive_command": host.archive_command,
                         "primary_conninfo": primary.conninfo if streams else "", **settings})
    (cluster.data / "standby.signal").touch()
    host.runtime.own(cluster.data / "standby.signal")
    return cluster


def streaming(primary):
    return primary.value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'walreceiver'") > 0


def promote(cluster):
    cluster.pg_ctl("promote", "-w")
    cluster.wait_promoted()


def timeline(cluster):
    """Of what the server writes now; pg_control hears of it with the next checkpoint."""
    return int(cluster.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"), 16)


def away(site, repository):
    top = site.repositories[repository]
    top.rename(top.with_name(f"{repository}.away"))


def back(site, repository):
    top = site.repositories[repository]
    top.with_name(f"{repository}.away").rename(top)


def knows_primary(host, conninfo):
    """Write the configuration of a standby's host with the way to its primary."""
    host.write_config(host.config_text().replace("\nconninfo = ", f"\nprimary-conninfo = {conninfo}\nconninfo = ", 1))
