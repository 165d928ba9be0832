"""Indexes over WAL, whole, damaged, foreign, forged and outlived by their segments: no answer changes, and no recovery ends early.

    1 --1--2--3--4--5--6     the original; a segment for each row, a backup before row 1, and other content for one of its segments
             `----21--22     timeline 2, from behind row 3
                     ...31   the same, after a pg_resetwal far ahead: a hole, and every row of segments before it is closed
"""

import json
import re
import shutil

import pytest

from harness import PG_BIN, Site, flip_bit, wait_until
from hatch import load
from history import commit_behind, marked_row, next_life, utc
from objects import Frame, as_json, key_pair, write_object
from reports import twin_segment

ROWS = "SELECT array_agg(id ORDER BY id) FROM t"
AHEAD = "000000020000000000000900"  # two rows of 1,024 segments behind row 0
HISTORY = "clusters/main"

hatch = load()


class Past:
    def __init__(self, site):
        self.site = site
        self.after, self.lsn, self.segment = {}, {}, {}
        self.server = site.cluster()
        self.server.start()
        site.pgcairn("init")
        self.server.sql("CREATE TABLE t (id int PRIMARY KEY)")
        self.label = site.json("backup", "--full")["label"]
        for row in range(1, 7):
            self.commit(row)
        self.server.stop()
        theirs = twin_segment(site, site.runtime, site.directory)
        site.archive(theirs, status=4)
        self.server = next_life(site, "second-life", "--target-lsn", self.lsn[3])
        for row in (21, 22):
            self.commit(row)
        self.server.stop()
        site.runtime.run([PG_BIN / "pg_resetwal", "-D", self.server.data, "-l", AHEAD])
        self.server.start()
        self.label_ahead = site.json("backup", "--full")["label"]  # and it writes the indexes
        self.commit(31)
        self.server.stop()
        self.questions = [
            ["info"],
            *(["find", "--time", utc(self.after[row]), "--timeline", timeline] for row, timeline in ((2, "1"), (5, "1"), (22, "2"))),
            *(["find", "--lsn", self.lsn[row], "--timeline", timeline] for row, timeline in ((4, "1"), (21, "2"), (31, "2"))),
            ["find", "--name", "after-4", "--timeline", "1"],
            *(self.dry_run(*args) for args in (
                ["--target-timeline", "1", "--backup", self.label], ["--backup", self.label], [],
                ["--target-time", utc(self.after[22]), "--target-timeline", "2"])),
        ]
        self.kept = site.directory / "kept"
        self.keep()
        self.remove_indexes()
        self.without = self.answers()
        self.put_back()

    def commit(self, row):
        self.lsn[row], self.after[row] = marked_row(self.server, row)
        commit_behind(self.server)
        self.segment[row] = self.server.archive_now()

    def dry_run(self, *args):
        return ["restore", "--pgdata", self.site.directory / "planned", "--dry-run", *args]

    def answers(self):
        told = {}
        for question in self.questions:
            done = self.site.pgcairn(*question, "--json", status=None)
            told[" ".join(map(str, question))] = (done.returncode, lasting(json.loads(done.stdout or "null")),
                                                  re.sub(r"(?m)^[-0-9]+T[0-9:.]+Z ", "", done.stderr))
        return told

    def parts(self):
        """What tests spoil, in each repository, and where it is kept as it was."""
        for name, repository in self.site.repositories.items():
            for part in ("index", "wal"):
                yield repository / HISTORY / part, self.kept / name / part

    def keep(self):
        for part, kept in self.parts():
            kept.parent.mkdir(parents=True, exist_ok=True)
            self.site.runtime.run(["cp", "-a", part, self.site.runtime.make_directory(kept)])

    def put_back(self):
        for part, kept in self.parts():
            shutil.rmtree(part, ignore_errors=True)
            self.site.runtime.run(["cp", "-a", kept / part.name, part])

    def remove_indexes(self):
        for repository in self.site.repositories.values():
            shutil.rmtree(repository / HISTORY / "index", ignore_errors=True)

    def indexes(self, timeline="*", repository=None):
        """Of one repository, or of both."""
        names = [repository] if repository else self.site.repositories
        return [p for name in names for p in self.site.objects(f"{HISTORY}/index/*/*/{timeline}/*", name)]

    def verify(self, status):
        """What it found and what it noted: object and kind."""
        told = self.site.json("verify", status=status)
        return [{(f["object"], f["kind"]) for f in told[which]} for which in ("findings", "notes")]

    def key(self):
        """What this host signs with."""
        return key_pair(hatch.keys_in_file(str(self.site.directory / "state/signing-key"), "signing-ed25519")[0])

    def forge(self, path, signer, change=lambda clear: None, change_row=lambda number, row: None):
        """The index again, saying something else, and signed."""
        index = hatch.Object(hatch.Repository(str(path.parents[6])), f"{HISTORY}/", relative(path))
        rows = [json.loads(line) for line in b"".join(index.contents()).splitlines()]
        change(index.clear)
        for number, row in enumerate(rows):
            change_row(number, row)
        text = b"".join(as_json(row) + b"\n" for row in rows)
        write_object(path, index.name, index.kind, index.clear, [Frame(text)], signer=signer, cluster=index.cluster_id)
        self.site.runtime.own(path)


def lasting(answer):
    """Without what another process may change meanwhile: the space of the disk."""
    for repository in (answer or {}).get("repositories", []):
        if isinstance(repository, dict):
            repository.pop("free", None)
    return answer


def relative(path):
    return "index/" + str(path).split("/index/", 1)[1]


@pytest.fixture(scope="module")
def made(runtime):
    with runtime.place("index") as place:
        yield Past(Site(runtime, place / "site", repositories=("near", "far")))


@pytest.fixture
def past(made):
    yield made
    made.put_back()


def test_an_index_changes_no_answer(past):
    assert len(past.indexes("00000001")) == len(past.indexes("00000002")) == 2  # one in each repository
    assert past.answers() == past.without
    _, notes = past.verify(3)  # the hole and the conflict
    assert not [n for n in notes if "index" in n]


def truncate(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)


def keep_only_first(paths):
    for path in paths[1:]:
        path.unlink()


# What is wrong with an index that nobody can have signed


@pytest.mark.parametrize("damage", [
    pytest.param(lambda path: flip_bit(path, 30), id="a bit of its header"),
    pytest.param(lambda path: flip_bit(path, path.stat().st_size // 2), id="a bit in its middle"),
    pytest.param(lambda path: flip_bit(path, -100), id="a bit of its signature"),
    pytest.param(lambda path: flip_bit(path, -20), id="a bit of its end", marks=pytest.mark.slow),
    pytest.param(lambda path: truncate(path, path.stat().st_size - 1), id="a byte less", marks=pytest.mark.slow),
    pytest.param(lambda path: truncate(path, path.stat().st_size // 2), id="half of it"),
    pytest.param(lambda path: truncate(path, 0), id="nothing of it", marks=pytest.mark.slow),
])
def test_a_damaged_index_changes_no_answer_and_verify_names_it(past, damage):
    for path in past.indexes():
        damage(path)
    assert past.answers() == past.without
    found, _ = past.verify(3)
    assert {(relative(path), "damaged") for path in past.indexes()} <= found


def test_an_index_of_a_stranger_changes_no_answer_and_verify_names_it(past):
    for path in past.indexes():
        past.forge(path, key_pair(7), lambda clear: clear.update(commits=0))
    assert past.answers() == past.without
    found, _ = past.verify(3)
    assert {(relative(path), "trust") for path in past.indexes()} <= found


def test_an_index_of_another_timeline_changes_no_answer_and_verify_names_it(past):
    """A true copy under another name."""
    one, two = past.indexes("00000001", "near") + past.indexes("00000002", "near")
    two.write_bytes(one.read_bytes())
    assert past.answers() == past.without
    assert (relative(two), "damaged") in past.verify(3)[0]


def test_an_index_of_another_repository_changes_no_answer_and_verify_says_whose_it_is(past):
    """The other repository's, under its own name and under the name that one of this repository would have."""
    near, far = (past.indexes("00000001", name)[0] for name in ("near", "far"))
    stray = near.parents[3] / relative(far).split("/", 1)[1]
    past.site.runtime.run(["mkdir", "-p", stray.parent])
    past.site.runtime.run(["cp", "-a", far, stray])
    near.write_bytes(far.read_bytes())
    assert past.answers() == past.without
    found, notes = past.verify(3)
    assert (relative(near), "damaged") in found and (relative(far), "index") in notes


def test_some_indexes_of_some_repositories_change_no_answer(past):
    past.indexes("00000001", "near")[0].unlink()
    past.indexes("00000002", "far")[0].unlink()
    assert past.answers() == past.without


# What lies behind an index


@pytest.mark.parametrize("repositories", [["near"], ["near", "far"]], ids=["in one repository", "in both"])
@pytest.mark.parametrize("row", [pytest.param(2, marks=pytest.mark.slow), 5, pytest.param(22, marks=pytest.mark.slow)])
def test_a_segment_that_is_gone_is_gone_with_an_index_too(past, row, repositories):
    for name in repositories:
        past.site.segment_object(past.segment[row], name).unlink()
    told = past.answers()
    assert told != past.without  # also where one repository still has it: the answers say who has what
    _, notes = past.verify(3)
    assert {(relative(p), "index") for name in repositories for p in past.indexes(past.segment[row][:8], name)} <= notes
    past.remove_indexes()
    assert told == past.answers()


def test_where_wal_is_gone_altogether_an_index_makes_none(past):
    for repository in past.site.repositories.values():
        shutil.rmtree(repository / HISTORY / "wal")
    told = past.answers()
    past.remove_indexes()
    assert told == past.answers()


# What an enrolled host can sign that is not true


def without_commits(clear):
    clear.update(commits=0)
    for member in ("first_time", "last_time", "min_time", "max_time", "min_xid", "max_xid"):
        clear.pop(member, None)


def a_day_before(clear):
    for member in ("first_time", "last_time", "min_time", "max_time"):
        if member in clear:
            clear[member] -= 86400 * 10**6


def ends_at_its_beginning(clear):
    clear.update(end=clear["start"], last_record=clear["start"], last_seen=clear["start"])


def without_points(clear):
    clear.update(restore_points=0)
    clear.pop("points", None)


def points_elsewhere(clear):
    if "points" in clear:
        clear.update(points=[0])


LIES = {
    "no commits": (without_commits, True),
    "commits of another day": (a_day_before, True),
    "no restore points": (without_points, True),
    "restore points in another segment": (points_elsewhere, False),
    "a record over every edge": (lambda clear: clear.update(spills=list(range(clear["segments"]))), False),
    "that it holds next to nothing": (ends_at_its_beginning, False),
    "numbers of other transactions": (lambda clear: clear.update(min_xid=5, max_xid=6), False),
    "no commits, as a whole": (without_commits, False),
    "a record that goes on behind it": (lambda clear: clear.update(
        tail={"start": clear["end"], "total": 5000000, "length": 100, "crc": 1, "header": "00" * 24}), False),
    "that it begins amid a record": (lambda clear: clear.update(head={"expected": 99, "length": 99, "crc0": 7}), False),
}


@pytest.fixture(params=[pytest.param(lie, marks=() if lie == "no commits" else pytest.mark.slow)
                        for lie in LIES])
def lied(past, request):
    """Every index says it: its clear part, and where that is told of single segments its rows too."""
    change, rows_too = LIES[request.param]
    for path in past.indexes():
        past.forge(path, past.key(), change, lambda _, row: change(row["clear"]) if rows_too else None)
    return past


def test_an_index_that_lies_keeps_no_target_from_being_found_and_verify_names_it(lied):
    told = lied.answers()
    for question, (status, answer, _) in lied.without.items():
        assert told[question][0] == status, question
        if question.startswith("find") or "--target-time" in question:
            assert told[question][1] == answer
    for question in (q for q in told if told[q][2] != lied.without[q][2]):
        assert "an index over WAL contradicts its segments" in told[question][2]
    found, _ = lied.verify(3)
    assert {(relative(path), "damaged") for path in lied.indexes()} <= found


def recovered(past, runtime, *args):
    """The rows that a server really holds that was restored so."""
    copy = past.site.restore("--backup", past.label, *args, directory=f"r{abs(hash(args))}")
    try:
        copy.start()
        if any(a.startswith("--target-") and a != "--target-timeline" for a in args):
            copy.wait_paused()
        else:
            copy.wait_promoted()
        return copy.value(ROWS)
    finally:
        runtime.clear(copy.directory)


def test_with_an_index_that_lies_a_server_recovers_to_the_moment_that_was_asked_for(lied, runtime):
    assert recovered(lied, runtime, "--target-time", utc(lied.after[22]), "--target-timeline", "2") == [1, 2, 3, 21, 22]
    assert recovered(lied, runtime, "--target-timeline", "1") == [1, 2, 3, 4, 5, 6]


def test_an_index_that_names_other_content_does_not_hide_that_one_of_both_was_exchanged(past):
    path = past.indexes("00000001", "near")[0]
    past.forge(path, past.key(), change_row=lambda number, row: row["clear"].update(content_id="0" * 32) if number == 3 else None)
    assert past.answers() == past.without
    assert "exchanged" in {kind for _, kind in past.verify(3)[0]}


def test_a_row_that_says_what_its_segment_does_not_is_named(past):
    """The clear part of the index is right: only its rows are not."""
    path = past.indexes("00000001", "far")[0]
    past.forge(path, past.key(), change_row=lambda number, row: row["clear"].update(commits=99) if number == 3 else None)
    assert past.answers() == past.without
    assert (relative(path), "damaged") in past.verify(3)[0]


# Recoveries


@pytest.mark.parametrize("damage", [
    pytest.param(None, id="whole", marks=pytest.mark.slow),
    pytest.param(lambda path: flip_bit(path, path.stat().st_size // 2), id="damaged"),
])
def test_a_server_recovers_past_indexes_whatever_they_are(past, runtime, damage):
    for path in past.indexes() if damage else []:
        damage(path)
    assert recovered(past, runtime, "--target-timeline", "1") == [1, 2, 3, 4, 5, 6]
    assert recovered(past, runtime, "--target-lsn", past.lsn[21], "--target-timeline", "2") == [1, 2, 3, 21]


def test_an_index_over_a_damaged_segment_ends_no_recovery_early(past, runtime):
    """The plan rests on the index, which is right; the server meets the segment, and must not take it for the end of the WAL."""
    for name in past.site.repositories:
        flip_bit(past.site.segment_object(past.segment[4], name), 500)
    copy = past.site.restore("--backup", past.label, "--target-timeline", "1", directory="over-damage")
    copy.start_without_waiting()
    wait_until(lambda: "FATAL" in copy.log_text() and not copy.running(), "the server to give up")
    assert "archive recovery complete" not in copy.log_text() and past.segment[4] in copy.log_text()
    runtime.clear(copy.directory)
