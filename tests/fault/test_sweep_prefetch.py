"""pgcairn-wal-restore with a spool, and the prefetcher itself, when any of their system calls fails or is the last."""

import os
import shutil

import pytest

from faults import Sweep
from harness import wait_until
from recovery import Recovery, prefetchers, ready_in, spools
from sites import KILLED, with_segments

pytestmark = pytest.mark.limit(900)
slow = pytest.mark.slow
NEVER = "0000000100000000000000FE"
STOPS_RECOVERY = set(range(126, 256)) - {143}
SERVER_SECONDS = 0.8  # after which a prefetcher that runs ends
A_KIND = 6  # calls of a kind that are spoiled: each run takes a server's life


@pytest.fixture(scope="module")
def recovery(swift):
    with swift.place("fault-prefetch") as place:
        site = with_segments(swift, place, count=3)
        for segment in site.segments:
            site.archive(segment)
        site.source = type("Source", (), {"data": site.pgdata})
        one = Recovery(site, site.source)
        one.names = [segment.name for segment in site.segments]
        one.holds = lambda number: one.target.read_bytes() == site.segments[number].read_bytes()
        yield one
        one.end()


def nothing_left(one):
    """The prefetcher ends with its server, and a next one clears what was left of a killed one."""
    one.stop_server()
    wait_until(lambda: not prefetchers(one.site), "the prefetchers to end")


def wipe(one):
    nothing_left(one)
    shutil.rmtree(one.site.directory / "state/spool", ignore_errors=True)
    one.target.unlink(missing_ok=True)
    for path in one.target.parent.glob("*.pgcairn"):
        path.unlink()


def with_one_ready(one):
    """The second segment lies in the spool, put there by a prefetcher that is gone: the rest of a kill."""
    wipe(one)
    one.start_server()
    one.ask(one.names[0])
    wait_until(lambda: one.names[1] in ready_in(one.site), "the second to be ready")
    (spool,) = spools(one.site)
    kept = one.site.directory / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(spool, kept, ignore=shutil.ignore_patterns("bell", "*.part"), copy_function=shutil.copy2)
    nothing_left(one)
    shutil.rmtree(spool, ignore_errors=True)
    shutil.copytree(kept, spool)
    one.runtime.own(spool)
    spool.chmod(0o700)
    one.target.unlink()


def places(one):
    return [one.site.repositories["local"], one.site.directory / "state", one.data, one.site.keys, one.site.config]


def taking(one, injector, tally, **options):
    """The second segment from the spool; the prefetcher that begins then is spoiled as well."""
    def prepare():
        with_one_ready(one)
        one.start_server(SERVER_SECONDS)

    return Sweep(injector, tally, "prefetch", lambda: one.command(one.names[1]), places(one), prepare, cwd=one.data, steady=0.6,
                 a_kind=A_KIND, **options)


def right_answers_follow(one):
    one.start_server()
    for number in (1, 2):
        one.ask(one.names[number])
        assert one.holds(number)
    one.ask(NEVER, status=1)
    assert not list(one.data.rglob("*.pgcairn"))


def whole_or_absent(one, number=1):
    if one.target.exists():
        assert one.holds(number)


@pytest.mark.parametrize("fault", ["kill", "kill one"])
def test_a_kill_while_a_segment_is_taken_from_the_spool_delivers_all_or_nothing(recovery, injector, tally, few, fault):
    for result in taking(recovery, injector, tally, most=few).run(fault):
        assert result.returncode in STOPS_RECOVERY | KILLED | {0}, result.stderr
        assert recovery.target.exists() or result.returncode != 0
        whole_or_absent(recovery)
        right_answers_follow(recovery)


@pytest.mark.parametrize("fault", ["EIO", "short", *(pytest.param(f, marks=slow) for f in ("EINTR", "ENOSPC", "EACCES", "ESTALE"))])
def test_an_error_while_a_segment_is_taken_is_never_a_miss_and_delivers_nothing_else(recovery, injector, tally, few, fault):
    for result in taking(recovery, injector, tally, most=few).run(fault):
        assert result.returncode in STOPS_RECOVERY | {0}, f"{result.hit}: {result.stderr}"
        if result.hit.target.startswith(str(recovery.site.directory / "state/spool")):
            assert result.returncode == 0, f"a trouble of the spool alone: {result.hit}: {result.stderr}"
        if result.returncode == 0:
            assert recovery.holds(1)
        else:
            assert not recovery.target.exists()
        right_answers_follow(recovery)


def prefetching(one, injector, tally, **options):
    """The prefetcher itself, until its server is gone."""
    def prepare():
        wipe(one)
        one.start_server(SERVER_SECONDS)

    command = lambda: one.site.command("pgcairn-wal-restore", "--prefetch", one.names[0], one.target)  # noqa: E731
    return Sweep(injector, tally, "prefetch", command, places(one), prepare, cwd=one.data, steady=0.6, a_kind=A_KIND,
                 **options)


@pytest.mark.parametrize("fault", ["kill", "kill one", "EIO", "ENOSPC", "short",
                                   *(pytest.param(f, marks=slow) for f in ("EINTR", "EACCES", "ESTALE", "EMFILE"))])
def test_whatever_happens_to_a_prefetcher_the_answers_are_right(recovery, injector, tally, few, fault):
    for result in prefetching(recovery, injector, tally, most=few).run(fault):
        assert result.returncode in {0} | (KILLED if fault.startswith("kill") else set()), f"{result.hit}: {result.stderr}"
        assert result.stderr == "" or fault.startswith("kill"), "nobody hears it"
        right_answers_follow(recovery)
        nothing_left(recovery)
        assert len(spools(recovery.site)) <= 1


@pytest.mark.parametrize("fault", ["ENOSPC"])
def test_a_spool_that_cannot_be_written_is_told_once(recovery, injector, tally, fault):
    told = 0
    for result in prefetching(recovery, injector, tally, most=4).run(fault, only=("pwrite64",)):
        assert result.returncode == 0
        recovery.start_server()
        said = [recovery.ask(name).stderr.count("warning: segments are not prefetched for now") for name in recovery.names]
        assert said == [1, 0, 0], f"{result.hit}: {said}"
        told += sum(said)
    assert told and os.listdir(recovery.site.directory / "state/spool/main")


@slow
def test_the_sweeps_were_long(tally):
    assert tally.of("prefetch") >= 200
