"""gap record, conflict resolve, stop and start when any of their system calls fails or is its last.

What an operator decided holds or does not, whatever happened on the way: who was told that it holds can rely on it, the bytes
that were in service still are, and saying it once more succeeds.
"""

import pytest

from faults import KILLS, Sweep
from harness import MB, flip_bit
from sites import FAILED, KILLED, fetched_from_each, litter, no_litter_for_ever, put_back, take_picture, with_segments

slow = pytest.mark.slow
pytestmark = pytest.mark.limit(900)
FAULTS = [KILLS[0], "EIO", pytest.param("ENOSPC", marks=slow), pytest.param("EINTR", marks=slow)]
REFUSED = 4
STOPPED = 75
REASON = "ticket 4711"


@pytest.fixture(scope="module")
def site(swift):
    """Its first segment is stored and has a twin with other content; the second is bad, the third is not."""
    with swift.place("fault-decisions") as place:
        made = with_segments(swift, place / "ours", 3, repositories=("near", "far"))
        first, made.bad, _ = made.segments
        made.archive(first)
        made.twin = next(p for p in with_segments(swift, place / "theirs", message="y").segments if p.name == first.name)
        made.archive(made.twin, status=REFUSED)
        flip_bit(made.bad, MB // 8)
        take_picture(made)
        yield made


def deciding(site, injector, tally, verb, arguments, few, prepare=lambda: None):
    def fresh():
        put_back(site)
        prepare()

    places = [*site.repositories.values(), site.directory / "state", site.keys, site.pgdata, site.config, site.bad]
    return Sweep(injector, tally, verb, lambda: site.command("pgcairn", *arguments), places, fresh, cwd=site.pgdata, most=few and 3)


def is_told(result, fault):
    assert result.returncode in (KILLED if fault == "kill" else FAILED | {0}), result.stderr
    if fault == "EINTR":
        assert result.returncode == 0, f"{result.hit}: {result.stderr}"


def still_serves(site):
    fetched_from_each(site, site.segments[0])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gap_is_recorded_or_not_and_no_recovery_gets_its_bytes(site, injector, tally, few, fault):
    command = ("gap", "record", site.bad, "--reason", REASON)
    target = site.directory / "fetched"
    for result in deciding(site, injector, tally, "gap", command, few).run(fault):
        is_told(result, fault)
        if result.returncode == 0:
            site.archive(site.bad)  # it is given up, so that the server can go on
        assert site.fetch(site.bad.name, target, status=None).returncode != 0 and not target.exists(), result.hit
        site.pgcairn(*command)
        site.archive(site.bad)
        assert {gap["reason"] for gap in site.json("gap", "list")["gaps"]} == {REASON}
        still_serves(site)
        no_litter_for_ever(site, injector)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_conflict_is_decided_or_not_and_the_first_stays(site, injector, tally, few, fault):
    name = site.segments[0].name
    command = ("conflict", "resolve", name, "--keep", "first", "--release", "--reason", REASON)
    for result in deciding(site, injector, tally, "conflict", command, few).run(fault):
        is_told(result, fault)
        if result.returncode == 0:
            site.archive(site.twin)
        still_serves(site)
        site.pgcairn(*command)
        site.archive(site.twin)
        assert {c["resolved"] for c in site.json("conflict", "list")["conflicts"]} == {True}
        still_serves(site)
        no_litter_for_ever(site, injector)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["stop", "start"])
def test_archiving_is_stopped_or_not(site, injector, tally, few, verb, fault):
    command = ("stop", "--reason", REASON) if verb == "stop" else ("start",)

    def prepare():
        if verb == "start":
            site.pgcairn("stop", "--reason", REASON)

    for result in deciding(site, injector, tally, verb, command, few, prepare).run(fault):
        is_told(result, fault)
        holds = STOPPED if verb == "stop" else 0
        answer = site.archive(site.segments[0], status={0, STOPPED}).returncode
        assert result.returncode != 0 or answer == holds, f"told and not so: {result.hit}"
        site.pgcairn(*command)
        site.archive(site.segments[0], status=holds)
        assert not litter(site) or result.returncode != 0
        site.pgcairn("start")
        still_serves(site)


@slow
def test_the_sweeps_were_long(tally):
    assert all(tally.of(verb) >= 40 for verb in ("gap", "conflict"))
    assert all(tally.of(verb) >= 10 for verb in ("stop", "start"))
