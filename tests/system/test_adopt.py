"""A restored copy becomes the cluster: only when it has recovered, when the original is gone and when its timeline is free."""

import contextlib
import json
import os
import shutil
import time

import pytest

from harness import Site, wait_until
from test_pitr import utc

ROWS = "SELECT array_agg(id ORDER BY id) FROM t"
NOTE = "pgcairn.restore.json"


class Stage:
    """A source that is gone, and copies of it up to its third row: two that promoted, one that never ran."""

    def __init__(self, site):
        self.site = site
        self.source = source = site.cluster(wal_keep_size="64MB")  # what a copy wrote is there still when it is adopted
        source.start()
        site.pgcairn("init")
        source.sql("CREATE TABLE t (id int PRIMARY KEY)")
        source.sql("ALTER SYSTEM SET archive_mode = 'on'")
        site.json("backup", "--full")
        self.after = {}
        for row in range(1, 6):
            source.sql("INSERT INTO t VALUES (%s)", row)
            time.sleep(0.02)
            self.after[row] = source.value("SELECT clock_timestamp()")
            time.sleep(0.02)
        self.last_of_source = source.archive_now()
        source.stop()
        self.fresh = self.copy("fresh")
        self.copies = [self.copy(name) for name in ("one", "two")]
        for copy in self.copies:
            copy.start()
            copy.wait_promoted()
            copy.sql("INSERT INTO t VALUES (21)")
            copy.switch_wal()
            copy.sql("INSERT INTO t VALUES (22)")
            copy.stop()

    def copy(self, name):
        return self.site.restore("--target-time", utc(self.after[3]), "--target-action", "promote", directory=name)

    def adopt(self, pgdata, *args, **options):
        return self.site.pgcairn("adopt", "--pgdata", pgdata, *args, **options)

    @contextlib.contextmanager
    def seeing_nobody(self, pgdata=None, conninfo="host=/nowhere"):
        """A configuration that leads to no running server, or to the one that is given."""
        site = self.site
        kept = site.pgdata, site.conninfo
        site.pgdata, site.conninfo = pgdata or site.directory / "elsewhere", conninfo
        site.write_config()
        try:
            yield
        finally:
            site.pgdata, site.conninfo = kept
            site.write_config()

    def refuses(self, pgdata, *args, status=4):
        """It refuses and changes nothing; what it said."""
        auto = pgdata / "postgresql.auto.conf"
        before = auto.read_bytes() if auto.exists() else None
        said = self.adopt(pgdata, *args, status=status).stderr
        assert (auto.read_bytes() if auto.exists() else None) == before
        assert not list((pgdata / "pg_wal").rglob("*.ready")) if (pgdata / "pg_wal").exists() else True
        return said


@pytest.fixture(scope="module")
def stage(runtime):
    with runtime.place("adopt") as place:
        yield Stage(Site(runtime, place / "site"))


@pytest.fixture(scope="module")
def adopted(stage):
    """The first copy, adopted and running as the cluster: its timeline is archived."""
    first = stage.copies[0]
    stage.dry = stage.site.json("adopt", "--pgdata", first.data, "--dry-run")
    stage.untouched = json.loads((first.data / NOTE).read_text())["adopted"] is False
    # an adoption that was killed left what is not durable yet
    status = first.data / "pg_wal" / "archive_status"
    for name in [p.name for p in first.data.glob("pg_wal/00000002*")]:
        (status / f"{name}.ready").touch()
    stage.site.runtime.own(status)
    run = stage.site.synced("adopt", "--pgdata", first.data, "--json")
    stage.done, stage.synced = json.loads(run.stdout), run.stderr
    stage.site.use(first)
    first.start()
    first.sql("INSERT INTO t VALUES (23)")
    first.archive_now()
    yield first
    first.stop()


# What is refused


def test_a_directory_that_no_restore_made_is_refused(stage, runtime):
    assert "not a directory that pgcairn restored" in stage.refuses(stage.source.data)
    nothing = runtime.make_directory(stage.site.directory / "nothing")
    assert "not a directory that pgcairn restored" in stage.refuses(nothing)
    stage.adopt(stage.site.directory / "nowhere", status=4)
    stage.site.pgcairn("adopt", status=2)


def test_a_restore_that_did_not_finish_is_refused(stage, runtime):
    broken = runtime.make_directory(stage.site.directory / "broken")
    shutil.copy(stage.fresh.data / NOTE, broken)
    runtime.own(broken)
    assert "to the end" in stage.refuses(broken)


def test_a_copy_that_never_recovered_is_refused(stage):
    assert "has not ended recovery" in stage.refuses(stage.fresh.data)


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_server_that_runs_for_many_or_for_one_user_is_not_adopted(stage, sign):
    """postgres --single writes its number with a minus."""
    pid = stage.copies[1].data / "postmaster.pid"
    pid.write_text(f"{sign}{os.getpid()}\n")
    try:
        with stage.seeing_nobody():
            assert "a server runs" in stage.refuses(stage.copies[1].data)
    finally:
        pid.unlink()


@pytest.mark.slow
def test_a_copy_that_is_paused_stopped_in_recovery_or_killed_is_refused(stage, runtime):
    copy = stage.site.restore("--target-time", utc(stage.after[3]), directory="paused")
    copy.start()
    copy.wait_paused()
    assert "a server runs" in stage.refuses(copy.data)
    copy.stop()
    assert "has not ended recovery" in stage.refuses(copy.data)
    copy.start()
    copy.wait_paused()
    copy.sql("SELECT pg_promote()")
    copy.wait_promoted()
    copy.kill9()
    (copy.data / "postmaster.pid").unlink()
    assert "not shut down cleanly" in stage.refuses(copy.data)
    runtime.clear(copy.directory)


def test_a_copy_of_another_cluster_is_refused(stage):
    note = stage.fresh.data / NOTE
    text = note.read_text()
    try:
        note.write_text(text.replace('"main"', '"other"'))
        assert "cluster 'other'" in stage.refuses(stage.fresh.data, status=2)
        note.write_text("{")
        stage.refuses(stage.fresh.data, status=1)
    finally:
        note.write_text(text)


def test_a_server_that_does_not_say_which_it_is_may_be_the_original(stage):
    with stage.seeing_nobody(conninfo="host=/nowhere no_such_option=1"):
        assert "cannot be told" in stage.refuses(stage.copies[1].data)
    stage.source.start()
    try:
        with stage.seeing_nobody(conninfo=stage.source.conninfo.replace("user=postgres", "user=nobody_here")):
            assert "cannot be told" in stage.refuses(stage.copies[1].data)
    finally:
        stage.source.stop()


@pytest.mark.parametrize("known_by", ["its directory", "conninfo"])
def test_while_the_original_runs_nothing_is_adopted(stage, known_by):
    seen = {"pgdata": stage.source.data} if known_by == "its directory" else {"conninfo": stage.source.conninfo}
    stage.source.start()
    try:
        with stage.seeing_nobody(**seen):
            assert "the original still runs" in stage.refuses(stage.copies[1].data)
    finally:
        stage.source.stop()


def test_a_repository_that_cannot_be_asked_is_no_proof(stage):
    repository = stage.site.repositories["local"]
    away = repository.with_name("away")
    repository.rename(away)
    try:
        assert "--without-repository local" in stage.refuses(stage.copies[1].data, status={1, 2})
        stage.refuses(stage.copies[1].data, "--without-repository", "local", status=2)
    finally:
        away.rename(repository)


def test_a_timeline_that_another_server_has_archived_is_refused(stage, adopted):
    """Two copies that promoted take the same number: the second one must not archive, also when the first cannot be seen."""
    with stage.seeing_nobody():
        said = stage.refuses(stage.copies[1].data)
    assert "timeline 2 is taken" in said and "restore again" in said


# What it does


def test_a_dry_run_says_the_same_and_changes_nothing(stage, adopted):
    assert stage.untouched
    assert stage.dry == {**stage.done, "dry_run": True}
    assert "/pg_wal/archive_status>" in stage.synced
    assert stage.done["timeline"] == 2 and stage.done["timeline_complete"] and stage.done["segments_to_archive"] >= 1


def test_an_adopted_copy_archives_its_timeline_from_the_fork_on(stage, adopted):
    assert adopted.value("SHOW archive_mode") == "on"
    assert adopted.value("SHOW max_logical_replication_workers") == "4"
    assert adopted.value("SHOW restore_command") == ""
    assert stage.site.objects("clusters/main/wal/*/00000002.history")
    windows = {w["timeline"]: w for w in stage.site.info()["windows"]}
    assert stage.site.info()["gaps"] == [] and 2 in windows
    restored = stage.site.restore("--target-timeline", "2", directory="again")
    restored.start()
    restored.wait_promoted()
    assert restored.value(ROWS) == [1, 2, 3, 21, 22, 23]
    assert restored.value("SELECT timeline_id FROM pg_control_checkpoint()") >= 2
    stage.site.runtime.clear(restored.directory)


def test_adopting_twice_changes_nothing(stage, adopted):
    assert stage.site.json("adopt", "--pgdata", adopted.data)["already_adopted"] is True
    assert "adopted already" in stage.adopt(adopted.data).stdout


@pytest.mark.slow
def test_a_copy_whose_wal_is_gone_says_so_and_is_restorable_from_its_next_backup(site):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE t AS SELECT 1 AS id")
    site.json("backup", "--full")
    source.archive_now()
    source.stop()
    copy = site.restore()
    copy.start()
    copy.wait_promoted()
    for _ in range(3):
        copy.switch_wal()
        copy.sql("CHECKPOINT")
    copy.stop()
    dry = site.json("adopt", "--pgdata", copy.data, "--dry-run")
    assert dry["timeline_complete"] is False
    said = site.pgcairn("adopt", "--pgdata", copy.data).stdout
    assert "is gone" in said and "pgcairn backup" in said and f"pgdata = {copy.data}" in said
    site.use(copy)
    copy.start()
    copy.archive_now()
    site.refuse_restore("--target-timeline", "2")
    site.json("backup", "--full")
    copy.sql("INSERT INTO t VALUES (2)")
    copy.archive_now()
    copy.stop()
    restored = site.restore(directory="again")
    restored.start()
    restored.wait_promoted()
    assert restored.value(ROWS) == [1, 2]


# Two timelines


def test_a_time_on_two_timelines_follows_the_newest_and_names_the_other(stage, adopted):
    """The fourth row was written on timeline 1 behind the place where timeline 2 began."""
    args = ("restore", "--pgdata", stage.site.directory / "dry", "--dry-run", "--target-time", utc(stage.after[4]))
    plan = stage.site.json(*args)
    assert plan["timeline"] == 2
    assert [other["timeline"] for other in plan["also"]] == [1]
    said = stage.site.pgcairn(*args).stdout
    assert "also lies on timeline 1" in said and "--target-timeline 1" in said
    chosen = stage.site.json(*args, "--target-timeline", "1")
    assert chosen["timeline"] == 1 and chosen["also"] == []
    assert chosen["stop_lsn"] == plan["also"][0]["stop_lsn"] and chosen["stop_time"] == plan["also"][0]["stop_time"]
    assert "also lies on timeline 1" in stage.site.pgcairn("find", "--time", utc(stage.after[4])).stdout


def test_a_time_before_the_fork_lies_on_one_timeline(stage, adopted):
    for row in (1, 2):
        plan = stage.site.json("restore", "--pgdata", stage.site.directory / "dry", "--dry-run", "--target-time",
                               utc(stage.after[row]))
        assert plan["also"] == []


@pytest.mark.slow
def test_a_copy_of_the_same_backup_takes_the_next_timeline(stage, adopted):
    copy = stage.copy("next")
    copy.start()
    copy.wait_promoted()
    assert int(copy.value("SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], 16) > 2
    wait_until(lambda: copy.value(ROWS) == [1, 2, 3], "its rows")
    stage.site.runtime.clear(copy.directory)


# Last, since it leaves a third timeline in the repository


@pytest.mark.slow
def test_an_adoption_that_was_killed_anywhere_is_finished_by_the_next_one(stage, runtime):
    """At every name that it publishes or removes; until then the copy stays a copy, or is the cluster."""
    copy = stage.copy("killed")
    copy.start()
    copy.wait_promoted()
    copy.stop()
    calls = "link,linkat,rename,renameat,renameat2,unlink,unlinkat"
    with stage.seeing_nobody():
        for when in range(1, 50):
            command = stage.site.command("pgcairn", "adopt", "--pgdata", copy.data)
            killed = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e",
                      f"inject={calls}:signal=KILL:when={when}"]
            done = runtime.run([*killed, *command], status=None, env={"ASAN_OPTIONS": "detect_leaks=0"})
            auto = (copy.data / "postgresql.auto.conf").read_text()
            adopted = json.loads((copy.data / NOTE).read_text())["adopted"]
            # the history's .ready comes first: a server that archives again archives it
            assert "archive_mode = 'off'" in auto or list((copy.data / "pg_wal").rglob("*.history.ready"))
            assert not adopted or "archive_mode = 'off'" not in auto
            if done.returncode == 0:
                break
        assert 2 < when < 49, "no kill was in the way"
        assert stage.site.json("adopt", "--pgdata", copy.data)["already_adopted"] is True
    copy.start()
    assert copy.value("SHOW archive_mode") == "on"
    copy.stop()
    runtime.clear(copy.directory)
