"""Recoveries of recoveries: every moment of every timeline stays reachable, and the counter table says which one it is.

    1 --1--2--3--4--5            the original; its backup stands before row 1
          |  `----21--22--23     timeline 2, from behind row 3; a backup behind row 21
          |           `--31--32  timeline 3, from behind row 22; a backup behind row 31
          `--------41--42        timeline 4, from behind row 2, made along the path to timeline 3: its history goes backwards
"""

import pytest

from harness import Site
from history import commit_behind, marked_row, next_life
from test_pitr import utc

pytestmark = pytest.mark.slow

ROWS = "SELECT array_agg(id ORDER BY id) FROM t"
HELD = {
    1: [1], 2: [1, 2], 3: [1, 2, 3], 4: [1, 2, 3, 4], 5: [1, 2, 3, 4, 5],
    21: [1, 2, 3, 21], 22: [1, 2, 3, 21, 22], 23: [1, 2, 3, 21, 22, 23],
    31: [1, 2, 3, 21, 22, 31], 32: [1, 2, 3, 21, 22, 31, 32],
    41: [1, 2, 41], 42: [1, 2, 41, 42],
}


class Saga:
    def __init__(self, site):
        self.site = site
        self.after, self.lsn = {}, {}
        self.server = site.cluster(wal_keep_size="64MB")
        self.server.start()
        site.pgcairn("init")
        self.server.sql("CREATE TABLE t (id int PRIMARY KEY)")
        self.labels = {1: site.json("backup", "--full")["label"]}
        self.commit(1, 2, 3, 4, 5)
        self.leave()
        self.recover("--target-time", utc(self.after[3]))
        self.commit(21)
        self.labels[2] = site.json("backup", "--full")["label"]
        self.commit(22, 23)
        self.leave()
        self.recover("--target-name", "after-22")
        self.commit(31)
        self.labels[3] = site.json("backup", "--full")["label"]
        self.commit(32)
        self.leave()
        # without --target-timeline: along the newest path, to a place before its first fork
        self.recover("--target-lsn", self.lsn[2])
        self.commit(41, 42)
        self.leave()

    def commit(self, *rows):
        for row in rows:
            self.lsn[row], self.after[row] = marked_row(self.server, row)
        commit_behind(self.server)

    def leave(self):
        self.server.archive_now()
        self.server.stop()

    def recover(self, *args):
        self.server = next_life(self.site, f"life-{len(self.site.runtime.clusters)}", *args)


@pytest.fixture(scope="module")
def saga(runtime):
    with runtime.place("saga") as place:
        yield Saga(Site(runtime, place / "site"))


@pytest.fixture
def recovers(saga, runtime):
    """Restore as told and count; also where the plan said that it stops."""
    made = []

    def run(*args):
        made.append(saga.site.restore(*args, directory=f"count-{len(made)}-{abs(hash(args))}"))
        made[-1].start()
        if any(a.startswith("--target-") and a != "--target-timeline" for a in args):
            made[-1].wait_paused()
        else:
            made[-1].wait_promoted()
        return made[-1].value(ROWS)

    yield run
    for cluster in made:
        runtime.clear(cluster.directory)


def test_the_histories_are_what_the_picture_says(saga):
    histories = {p.name: saga.site.fetch(p.name, saga.site.directory / p.name) and (saga.site.directory / p.name).read_text()
                 for p in saga.site.objects("clusters/main/wal/*/*.history")}
    assert sorted(histories) == [f"{t:08X}.history" for t in (2, 3, 4)]
    forks = [line.split("\t")[:2] for line in histories["00000004.history"].splitlines() if line]
    numbers = [int(place.split("/")[1], 16) for _, place in forks]
    assert numbers != sorted(numbers), f"the switch points do not go backwards: {forks}"
    assert saga.site.info()["gaps"] == []


@pytest.mark.parametrize("timeline, row", [
    (1, 2), (1, 4), (2, 3), (2, 21), (2, 22), (3, 1), (3, 21), (3, 31), (4, 1), (4, 41),
])
@pytest.mark.parametrize("kind", ["time", "name", "lsn"])
def test_each_moment_of_each_timeline_is_reached(saga, recovers, timeline, row, kind):
    target = {"time": utc(saga.after[row]), "name": f"after-{row}", "lsn": saga.lsn[row]}[kind]
    assert recovers(f"--target-{kind}", target, "--target-timeline", str(timeline)) == HELD[row]


@pytest.mark.parametrize("timeline, row", [(1, 5), (2, 23), (3, 32), (4, 42)])
def test_a_timeline_is_followed_to_its_end(saga, recovers, timeline, row):
    assert recovers("--target-timeline", str(timeline)) == HELD[row]


def test_latest_is_the_end_of_the_newest_timeline(saga, recovers):
    assert recovers("--target-timeline", "latest") == HELD[42]
    assert saga.site.json("restore", "--pgdata", saga.site.directory / "dry", "--dry-run")["label"] == saga.labels[1]


def test_the_nearest_backup_on_the_path_is_taken(saga):
    for timeline, row, label in ((2, 22, 2), (3, 32, 3), (3, 22, 2), (3, 21, 1), (4, 41, 1), (1, 4, 1)):
        plan = saga.site.json("restore", "--pgdata", saga.site.directory / "dry", "--dry-run", "--target-timeline",
                              str(timeline), "--target-name", f"after-{row}")
        assert plan["label"] == saga.labels[label], f"row {row} on timeline {timeline}"


def test_a_backup_that_is_not_on_the_path_is_refused(saga):
    """Timeline 4 left before the backup of timeline 2 ended: following it would run over its end."""
    for timeline, label in ((4, 2), (4, 3), (1, 2), (2, 3)):
        said = saga.site.refuse_restore("--backup", saga.labels[label], "--target-timeline", str(timeline))
        assert "no backup lies on the path" in said


def test_latest_from_a_backup_follows_the_newest_timeline_that_did_not_fork_before_its_end(saga, recovers):
    plan = saga.site.json("restore", "--pgdata", saga.site.directory / "dry", "--dry-run", "--backup", saga.labels[2])
    assert plan["timeline"] == 3
    assert recovers("--backup", saga.labels[2]) == HELD[32]


def test_a_moment_on_several_timelines_names_them_all(saga):
    def also(row):
        plan = saga.site.json("restore", "--pgdata", saga.site.directory / "dry", "--dry-run", "--target-time",
                              utc(saga.after[row]))
        assert plan["timeline"] == 4
        return sorted(other["timeline"] for other in plan["also"])

    assert also(1) == []
    assert also(4) == [1, 2]  # on 2 it is the moment of its fork
    assert also(22) == [2, 3]
    assert also(31) == [3]


def test_a_timeline_that_never_was_is_refused(saga):
    assert "no backup lies on the path to timeline 9" in saga.site.refuse_restore("--target-timeline", "9")
