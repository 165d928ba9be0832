"""Repositories change while a real server recovers: it never ends early, and goes on to the last commit when they are well.

The change comes at a known question: restore_command is a script that makes it before that segment is asked for.
"""

import dataclasses
import re

import pytest

from ha import Ledger, other_host, restore_standby
from harness import Site, wait_until

ROWS = 12
CHANGE = 5  # the segment before which it changes, behind the backup
FLIP = "printf '\\377\\377\\377\\377' | dd of=\"$f\" bs=1 seek=2000 conv=notrunc 2>/dev/null"


@dataclasses.dataclass(frozen=True)
class Change:
    """Shell words in which $near and $far are the repositories and $later matches the WAL that was not asked for yet."""

    name: str
    happens: str
    serves: bool  # what is left has every segment
    mended: str = ":"
    proves: bool = True  # and can say where they end


def of_later(repository, what):
    return f'for f in ${repository}/clusters/main/wal/*/*/*/*; do [ "${{f##*/}}" \\< "$segment" ] || {{ {what}; }}; done'


SPOIL = "cp -p \"$f\" \"$f.kept\" && chmod u+w \"$f\" && " + FLIP
HIDE = "mv \"$f\" \"$f.kept\""
KEEP = 'for f in $%s/clusters/main/wal/*/*/*/*.kept; do mv -f "$f" "${f%%.kept}"; done'
CHANGES = [
    Change("one goes away", "mv $near $near.away", True, "mv $near.away $near", proves=False),
    Change("both go away", "mv $near $near.away; mv $far $far.away", False, "mv $near.away $near; mv $far.away $far"),
    Change("one is spoiled", of_later("near", SPOIL), True),
    Change("one is spoiled, the other goes away", of_later("near", SPOIL) + "; mv $far $far.away", False, "mv $far.away $far"),
    Change("one loses what the other that goes away has", of_later("near", HIDE) + "; mv $far $far.away", False,
           "mv $far.away $far"),
    Change("one looks empty, the other has lost it", "mv $near $near.away; mkdir $near; " + of_later("far", HIDE), False,
           "rmdir $near; mv $near.away $near"),
    Change("both are spoiled", of_later("near", SPOIL) + "; " + of_later("far", SPOIL), False, KEEP % "far"),
]

LONG = ("both go away", "one is spoiled", "one loses what the other that goes away has", "both are spoiled")
EACH = pytest.mark.parametrize("change", [pytest.param(c, id=c.name, marks=pytest.mark.slow if c.name in LONG else ()) for c in CHANGES])


class Archive:
    """Two repositories with a backup and a row in each of many segments behind it; the primary is gone."""

    def __init__(self, runtime, place):
        self.runtime, self.place = runtime, place
        self.site = site = Site(runtime, place / "site", repositories=("near", "far"))
        site.extra = ["[restore]", "timeout = 4s", "prefetch = 0", "promote-without-archive = allow"]
        primary = site.cluster()
        primary.start()
        site.pgcairn("init")
        self.ledger = Ledger(primary)
        site.json("backup")
        self.segments = []
        for _ in range(ROWS):
            self.ledger.write(primary)
            self.segments.append(primary.switch_wal())
        primary.wait_archived(self.segments[-1])
        primary.stop()

    def shell(self, text):
        near, far = self.site.repositories.values()
        script = self.place / "shell.sh"
        script.write_text(f"near={near} far={far} segment={self.segments[CHANGE]}\n{text}\n")
        self.runtime.run(["sh", script])

    def will_change(self, cluster, change):
        """Before the cluster's server asks for the chosen segment, once."""
        near, far = self.site.repositories.values()
        auto = cluster.data / "postgresql.auto.conf"
        text = auto.read_text() + (cluster.data / "postgresql.conf").read_text()
        own = re.findall(r"^restore_command = '(.*)'", text, re.M)[-1].replace("%f", '"$1"').replace("%p", '"$2"').replace("''", "'")
        script = cluster.directory / "weather.sh"
        once = cluster.directory / "happened"
        script.write_text(f"near={near} far={far} segment={self.segments[CHANGE]}\n"
                          f'if [ "$1" = "$segment" ] && [ ! -e {once} ]; then\n'
                          f"touch {once}\n{{ {change.happens}\n}} >&2\nfi\nexec {own}\n")
        self.runtime.own(cluster.directory)
        with open(auto, "a", encoding="utf-8") as file:
            file.write(f"restore_command = 'sh {script} %f %p'\n")


@pytest.fixture(scope="module")
def original(runtime):
    with runtime.place("weather") as place:
        yield Archive(runtime, place)


@pytest.fixture
def archive(original):
    """Its repositories are put back afterwards."""
    original.shell("for r in $near $far; do cp -a $r $r.picture; done")
    yield original
    original.shell("for r in $near $far; do rm -rf $r $r.away; mv $r.picture $r; done")


@pytest.fixture
def clear(archive, runtime):
    made = []
    yield made
    for cluster in made:
        runtime.clear(cluster.directory)


@EACH
def test_a_recovery_reaches_the_last_commit_or_stops_and_reaches_it_later(archive, clear, change):
    copy = archive.site.restore(directory="copy")
    clear.append(copy)
    archive.will_change(copy, change)
    copy.start_without_waiting()
    if not (change.serves and change.proves):
        wait_until(lambda: "shutting down due to startup process failure" in copy.log_text() or "aborting startup" in copy.log_text(),
                   "the server to stop")
        wait_until(lambda: not copy.running(), "the server to be gone")
        assert (copy.data / "recovery.signal").exists(), "its recovery ended early"
        assert "archive recovery complete" not in copy.log_text()
        replayed = f'restored log file "{archive.segments[-1]}"' in copy.log_text()
        assert replayed == change.serves, "it stopped at another place"
        archive.shell(change.mended)
        copy.start()
    wait_until(copy.running, "the server")
    wait_until(lambda: "archive recovery complete" in copy.log_text(), "the end of recovery")
    copy.wait_promoted()
    archive.ledger.wants(copy)
    assert (copy.directory / "happened").exists()


@EACH
def test_a_standby_waits_for_what_cannot_be_had_and_never_promotes(archive, clear, change):
    host = other_host(archive.site, f"b{CHANGES.index(change)}")
    standby = restore_standby(host, directory="standby")
    clear.append(standby)
    archive.will_change(standby, change)
    standby.start()
    if not change.serves:
        gone = archive.segments[CHANGE]
        wait_until(lambda: standby.log_text().count(f"{gone} is not to be had now") >= 2, "the standby to ask again")
        assert standby.running() and standby.value("SELECT pg_is_in_recovery()")
        assert archive.ledger.rows(standby) <= CHANGE, "a row out of a segment that was not to be had"
        archive.shell(change.mended)
    archive.ledger.wait(standby)
    archive.ledger.wants(standby)
    assert standby.value("SELECT pg_is_in_recovery()") and (standby.data / "standby.signal").exists()
    assert (standby.directory / "happened").exists()
