"""Where PostgreSQL stops: what a dry run names is where the restored server then really stands, for every kind of target.

One cluster whose clock is set forward and back between its commits, with transactions that were prepared, rolled back and never
ended, and with a restore point whose name was given twice.
"""

import contextlib
import datetime
import pathlib

import psycopg2
import pytest

from harness import PG_BIN, Site
from test_pitr import utc

FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
ROWS = "SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM t"
MICROSECOND = datetime.timedelta(microseconds=1)


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Past:
    """The cluster; ends: every end of a transaction in the order of WAL, as (row or None, xid, time or None)."""

    def __init__(self, site):
        self.site = site
        self.clock = site.directory / "clock"
        self.set_clock(0)
        # the sanitizers of what is tested want to be loaded first
        self.source = source = site.cluster(archive_command=f"env -u LD_PRELOAD {site.archive_command}",
                                            max_prepared_transactions="5")
        self.start()
        site.pgcairn("init")
        source.sql("CREATE TABLE t (id int PRIMARY KEY)")
        self.ends = []
        self.xids = {}
        for row in (1, 2):
            self.commit(row)
        self.backup = site.json("backup", "--full")
        for row, offset in ((3, 0), (4, 3600), (5, 3600), (6, 0), (7, -1800), (8, 0)):
            self.set_clock(offset)
            self.commit(row)
        self.set_clock(0)
        self.roll_back("aborted")
        self.prepare(9)
        self.commit(10)
        self.end_prepared("COMMIT", 9)
        self.prepare(11)
        self.end_prepared("ROLLBACK", 11)
        source.sql("SELECT pg_create_restore_point('twice')")
        self.commit(12)
        source.sql("SELECT pg_create_restore_point('twice')")
        self.commit_nested(13)
        self.never_ended()
        self.set_clock(7200)
        self.commit(14)
        self.set_clock(0)
        self.commit(15)
        source.archive_now()
        source.stop()

    def start(self):
        env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_NO_CACHE": "1",
               "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        options = f"-p {self.source.port} -k {self.source.directory}"
        self.site.runtime.run([PG_BIN / "pg_ctl", "-D", self.source.data, "start", "-w", "-l", self.source.log, "-o", options],
                              env=env)

    def set_clock(self, offset):
        self.clock.write_text(f"{offset:+d}\n")
        self.site.runtime.own(self.clock)

    def commit(self, row):
        xid = self.source.value("INSERT INTO t VALUES (%s) RETURNING pg_current_xact_id()::text", row)
        when = self.source.value("SELECT pg_xact_commit_timestamp(xmin) FROM t WHERE id = %s", row)
        self.ends.append((row, xid, when))
        self.xids[row] = xid

    def roll_back(self, name):
        with contextlib.closing(self.source.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; INSERT INTO t VALUES (100); SELECT pg_current_xact_id()::text")
            self.xids[name] = cursor.fetchone()[0]
            cursor.execute("ROLLBACK")
        self.ends.append((None, self.xids[name], None))

    def commit_nested(self, row):
        """The row is written by a transaction inside of another, whose number no record of an end has for its own."""
        with contextlib.closing(self.source.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT a")
            cursor.execute("INSERT INTO t VALUES (%s)", (row,))
            cursor.execute("SELECT xmin::text FROM t WHERE id = %s", (row,))
            self.xids["inner"] = cursor.fetchone()[0]
            cursor.execute("RELEASE a; COMMIT")
        self.ends.append((row, None, self.source.value("SELECT pg_xact_commit_timestamp(xmin) FROM t WHERE id = %s", row)))

    def prepare(self, row):
        with contextlib.closing(self.source.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; INSERT INTO t VALUES (%s); SELECT pg_current_xact_id()::text", (row,))
            self.xids[row] = cursor.fetchone()[0]
            cursor.execute(f"PREPARE TRANSACTION 'p{row}'")

    def end_prepared(self, how, row):
        self.source.sql(f"{how} PREPARED 'p{row}'")
        when = self.source.value("SELECT pg_xact_commit_timestamp(xmin) FROM t WHERE id = %s", row) if how == "COMMIT" else None
        self.ends.append((row if how == "COMMIT" else None, self.xids[row], when))

    def never_ended(self):
        """A transaction whose server crashes, so that no record says how it ended."""
        connection = self.source.connect()
        with connection.cursor() as cursor:
            cursor.execute("BEGIN; INSERT INTO t VALUES (200); SELECT pg_current_xact_id()::text")
            self.xids["never ended"] = cursor.fetchone()[0]
        self.source.sql("INSERT INTO t VALUES (50)")  # its commit brings what came before it to the disk
        self.ends.append((50, None, None))
        self.source.kill9()
        with contextlib.suppress(psycopg2.Error):
            connection.close()
        self.start()

    def when(self, row):
        return next(when for r, _, when in self.ends if r == row)

    def rows_before(self, stop):
        """The rows that a server holds which stopped before the first end of a transaction of which stop(xid, when) is true."""
        held = []
        for row, xid, when in self.ends:
            if stop(xid, when):
                return sorted(held)
            if row:
                held.append(row)
        raise AssertionError("no transaction ends it")

    def rows_to(self, row):
        """The rows up to and with this one, in the order in which they were committed."""
        order = [r for r, _, _ in self.ends if r]
        return sorted(order[:order.index(row) + 1])


@pytest.fixture(scope="module")
def past(runtime):
    assert FAKETIME.exists(), "sh examples/dependencies.sh test"
    with runtime.place("targets") as place:
        yield Past(Site(runtime, place / "site"))


def stops_as_planned(past, runtime, *args):
    """Dry run, restore, start: the server pauses at the record that was named. Its rows, and the plan."""
    site = past.site
    plan = site.json("restore", "--pgdata", site.directory / "planned", "--dry-run", *args)
    said = site.pgcairn("restore", "--pgdata", site.directory / "planned", "--dry-run", *args).stdout
    assert plan["stop_lsn"] in said and plan["last_segment"] in said
    assert ("before the record at" if plan["stop_before"] else "behind the record at") in said
    cluster = site.restore(*args, directory=f"r{abs(hash(args))}")
    try:
        cluster.start()
        cluster.wait_paused()
        replayed = lsn(cluster.value("SELECT pg_last_wal_replay_lsn()::text"))
        last_end = cluster.value("SELECT pg_last_xact_replay_timestamp()")
        if plan["stop_before"]:
            # only a page's header can lie between the end of one record and the next
            assert replayed <= lsn(plan["stop_lsn"]) <= replayed + 40
        else:
            assert replayed == lsn(plan["stop_end_lsn"])
        if "stop_time" in plan:
            assert (utc(last_end) == plan["stop_time"]) == (not plan["stop_before"] and "--target-xid" in args)
        return cluster.value(ROWS), plan, cluster.log_text()
    finally:
        runtime.clear(cluster.directory)


# The clock


@pytest.mark.parametrize("row, exclusive, stops_before, behind", [
    pytest.param(3, False, 4, True, id="the last before the jump", marks=pytest.mark.slow),
    pytest.param(6, False, 4, True, id="one behind the jump, which recovery does not reach"),
    pytest.param(5, False, 14, True, id="one in the future of others"),
    pytest.param(5, True, 5, True, id="its very moment, left out", marks=pytest.mark.slow),
    pytest.param(14, True, 14, True, id="the very last moment, left out", marks=pytest.mark.slow),
    pytest.param(4, True, 4, True, id="the jump itself, left out", marks=pytest.mark.slow),
    pytest.param(8, True, 4, True, id="a later one, left out", marks=pytest.mark.slow),
])
def test_a_time_ends_at_the_first_commit_beyond_it_whatever_the_clock_did(past, runtime, row, exclusive, stops_before, behind):
    moment = past.when(row)
    beyond = (lambda _, when: when and when >= moment) if exclusive else (lambda _, when: when and when > moment)
    wanted = past.rows_before(beyond)
    args = ["--target-time", utc(moment)] + (["--target-exclusive"] if exclusive else [])
    held, plan, log = stops_as_planned(past, runtime, *args)
    assert held == wanted
    assert plan["stop_time"] == utc(past.when(stops_before))
    assert f"recovery stopping before commit of transaction {past.xids[stops_before]}" in log
    assert ("commits_behind_segment" in plan) == behind


def test_the_plan_names_the_segment_with_commits_that_a_time_does_not_reach(past):
    args = ("restore", "--pgdata", past.site.directory / "dry", "--dry-run", "--target-time", utc(past.when(6)))
    plan = past.site.json(*args)
    said = past.site.pgcairn(*args).stdout
    assert "not in order" in said and plan["commits_behind_segment"] in said and "--target-lsn" in said


def test_a_time_that_no_commit_is_beyond_is_refused_with_the_newest_that_there_is(past):
    said = past.site.refuse_restore("--target-time", utc(past.when(14)))
    assert utc(past.when(14)) in said and "no commit behind it" in said
    assert utc(past.when(14)) in past.site.refuse_restore("--target-time", utc(past.when(14) + MICROSECOND))
    past.site.json("restore", "--pgdata", past.site.directory / "dry", "--dry-run", "--target-time",
                   utc(past.when(14) - MICROSECOND))


def test_a_time_before_the_backup_began_is_refused_although_the_clock_was_there_again(past):
    assert "began" in past.site.refuse_restore("--target-time", utc(past.when(7)))


# Transactions


@pytest.mark.parametrize("which, exclusive", [
    (8, True), (9, False),
    pytest.param("aborted", False, marks=pytest.mark.slow),
    pytest.param(8, False, marks=pytest.mark.slow),
    pytest.param(9, True, marks=pytest.mark.slow),
    pytest.param(11, False, marks=pytest.mark.slow),
    pytest.param("aborted", True, marks=pytest.mark.slow),
    pytest.param(11, True, marks=pytest.mark.slow),
    pytest.param(15, True, marks=pytest.mark.slow),
    pytest.param(15, False, marks=pytest.mark.slow),
])
def test_a_transaction_ends_recovery_with_its_record_or_before_it(past, runtime, which, exclusive):
    """Also one that was prepared, by the number under which it wrote, and one that was rolled back."""
    xid = past.xids[which]
    wanted = past.rows_before(lambda x, _: x == xid)
    if which in (8, 9, 15) and not exclusive:
        wanted = sorted([*wanted, which])
    args = ["--target-xid", xid] + (["--target-exclusive"] if exclusive else [])
    held, plan, _ = stops_as_planned(past, runtime, *args)
    assert held == wanted
    assert plan["stop_before"] == exclusive


@pytest.mark.parametrize("which", ["never ended", "inner"])
def test_a_transaction_without_an_end_of_its_own_is_refused(past, which):
    assert "is not in the WAL" in past.site.refuse_restore("--target-xid", past.xids[which])


# Places


@pytest.mark.parametrize("exclusive", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_place_between_records_stops_at_the_next_one(past, runtime, exclusive):
    plan = past.site.json("find", "--xid", past.xids[8])
    options = ["--target-exclusive"] if exclusive else []
    exact, at_it, _ = stops_as_planned(past, runtime, "--target-lsn", plan["stop_lsn"], *options)
    assert at_it["stop_lsn"] == plan["stop_lsn"]
    assert exact == past.rows_to(7 if exclusive else 8)
    high, low = plan["stop_lsn"].split("/")
    held, later, _ = stops_as_planned(past, runtime, "--target-lsn", f"{high}/{int(low, 16) + 1:X}", *options)
    assert lsn(later["stop_lsn"]) >= lsn(plan["stop_end_lsn"])
    assert held == past.rows_to(8)


# Names


@pytest.mark.slow
def test_a_name_that_was_given_before_the_newest_backup_too_is_reached_from_the_older_one(site, runtime):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE t (id int)")
    older = site.json("backup", "--full")["label"]
    for row in (1, 2):
        source.sql("INSERT INTO t VALUES (%s)", row)
        source.sql("SELECT pg_create_restore_point('mark')")
        newer = site.json("backup", "--full")["label"] if row == 1 else newer
    source.archive_now()
    source.stop()
    plan = site.json("find", "--name", "mark")
    assert plan["label"] == newer and "name_again_lsn" not in plan
    assert lsn(plan["name_before_lsn"]) < lsn(plan["stop_lsn"])
    assert plan["name_before_lsn"] in site.pgcairn("find", "--name", "mark").stdout
    for label, held in ((None, [1, 2]), (older, [1])):
        cluster = site.restore("--target-name", "mark", *(("--backup", label) if label else ()), directory=f"mark-{len(held)}")
        cluster.start()
        cluster.wait_paused()
        assert cluster.value(ROWS) == held
        runtime.clear(cluster.directory)


def test_a_name_that_was_given_twice_stops_at_the_first_and_says_so(past, runtime):
    held, plan, log = stops_as_planned(past, runtime, "--target-name", "twice")
    assert held == sorted(past.rows_to(12)[:-1])
    assert 'recovery stopping at restore point "twice"' in log
    assert lsn(plan["name_again_lsn"]) > lsn(plan["stop_lsn"])
    said = past.site.pgcairn("find", "--name", "twice").stdout
    assert plan["name_again_lsn"] in said
