"""Whoever finds that it is there already makes it durable before relying on it: the one who made it may have been killed before."""

import pytest

from faults import Sweep
from harness import Site

SYNC = ("fsync", "fdatasync")


def synced(injector, tally, site, under, *verb):
    sweep = Sweep(injector, tally, verb[0], lambda: site.command("pgcairn", *verb), [under], lambda: None, cwd=site.directory)
    return {call.target for call in sweep.calls(SYNC)}


@pytest.fixture(scope="module")
def archived(swift):
    with swift.place("settle") as place:
        site = Site(swift, place / "site")
        source = site.cluster()
        source.start()
        site.pgcairn("init")
        site.pgcairn("backup")
        source.archive_now()
        source.stop()
        yield site


def test_a_second_stop_makes_the_first_durable(archived, injector, tally):
    archived.pgcairn("stop", "--reason", "first")
    folder = archived.directory / "state/stopped"
    assert {str(folder / "main.json"), str(folder)} <= synced(injector, tally, archived, folder, "stop", "--reason", "second")
    archived.pgcairn("start")


def test_a_second_start_makes_the_first_durable(archived, injector, tally):
    archived.pgcairn("stop", "--reason", "first")
    archived.pgcairn("start")
    folder = archived.directory / "state/stopped"
    assert str(folder) in synced(injector, tally, archived, folder, "start")


def test_adopt_makes_durable_what_an_earlier_one_marked(archived, injector, tally):
    copy = archived.restore()
    copy.start()
    copy.wait_promoted()
    copy.stop()
    status = copy.data / "pg_wal/archive_status"
    marked = status / "00000002.history.ready"
    marked.touch()
    archived.runtime.own(marked)
    archived.pgdata, archived.conninfo = archived.directory / "elsewhere", "host=/nowhere"
    archived.write_config()
    assert {str(marked), str(status)} <= synced(injector, tally, archived, status, "adopt", "--pgdata", copy.data)
