"""init when any of its system calls fails or is its last: the next init completes it, and nothing has two truths."""

import shutil

import pytest

from faults import CHANGES, Sweep
from sites import FAILED, KILLED, PIECES, fetched_from_each, grow_old, litter, put_back, take_picture, with_segments

slow = pytest.mark.slow
pytestmark = pytest.mark.limit(900)


@pytest.fixture(scope="module")
def one(swift):
    with swift.place("fault-init") as place:
        yield with_segments(swift, place)


@pytest.fixture(scope="module")
def two(swift):
    with swift.place("fault-init-two") as place:
        yield with_segments(swift, place, repositories=("near", "far"))


def nothing_yet(site):
    for name in PIECES:
        shutil.rmtree(site.directory / name, ignore_errors=True)


def founding(site, injector, tally, prepare, **options):
    places = [site.directory / name for name in PIECES] + [site.pgdata]
    return Sweep(injector, tally, "init", lambda: site.command("pgcairn", "init"), places, prepare, cwd=site.directory, **options)


def the_next_init_completes_it(site, result):
    again = site.pgcairn("init", status=None)
    assert again.returncode == 0, f"after {result.hit}: {again.stderr}"
    site.archive(site.segments[0])
    fetched_from_each(site, site.segments[0])
    left = litter(site)
    if left:
        grow_old(left)
        site.pgcairn("init")
        assert not litter(site)


@pytest.mark.parametrize("fault", ["kill", "EIO", *(pytest.param(f, marks=slow) for f in ("ENOSPC", "EACCES", "EINTR", "short"))])
def test_what_any_call_interrupted_is_completed_by_the_next_init(one, injector, tally, few, fault):
    for result in founding(one, injector, tally, lambda: nothing_yet(one), most=few).run(fault):
        assert result.returncode in (KILLED if fault == "kill" else FAILED | {0}), result.stderr
        if fault in ("EINTR", "short"):
            assert result.returncode == 0, f"{result.hit}: {result.stderr}"
        if result.returncode == 0:  # it says that all is there
            one.archive(one.segments[0])
        the_next_init_completes_it(one, result)


@slow
def test_on_a_poorer_file_system_a_kill_is_completed_too(one, injector, tally, few):
    refuse = ("tmpfile=EOPNOTSUPP", "linkat=EPERM")
    for result in founding(one, injector, tally, lambda: nothing_yet(one), refuse=refuse, most=few).run("kill", CHANGES):
        injector.run(one.command("pgcairn", "init"), ["/nowhere"], refuse=refuse, status=0)
        grow_old(litter(one))
        segment = one.segments[1]
        injector.run(one.command("pgcairn-wal-archive", segment, segment.name), ["/nowhere"], refuse=refuse, status=0, cwd=one.pgdata)
        assert not litter(one)
        the_next_init_completes_it(one, result)


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_two_new_repositories_become_one_cluster(two, injector, tally, few, fault):
    for result in founding(two, injector, tally, lambda: nothing_yet(two), most=few).run(fault, CHANGES):
        the_next_init_completes_it(two, result)


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_a_repository_that_is_added_becomes_the_same_cluster(two, injector, tally, few, fault):
    def far_is_new():
        put_back(two)
        shutil.rmtree(two.repositories["far"])
        (two.directory / "state/repositories/far").unlink()

    for result in founding(two, injector, tally, far_is_new, most=few).run(fault):
        the_next_init_completes_it(two, result)


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_a_host_that_joins_can_join_again(one, injector, tally, few, fault):
    """Its signing key is new; the host that founded the cluster enrols it, and then it writes."""
    put_back(one)
    state = one.directory / "state"
    founder = one.directory / "founder"
    shutil.rmtree(founder, ignore_errors=True)
    one.runtime.run(["cp", "-a", state, founder])

    def as_another_host():
        put_back(one)
        shutil.rmtree(state)
        (one.keys / "recipients").unlink()
        (one.keys / "signers").unlink()

    def join():
        return one.command("pgcairn", "init", "--join")

    places = [one.directory / name for name in PIECES]
    try:
        for result in Sweep(injector, tally, "init", join, places, as_another_host, most=few).run(fault, CHANGES):
            assert result.returncode in FAILED | KILLED | {0}, result.stderr
            signer = one.json("init", "--join")["signer"]
            state.rename(one.directory / "joined")
            one.runtime.run(["cp", "-a", founder, state])
            one.pgcairn("key", "enrol", signer)
            shutil.rmtree(state)
            (one.directory / "joined").rename(state)
            one.archive(one.segments[0])
            fetched_from_each(one, one.segments[0])
    finally:
        shutil.rmtree(one.directory / "joined", ignore_errors=True)


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_an_enrolment_that_is_interrupted_is_done_by_the_next(two, injector, tally, few, fault):
    put_back(two)
    other = two.directory / "other"
    shutil.rmtree(other, ignore_errors=True)
    two.runtime.run(["cp", "-a", two.directory / "state", other])
    shutil.rmtree(two.directory / "state")
    signer = two.json("init", "--join")["signer"]
    put_back(two)
    places = [*two.repositories.values(), two.keys, two.directory / "state"]
    sweep = Sweep(injector, tally, "key enrol", lambda: two.command("pgcairn", "key", "enrol", signer), places,
                  lambda: put_back(two), most=few)
    for result in sweep.run(fault):
        assert result.returncode in FAILED | KILLED | {0}, result.stderr
        two.pgcairn("key", "enrol", signer)
        two.pgcairn("key", "enrol", signer)
        for name in two.repositories:
            assert len(two.objects("clusters/*/signers/*", name)) == 2, result.hit
        two.archive(two.segments[0])


@slow
def test_the_sweeps_were_long(tally):
    assert tally.of("init") >= 700
    assert tally.of("key enrol") >= 100
