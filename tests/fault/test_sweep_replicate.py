"""replicate, and the agent that does it by itself, when any of its system calls fails or is its last: nothing half-made is seen, and the next one finishes."""

import pytest

from faults import CHANGES, KILLS, Sweep
from sites import FAILED, KILLED, absent_or_whole, archived_without, fetched_from_each, no_conflict, put_back, take_picture, with_segments

pytestmark = pytest.mark.limit(900)
NEAR, FAR = "near", "far"
FOUND = {3}


@pytest.fixture(scope="module")
def behind(swift):
    """far misses what near has."""
    with swift.place("replicate") as place:
        site = with_segments(swift, place, repositories=(NEAR, FAR))
        site.acknowledge = "1"
        site.write_config()
        archived_without(site, FAR)
        take_picture(site)
        yield site


def replicating(site, injector, tally, **options):
    places = [*site.repositories.values(), site.directory / "state", site.keys, site.config]
    return Sweep(injector, tally, "replicate", lambda: site.command("pgcairn", "replicate", "--to", FAR), places,
                 lambda: put_back(site), steady=0.5, **options)


def the_next_one_finishes(site, result, answers=True):
    """Each segment is absent or whole in far, and after the next run there."""
    absent_or_whole(site, result, ("--repository", FAR), answers)
    assert site.json("replicate", "--to", FAR)["lacking"] == 0
    for segment in site.segments:
        fetched_from_each(site, segment)
    no_conflict(site)


@pytest.mark.parametrize("fault", KILLS)
def test_a_killed_replicate_needs_no_repair(behind, injector, tally, few, fault):
    for result in replicating(behind, injector, tally, a_kind=8, most=few).run(fault):
        assert result.returncode in KILLED | FAILED, result.stderr
        the_next_one_finishes(behind, result)


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", "EINTR", "short"])
def test_an_error_at_any_call_is_not_called_done(behind, injector, tally, few, fault):
    for result in replicating(behind, injector, tally, a_kind=8, most=few).run(fault):
        assert result.returncode in FAILED | FOUND | {0}, result.stderr
        the_next_one_finishes(behind, result)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "EIO", "ENOSPC"])
def test_an_error_at_any_change_leaves_nothing_half_made(behind, injector, tally, few, fault):
    for result in replicating(behind, injector, tally, most=few).run(fault, CHANGES):
        the_next_one_finishes(behind, result)


def catching_up(site, injector, tally, **options):
    """The agent for a second, which is enough to bring far all that it lacks."""
    command = ["/usr/bin/timeout", "--foreground", "--preserve-status", "1", *site.command("pgcairn", "agent")]
    places = [*site.repositories.values(), site.directory / "state", site.directory / "run", site.keys, site.config]
    return Sweep(injector, tally, "catch-up", lambda: command, places, lambda: put_back(site), steady=0.5, program=True,
                 status={0}, **options)


def test_an_agent_brings_what_was_missed_in_the_second_that_the_sweep_gives_it(behind, injector, tally):
    catching_up(behind, injector, tally).calls()
    for segment in behind.segments:
        fetched_from_each(behind, segment)


@pytest.mark.parametrize("fault", ["kill", *(pytest.param(f, marks=pytest.mark.slow) for f in ("EIO", "ENOSPC"))])
def test_an_agent_that_is_killed_or_fails_while_it_catches_up_needs_no_repair(behind, injector, tally, few, fault):
    for result in catching_up(behind, injector, tally, most=few or 60).run(fault, CHANGES):
        assert result.returncode in KILLED | FAILED | {0}, result.stderr
        the_next_one_finishes(behind, result, answers=False)
