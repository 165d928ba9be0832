"""A cluster's short life, of which every moment is known: what tests of recovery to a moment stand on."""

import datetime
import time

import pytest

BEFORE_BACKUP = 5
ROWS = 15
TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text NOT NULL)"
SUM = "SELECT coalesce(array_agg(id ORDER BY id), '{}'), md5(string_agg(note, ',' ORDER BY id)) FROM t"


def utc(moment):
    return moment.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def next_life(site, directory, *args):
    """Restore as told, recover, adopt: the copy, which is the cluster from here on and runs."""
    copy = site.restore(*args, "--target-action", "promote", directory=directory)
    copy.start()
    copy.wait_promoted()
    copy.stop()
    assert site.json("adopt", "--pgdata", copy.data)["timeline_complete"]
    site.use(copy)
    copy.start()
    return copy


class History:
    """A backup among rows that were committed one by one, with all that is known about each commit."""

    def __init__(self, site, **options):
        self.site = site
        self.source = source = site.cluster(**options)
        source.start()
        site.pgcairn("init")
        source.sql(TABLE)
        self.rows = {}
        self.sums = {}
        for number in range(1, BEFORE_BACKUP + 1):
            self.commit(number)
        self.backup = site.json("backup", "--full")
        for number in range(BEFORE_BACKUP + 1, ROWS + 1):
            self.commit(number)
        # A server that was recovered once keeps such a line; it must not reach the restored one.
        source.sql("ALTER SYSTEM SET recovery_target_name = 'stale'")
        source.archive_now()
        source.stop()

    def commit(self, number):
        """Commit one row; note its transaction, its commit time, and a moment, a place and a name just after it."""
        value = self.source.value
        xid = value("INSERT INTO t VALUES (%s, %s) RETURNING pg_current_xact_id()::text", number, f"row {number}")
        committed = value("SELECT pg_xact_commit_timestamp(xmin) FROM t WHERE id = %s", number)
        time.sleep(0.02)
        after = value("SELECT clock_timestamp()")
        lsn = value("SELECT pg_current_wal_insert_lsn()::text")
        value("SELECT pg_create_restore_point(%s)", f"after-{number}")
        time.sleep(0.02)
        self.rows[number] = {"xid": xid, "committed": committed, "after": after, "lsn": lsn}
        self.sums[number] = self.source.sql(SUM)[0]

    def wants(self, cluster, last):
        """The cluster holds rows 1 to last, with their contents, and nothing else."""
        assert cluster.sql(SUM)[0] == self.sums[last]

    def ends_after(self, restore, kind, last):
        """A restore to a target just after a row holds this row and no later one, paused and then promoted."""
        row = self.rows[last]
        target = {"time": utc(row["after"]), "lsn": row["lsn"], "xid": row["xid"], "name": f"after-{last}"}[kind]
        cluster = restore(f"--target-{kind}", target)
        cluster.wait_paused()
        self.wants(cluster, last)
        cluster.sql("SELECT pg_wal_replay_resume()")
        cluster.wait_promoted()
        self.wants(cluster, last)


@pytest.fixture
def restore(history, request, runtime):
    """Restore into a directory of this test and start it."""
    made = []

    def start(*args):
        made.append(history.site.restore(*args, directory=f"r{id(request)}-{len(made)}"))
        made[-1].start()
        return made[-1]

    yield start
    for cluster in made:
        runtime.clear(cluster.directory)


def marked_row(server, row):
    """Inserts a row: where WAL stands behind it, and the moment behind it. A restore point after-ROW stands there too."""
    server.sql("INSERT INTO t VALUES (%s)", row)
    lsn = server.value("SELECT pg_current_wal_insert_lsn()::text")
    time.sleep(0.02)
    moment = server.value("SELECT clock_timestamp()")
    server.sql("SELECT pg_create_restore_point(%s)", f"after-{row}")
    time.sleep(0.02)
    return lsn, moment


def commit_behind(server):
    """A record of a transaction behind the last row, so that a time behind it is reached."""
    server.sql("CREATE TABLE IF NOT EXISTS marks (id serial)")
    server.sql("INSERT INTO marks DEFAULT VALUES")
