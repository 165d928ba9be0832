"""The agent when any of its system calls fails or is its last: nothing that was called durable is lost, nothing needs repair."""

import shutil

import pytest

from faults import CHANGES, KILLS, Sweep
from sites import FAILED, KILLED, absent_or_whole, fetched_from_each, no_conflict, put_back, with_segments

pytestmark = pytest.mark.limit(900)


def wanted(runtime, place, **options):
    """A site whose stopped server wants its segments archived."""
    site = with_segments(runtime, place, **options)
    status = site.pgdata / "pg_wal/archive_status"
    for path in status.iterdir():
        path.unlink()
    for segment in site.segments:
        shutil.copy2(segment, site.pgdata / "pg_wal" / segment.name)
        (status / f"{segment.name}.ready").touch()
    runtime.own(site.pgdata)
    return site


@pytest.fixture(scope="module")
def one(swift):
    with swift.place("agent-one") as place:
        yield wanted(swift, place)


@pytest.fixture(scope="module")
def two(swift):
    with swift.place("agent-two") as place:
        yield wanted(swift, place, repositories=("near", "far"))


def shipping(site, injector, tally, **options):
    places = [*site.repositories.values(), site.directory / "state", site.directory / "run", site.keys, site.pgdata / "pg_wal",
              site.config]
    return Sweep(injector, tally, "agent", lambda: site.command("pgcairn", "agent", "--once"), places,
                 lambda: put_back(site), steady=0.5, **options)


def the_next_one_ships_all(site, result):
    """Absent or whole now; and after the next run there, in every repository, without conflict."""
    absent_or_whole(site, result)
    site.pgcairn("agent", "--once")
    for segment in site.segments:
        fetched_from_each(site, segment)
    no_conflict(site)


@pytest.mark.parametrize("fault", KILLS)
def test_a_killed_agent_needs_no_repair(one, injector, tally, few, fault):
    for result in shipping(one, injector, tally, a_kind=8, most=few).run(fault):
        assert result.returncode in KILLED | FAILED, result.stderr
        the_next_one_ships_all(one, result)


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", "EINTR", "short"])
def test_an_error_at_any_call_is_no_acknowledgement(one, injector, tally, few, fault):
    for result in shipping(one, injector, tally, a_kind=8, most=few).run(fault):
        assert result.returncode in FAILED | {0}, result.stderr
        the_next_one_ships_all(one, result)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "EIO", "ENOSPC"])
def test_an_error_in_one_of_two_repositories_is_no_acknowledgement_of_both(two, injector, tally, few, fault):
    for result in shipping(two, injector, tally, a_kind=6, most=few).run(fault, CHANGES):
        the_next_one_ships_all(two, result)
