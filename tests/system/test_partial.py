"""The partial segment that a promotion leaves: kept beside the whole one, never in its place, and not lost."""

import json

import pytest

from ha import Ledger, admit, clone_standby, other_host, promote, streaming
from harness import MB, wait_until

pytestmark = pytest.mark.slow
CLOSED = 10  # rows in segments that were closed before the primary died
BEFORE = 20  # and those in the segment that it could not close
AFTER = 25  # and what the new primary committed
NEW_SEGMENTS = "00000002????????????????"


class Promoted:
    """A primary that died in the middle of a segment, and a standby that archived of its promotion all but the new segments."""

    def __init__(self, site):
        self.site = site
        self.old = site.cluster(archive_timeout="0")
        self.old.start()
        site.pgcairn("init")
        self.ledger = Ledger(self.old)
        site.json("backup")
        self.host = other_host(site, "b")
        self.new = clone_standby(self.host, self.old, archive_mode="on")
        admit(site, self.host)
        self.new.configure(archive_command=f"case %f in {NEW_SEGMENTS}) exit 1;; *) exec {self.host.archive_command};; esac")
        self.new.start()
        wait_until(lambda: streaming(self.old), "the standby to stream")
        self.ledger.write(self.old, CLOSED)
        self.old.archive_now()
        self.ledger.write(self.old, BEFORE - CLOSED)
        self.ledger.wait(self.new)
        self.old.kill9()
        promote(self.new)
        self.ledger.write(self.new, AFTER - BEFORE)
        (self.partial,) = wait_until(lambda: self.stored("00000001/*/*.partial"), "the partial segment")
        wait_until(lambda: self.stored("00000002.history"), "the history")
        self.whole = self.partial.removesuffix(".partial")
        self.copies = 0

    def stored(self, pattern):
        return [path.name for path in self.site.objects(f"clusters/main/wal/*/{pattern}")]

    def fetched(self, name):
        target = self.site.directory / "fetched"
        self.site.fetch(name, target)
        content = target.read_bytes()
        target.unlink()
        return content

    def archive_new_segments(self):
        self.new.configure(archive_command=self.host.archive_command)
        self.new.pg_ctl("reload")
        self.new.archive_now()

    def restored(self, *args):
        self.copies += 1
        return self.site.restore(*args, directory=f"copy-{self.copies}")

    def plan(self):
        """Of the latest, with the warnings about it."""
        command = self.site.command("pgcairn", "restore", "--pgdata", self.site.directory / "dry", "--dry-run", "--json")
        result = self.site.runtime.run(command)
        return {**json.loads(result.stdout), "said": result.stderr}

    def recovered(self, copy):
        copy.start()
        copy.wait_promoted()
        rows = [row for row, in copy.sql("SELECT id FROM ledger ORDER BY id")]
        copy.stop("immediate")
        return rows


@pytest.fixture
def promoted(site):
    return Promoted(site)


def upto(last):
    return list(range(1, last + 1))


def test_a_partial_is_only_what_it_is_called_until_it_is_renamed_by_hand_and_then_loses_no_row(promoted):
    site = promoted.site
    site.fetch(promoted.whole, site.directory / "fetched", status=1)
    partial = promoted.fetched(promoted.partial)
    assert len(partial) == MB and partial == (promoted.new.data / "pg_wal" / promoted.partial).read_bytes()
    for args in ((), ("--target-timeline", "1"), ("--target-timeline", "2")):
        copy = promoted.restored(*args)
        assert promoted.recovered(copy) == upto(CLOSED)
        assert f"fetch {promoted.whole}: no repository has it" in copy.log_text()
    by_hand = promoted.restored()
    told = promoted.plan()
    assert told["partial_behind"] == promoted.partial
    assert f"pgcairn-wal-restore {promoted.partial} pg_wal/{promoted.whole}" in told["said"]
    site.runtime.run(site.command("pgcairn-wal-restore", promoted.partial, f"pg_wal/{promoted.whole}"), cwd=by_hand.data)
    assert promoted.recovered(by_hand) == upto(BEFORE)
    # the new primary's own segment has the same rows, and more
    promoted.archive_new_segments()
    assert "partial_behind" not in promoted.plan()
    assert promoted.recovered(promoted.restored()) == upto(AFTER)
    assert site.info()["conflicts"] == []
    site.pgcairn("verify")


def test_the_whole_segment_that_comes_behind_its_partial_stands_beside_it(promoted):
    """The old primary comes back, without knowing that it is not the primary, and closes its last segment."""
    partial = promoted.fetched(promoted.partial)
    promoted.old.start()
    promoted.old.sql("INSERT INTO ledger VALUES (1000000)")
    assert promoted.old.archive_now() == promoted.whole
    whole = promoted.fetched(promoted.whole)
    assert whole == (promoted.old.data / "pg_wal" / promoted.whole).read_bytes() != partial
    assert promoted.fetched(promoted.partial) == partial
    assert promoted.recovered(promoted.restored("--target-timeline", "1")) == [*upto(BEFORE), 1000000]
    told = promoted.plan()
    fork = told["past_fork_lsn"]
    assert fork in promoted.fetched("00000002.history").decode() and f"--target-lsn {fork} --target-exclusive" in told["said"]
    copy = promoted.restored("--target-lsn", fork, "--target-exclusive", "--target-action", "promote")
    assert promoted.recovered(copy) == upto(BEFORE)
    promoted.archive_new_segments()
    assert "past_fork_lsn" not in promoted.plan()
    assert promoted.recovered(promoted.restored()) == upto(AFTER)
    assert promoted.site.info()["conflicts"] == []
    promoted.site.pgcairn("verify")
