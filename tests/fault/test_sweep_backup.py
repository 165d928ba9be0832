"""backup when any of its system calls fails or is its last: there is a whole backup or none, and the next one succeeds.

The server is real and runs on; it is small, so that a backup takes a tenth of a second.
"""

import shutil

import pytest

from faults import CHANGES, KILLS, Sweep
from harness import Site
from sites import FAILED, KILLED, grow_old, litter, no_litter

slow = pytest.mark.slow
pytestmark = pytest.mark.limit(900)
VERIFY_EVERY = 10
NEXT_EVERY = 3


def running(runtime, place, **options):
    site = Site(runtime, place / "site", **options)
    site.source = site.cluster()
    site.source.start()
    site.pgcairn("init")
    for name in ("template0", "template1"):
        site.source.sql(f"ALTER DATABASE {name} IS_TEMPLATE false")
        site.source.sql(f"DROP DATABASE {name}")
    site.first = site.json("backup")["label"]
    return site


@pytest.fixture(scope="module")
def one(swift):
    with swift.place("fault-backup") as place:
        yield running(swift, place)


@pytest.fixture(scope="module")
def two(swift):
    with swift.place("fault-backup-two") as place:
        yield running(swift, place, repositories=("near", "far"))


def backing_up(site, injector, tally, under=None, steady=0.5, **options):
    """Backups of earlier runs go, the WAL stays: the server knows that it was archived."""

    def only_the_first():
        for top in site.repositories.values():
            for backup in top.glob("clusters/*/backup/*"):
                if backup.name != site.first:
                    shutil.rmtree(backup)

    places = [*site.repositories.values(), *(site.directory / name for name in ("state", "run", "keys"))]
    # how often it looks for the WAL depends on the server
    return Sweep(injector, tally, "backup", lambda: site.command("pgcairn", "backup"), under or places, only_the_first,
                 cwd=site.directory, steady=steady, **options)


def labels(site, name):
    return {backup["label"] for backup in site.info(name)["backups"]}


def whole_or_none(site, result, number):
    """What is listed is whole; and the next backup is."""
    for name in site.repositories:
        listed = labels(site, name)
        assert site.first in listed and len(listed) <= 2
        if result.returncode == 0:
            assert len(listed) == 2, f"acknowledged and lost: {result.hit}"
        for label in listed - {site.first}:
            assert site.json("verify", "--label", label, status={0, 3})["clean"], result.hit
    if number % NEXT_EVERY == 0:
        last = site.json("backup")["label"]
        assert all(last in labels(site, name) for name in site.repositories)
    if number % VERIFY_EVERY == 0:
        assert site.json("verify", status={0, 3})["clean"], result.hit
    left = litter(site)
    if left:
        grow_old(left)
        site.source.archive_now()
        site.pgcairn("init")
        no_litter(site)


@pytest.mark.parametrize("fault", [KILLS[0], "EIO", pytest.param("ENOSPC", marks=slow), pytest.param("EINTR", marks=slow),
                                   pytest.param("short", marks=slow)])
def test_there_is_a_whole_backup_or_none(one, injector, tally, few, fault):
    for number, result in enumerate(backing_up(one, injector, tally, most=few).run(fault)):
        assert result.returncode in (KILLED if fault == "kill" else FAILED | {0}), result.stderr
        if fault in ("EINTR", "short"):
            assert result.returncode == 0, f"{result.hit}: {result.stderr}"
        whole_or_none(one, result, number)


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_a_repository_has_a_manifest_only_where_it_has_the_packs(two, injector, tally, few, fault):
    differ = 0
    for number, result in enumerate(backing_up(two, injector, tally, most=few or 80).run(fault, CHANGES)):
        whole_or_none(two, result, number)
        differ += labels(two, "near") != labels(two, "far")
    for top in two.repositories.values():  # an even choice may pass by the few calls that put a manifest
        folder = top / "clusters/main/backup"
        for number, result in enumerate(backing_up(two, injector, tally, [folder]).run(fault, ("linkat", "renameat2"))):
            whole_or_none(two, result, number)
            differ += labels(two, "near") != labels(two, "far")
    assert differ or few, "nothing fell between the two repositories"


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_on_a_poorer_file_system_too(one, injector, tally, few, fault):
    refuse = ("tmpfile=EOPNOTSUPP",)
    for number, result in enumerate(backing_up(one, injector, tally, refuse=refuse, most=few or 60).run(fault, CHANGES)):
        left = litter(one)
        grow_old(left)
        injector.run(one.command("pgcairn", "backup"), ["/nowhere"], refuse=refuse, status=0)
        no_litter(one)
        for backup in one.info()["backups"]:
            assert one.json("verify", "--label", backup["label"], status={0, 3})["clean"], result.hit


@slow
@pytest.mark.parametrize("fault", ["kill", "ECONNRESET", "EIO"])
@pytest.mark.parametrize("calls", [("sendto",), ("recvfrom",), ("openat", "read", "newfstatat")])
def test_a_server_that_cannot_be_read_makes_no_backup(one, injector, tally, few, fault, calls):
    """Its connections break, or its own files fail."""
    # in how many pieces an answer arrives depends on how busy the machine is
    steady = 0.2 if calls == ("recvfrom",) else 0.5
    sweep = backing_up(one, injector, tally, under=["socket:", one.pgdata], steady=steady, most=few or 20)
    for number, result in enumerate(sweep.run(fault, calls)):
        assert result.returncode in FAILED | KILLED | {0}, result.stderr
        whole_or_none(one, result, number)


@slow
def test_the_sweeps_were_long(tally):
    assert tally.of("backup") >= 500
