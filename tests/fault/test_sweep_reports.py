"""verify, info and check when a read fails: none says that all is well, and none writes."""

import errno
import json
import os

import pytest

from faults import CHANGES, Sweep
from sites import FAILED
from test_sweep_backup import running

slow = pytest.mark.slow
pytestmark = pytest.mark.limit(900)
# What says nothing of an object's content: closing, and what is only printed.
HARMLESS = ("close", "fstatfs", "statfs", "ioctl", "faccessat2", "faccessat")


@pytest.fixture(scope="module")
def still(swift):
    with swift.place("fault-reports") as place:
        site = running(swift, place)
        site.source.archive_now()
        site.source.stop()
        yield site


def reporting(site, injector, tally, verb, few, **options):
    return Sweep(injector, tally, verb, lambda: site.command("pgcairn", verb, "--json"),
                 [*site.repositories.values(), site.directory / "state", site.keys], lambda: None, cwd=site.directory,
                 most=few, **options)


def facts(text):
    """What info says, but for what changes by itself, and what it leaves out when it could not ask."""
    try:
        told = json.loads(text)
    except ValueError:
        return text
    for repository in told["repositories"]:
        for name in ("free", "total", "create_only", "writer_can_delete"):
            repository.pop(name, None)
    return told


@pytest.mark.parametrize("fault", ["EIO", pytest.param("EACCES", marks=slow), pytest.param("EINTR", marks=slow)])
def test_verify_says_so_when_something_cannot_be_read(still, injector, tally, few, fault):
    for result in reporting(still, injector, tally, "verify", few, a_kind=8).run(fault):
        if fault == "EINTR":
            assert result.returncode == 0, f"{result.hit}: {result.stderr}"
        else:
            # without keys it verifies what it can, and says that it had none
            said = "/keys/" in result.hit.target and result.hit.target in result.stdout + result.stderr
            harmless = result.hit.name in HARMLESS or said
            assert result.returncode in FAILED or harmless, f"nobody noticed: {result.hit}"


@slow
@pytest.mark.parametrize("fault", ["EIO", "EACCES"])
def test_info_says_so_when_something_cannot_be_read(still, injector, tally, few, fault):
    sound = facts(still.pgcairn("info", "--json").stdout)
    for result in reporting(still, injector, tally, "info", few).run(fault):
        assert result.returncode in FAILED | {0}, result.stderr
        said = facts(result.stdout) == sound or os.strerror(getattr(errno, fault)) in result.stdout + result.stderr
        assert said or result.hit.name in HARMLESS, f"nobody noticed: {result.hit}: {result.stdout}"


@slow
@pytest.mark.parametrize("verb", ["verify", "info"])
def test_a_report_changes_nothing(still, injector, tally, verb):
    calls = reporting(still, injector, tally, verb, None).calls()
    writing = [call for call in calls if call.name in CHANGES and call.name not in ("openat", "openat2", "close")]
    assert not writing


@slow
def test_the_sweeps_were_long(tally):
    assert tally.of("verify") >= 100
    assert tally.of("info") >= 100
