"""pgcairn-wal-restore when any of its system calls fails or is its last."""

import pytest

from faults import Sweep
from sites import KILLED, litter, put_back, take_picture, with_segments

slow = pytest.mark.slow
pytestmark = pytest.mark.limit(900)
NEVER = "0000000100000000000000FE"
STOPS_RECOVERY = set(range(126, 256)) - {143}
# Failing, these say nothing about whether an object is there: closing, and what is asked of a name in pg_wal,
HARMLESS = ("close", "fstatfs", "statfs", "getdents64")
# and whether a recovery asks, which decides about prefetching alone.
OF_PREFETCHING = ("recovery.signal", "standby.signal", "postmaster.pid")


@pytest.fixture(scope="module")
def one(swift):
    with swift.place("fault-fetch") as place:
        site = with_segments(swift, place)
        site.archive(site.segments[0])
        take_picture(site)
        yield site


@pytest.fixture(scope="module")
def two(swift):
    with swift.place("fault-fetch-two") as place:
        site = with_segments(swift, place, repositories=("near", "far"))
        site.archive(site.segments[0])
        take_picture(site)
        yield site


def fetching(site, injector, tally, name, **options):
    target = site.directory / "fetched"

    def gone():
        target.unlink(missing_ok=True)

    places = [*site.repositories.values(), site.directory / "state", site.keys, site.pgdata, site.config, target, "pipe:"]
    return Sweep(injector, tally, "fetch", lambda: site.command("pgcairn-wal-restore", name, target), places, gone,
                 cwd=site.pgdata, **options)


def delivered_or_absent(site, code):
    target = site.directory / "fetched"
    if code == 0:
        assert target.read_bytes() == site.segments[0].read_bytes()
    else:
        assert not target.exists()


@pytest.mark.parametrize("fault", ["kill", "kill one"])
def test_a_kill_at_any_call_delivers_all_or_nothing_and_the_next_try_delivers(one, injector, tally, few, fault):
    name, target = one.segments[0].name, one.directory / "fetched"
    for result in fetching(one, injector, tally, name, most=few).run(fault):
        code = result.returncode
        assert code in (KILLED if fault == "kill" else STOPS_RECOVERY | KILLED), result.stderr
        if target.exists():
            assert target.read_bytes() == one.segments[0].read_bytes()
            target.unlink()
        one.fetch(NEVER, target, status=1)
        assert not litter(one), "a miss leaves what a killed try left"
        one.fetch(name, target)
        delivered_or_absent(one, 0)


@pytest.mark.parametrize("fault", ["EIO", "EINTR", "short",
                                   *(pytest.param(f, marks=slow) for f in ("EACCES", "ESTALE", "EMFILE", "ENOSPC"))])
def test_an_error_at_any_call_never_delivers_what_is_not_whole(one, injector, tally, few, fault):
    for result in fetching(one, injector, tally, one.segments[0].name, most=few).run(fault):
        assert result.returncode in STOPS_RECOVERY | {0}, f"{result.hit}: {result.stderr}"
        if fault in ("EINTR", "short"):
            assert result.returncode == 0, f"{result.hit}: {result.stderr}"
        delivered_or_absent(one, result.returncode)


# not EMFILE, after which it tries again and may then have its proof
@pytest.mark.parametrize("fault", ["EIO", *(pytest.param(f, marks=slow) for f in ("EACCES", "ESTALE"))])
def test_an_error_at_any_call_is_never_taken_for_a_miss(one, injector, tally, few, fault):
    for result in fetching(one, injector, tally, NEVER, status=1, most=few and 2 * few).run(fault):
        if result.returncode == 1:
            target = result.hit.target
            harmless = result.hit.name in HARMLESS or target.startswith("pipe:") or "fetched" in target
            assert harmless or target.endswith(OF_PREFETCHING), f"taken for a miss: {result.hit}"
        else:
            assert result.returncode in STOPS_RECOVERY, f"{result.hit}: {result.stderr}"


@slow
@pytest.mark.parametrize("fault", ["EIO", "EACCES"])
def test_a_repository_that_fails_is_made_good_by_another(two, injector, tally, few, fault):
    target = two.directory / "fetched"
    sweep = Sweep(injector, tally, "fetch", lambda: two.command("pgcairn-wal-restore", two.segments[0].name, target),
                  [two.repositories["near"]], lambda: target.unlink(missing_ok=True), cwd=two.pgdata, most=few)
    for result in sweep.run(fault):
        assert result.returncode == 0, f"{result.hit}: {result.stderr}"
        delivered_or_absent(two, 0)


@slow
@pytest.mark.parametrize("fault", ["EIO", "EACCES"])
def test_a_repository_that_fails_makes_every_miss_a_doubt(two, injector, tally, few, fault):
    target = two.directory / "fetched"
    sweep = Sweep(injector, tally, "fetch", lambda: two.command("pgcairn-wal-restore", NEVER, target),
                  [two.repositories["far"]], lambda: None, cwd=two.pgdata, status=1, most=few)
    for result in sweep.run(fault):
        assert result.returncode in STOPS_RECOVERY or result.hit.name in HARMLESS, f"{result.hit}: {result.stderr}"


@slow
def test_the_sweeps_were_long(tally):
    assert tally.of("fetch") >= 400
