"""Memory that is out at any allocation: an error that says so, never a crash, and never a wrong answer."""

import pathlib
import shutil

import pytest

from sites import FAILED, fetched_from_each, no_conflict, put_back, take_picture, with_segments
from test_sweep_backup import running
from test_sweep_restore import clear

pytestmark = [pytest.mark.slow, pytest.mark.limit(900)]
NEVER = "0000000100000000000000FE"
STOPS_RECOVERY = set(range(126, 256)) - {143}
SAYS_SO = ("out of memory", "Cannot allocate memory", "free memory", "no memory", "no thread could be started")


class Starver:
    def __init__(self, runtime, build):
        self.runtime = runtime
        self.library = runtime.bin / "libstarve.so"
        shutil.copy2(pathlib.Path(build) / "tests/fault/libstarve.so", self.library)
        self.log = runtime.make_directory(runtime.root / "starve") / "log"

    def run(self, command, nth, cwd):
        """The result, or None when there was no such allocation."""
        self.log.unlink(missing_ok=True)
        env = {"LD_PRELOAD": str(self.library), "STARVE_NTH": str(nth), "STARVE_LOG": str(self.log)}
        result = self.runtime.run(command, status=None, cwd=cwd, env=env)
        return result if self.log.exists() else None


@pytest.fixture(scope="module")
def starver(swift, runtime, request):
    if swift is runtime:
        pytest.fail("the sanitizers have an allocator of their own: this needs plain binaries")
    return Starver(swift, request.config.getoption("--build"))


@pytest.fixture(scope="module")
def site(swift):
    with swift.place("starved") as place:
        site = with_segments(swift, place)
        site.archive(site.segments[0])
        take_picture(site)
        yield site


def sweep(starver, tally, verb, few, argv, cwd, step=1):
    nth = 1
    while few is None or nth <= few * step:
        result = starver.run(argv(), nth, cwd)
        if result is None:
            break
        tally.add(verb, "ENOMEM")
        result.nth = nth
        assert result.returncode >= 0 and "ended by signal" not in result.stderr, f"allocation {nth}: {result.stderr}"
        yield result
        nth += step
    assert nth > 20 * step or few, "hardly any allocation"


def says_so(result):
    assert any(word in result.stderr for word in SAYS_SO), f"allocation {result.nth}: {result.returncode} {result.stderr}"


def test_archiving_without_memory_fails_and_says_so(site, starver, tally, few):
    segment = site.segments[1]

    def fresh():
        put_back(site)
        return site.command("pgcairn-wal-archive", segment, segment.name)

    for result in sweep(starver, tally, "archive", few, fresh, site.pgdata):
        assert result.returncode in FAILED | {0}
        if result.returncode:
            says_so(result)
            site.archive(segment)
        fetched_from_each(site, segment)
        no_conflict(site)


@pytest.mark.parametrize("stored", [True, False])
def test_fetching_without_memory_is_no_miss(site, starver, tally, few, stored):
    put_back(site)
    target = site.directory / "fetched"
    name = site.segments[0].name if stored else NEVER

    def argv():
        target.unlink(missing_ok=True)
        return site.command("pgcairn-wal-restore", name, target)

    for result in sweep(starver, tally, "fetch", few, argv, site.pgdata):
        if result.returncode not in (0, 1):
            assert result.returncode in STOPS_RECOVERY
            says_so(result)
            assert not target.exists()
        else:
            assert (result.returncode == 0) == stored, f"allocation {result.nth}: {result.stderr}"
            assert target.exists() == stored


@pytest.fixture(scope="module")
def source(swift):
    with swift.place("starved-restore") as place:
        site = running(swift, place)
        site.source.archive_now()
        site.source.stop()
        site.target, site.space = place / "target", place / "space-of-target"
        yield site


def test_restoring_without_memory_leaves_nothing_that_starts(source, starver, tally, few):
    def argv():
        clear(source)
        return source.command("pgcairn", "restore", "--pgdata", source.target)

    for result in sweep(starver, tally, "restore", few, argv, source.directory, step=41):
        if result.returncode:
            says_so(result)
            assert not (source.target / "global/pg_control").exists()


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_a_report_without_memory_says_so(source, starver, tally, few, verb):
    for result in sweep(starver, tally, verb, few, lambda: source.command("pgcairn", verb, "--json"), source.directory,
                        step={"info": 11, "verify": 97}[verb]):
        assert result.returncode == 0 or any(word in result.stderr + result.stdout for word in SAYS_SO), (result.nth, result.stderr)
