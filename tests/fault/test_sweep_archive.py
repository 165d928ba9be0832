"""pgcairn-wal-archive when any of its system calls fails or is its last."""

import pytest

from faults import CHANGES, KILLS, WRITTEN, Sweep
from sites import FAILED, KILLED, fetched_from_each, grow_old, litter, no_conflict, put_back, with_segments

slow = pytest.mark.slow
pytestmark = pytest.mark.limit(900)
WAYS = {  # what the file system cannot do
    "unnamed": (),
    "named": ("tmpfile=EOPNOTSUPP",),
    "renamed": ("tmpfile=EOPNOTSUPP", "linkat=EPERM"),
}


@pytest.fixture(scope="module")
def one(swift):
    with swift.place("fault-one") as place:
        yield with_segments(swift, place)


@pytest.fixture(scope="module")
def two(swift):
    with swift.place("fault-two") as place:
        yield with_segments(swift, place, repositories=("near", "far"))


@pytest.fixture(scope="module")
def other_content(swift, one):
    """A segment of a twin under the name of the first: both clusters are copies of one."""
    with swift.place("fault-twin") as place:
        (found,) = [path for path in with_segments(swift, place, message="y").segments if path.name == one.segments[0].name]
        assert found.read_bytes() != one.segments[0].read_bytes()
        yield found


def archiving(site, injector, tally, prepare=None, **options):
    segment = site.segments[0]

    def fresh():
        put_back(site)
        if prepare:
            prepare()

    places = [*site.repositories.values(), site.directory / "state", site.keys, site.pgdata, site.config, segment, "pipe:"]
    return Sweep(injector, tally, "archive", lambda: site.command("pgcairn-wal-archive", segment, segment.name), places, fresh,
                 cwd=site.pgdata, **options)


def the_next_try_stores_it(site, result):
    """Absent or whole now, and after the next try there, once, in every repository."""
    segment, target = site.segments[0], site.directory / "fetched"
    code = site.fetch(segment.name, target, status={0, 1}).returncode
    assert target.exists() == (code == 0), result.hit
    assert code == 0 or result.returncode != 0, f"acknowledged and lost: {result.hit}"
    if code == 0:
        assert target.read_bytes() == segment.read_bytes()
    target.unlink(missing_ok=True)
    site.archive(segment)
    fetched_from_each(site, segment)
    no_conflict(site)


def no_litter_for_ever(site, injector, refuse=()):
    """A day later: the epoch is another, the next segment was stored, and somebody ran init again."""
    left = litter(site)
    if not left:
        return
    grow_old(left)
    (site.directory / "state/epochs/main.json").unlink(missing_ok=True)
    command = site.command("pgcairn-wal-archive", site.segments[1], site.segments[1].name)
    injector.run(command, ["/nowhere"], refuse=refuse, status=0, cwd=site.pgdata)
    site.pgcairn("init")
    assert not litter(site)


def is_told(result, fault):
    assert result.returncode in FAILED | {0}, result.stderr
    if fault in ("EINTR", "short"):
        assert result.returncode == 0, f"{result.hit}: {result.stderr}"
    elif result.returncode == 0 and result.hit.name in WRITTEN:
        # what the state directory holds is a convenience; the pipe tells the time limit, which has another way
        assert "/state" in result.hit.target or "pipe:" in result.hit.target, f"nobody noticed: {result.hit}"


@pytest.mark.parametrize("way", ["unnamed", "named", pytest.param("renamed", marks=slow)])
@pytest.mark.parametrize("fault", KILLS)
def test_a_kill_at_any_call_leaves_the_segment_absent_or_whole(one, injector, tally, few, way, fault):
    sweep = archiving(one, injector, tally, refuse=WAYS[way], a_kind=None if way == "unnamed" else 4, most=few)
    for result in sweep.run(fault, None if way == "unnamed" else CHANGES):
        assert result.returncode in (KILLED if fault == "kill" else FAILED | KILLED), result.stderr
        the_next_try_stores_it(one, result)
        no_litter_for_ever(one, injector, WAYS[way])


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", pytest.param("EACCES", marks=slow), "EINTR", "short"])
def test_an_error_at_any_call_is_told_and_the_next_try_succeeds(one, injector, tally, few, fault):
    for result in archiving(one, injector, tally, most=few).run(fault):
        is_told(result, fault)
        the_next_try_stores_it(one, result)
        no_litter_for_ever(one, injector)


@slow
@pytest.mark.parametrize("way", ["named", "renamed"])
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
def test_an_error_of_a_poorer_file_system_is_told_too(one, injector, tally, few, way, fault):
    for result in archiving(one, injector, tally, refuse=WAYS[way], most=few).run(fault, CHANGES):
        is_told(result, fault)
        the_next_try_stores_it(one, result)
        no_litter_for_ever(one, injector, WAYS[way])


def test_a_kill_between_two_repositories_is_completed_by_the_retry(two, injector, tally, few):
    half_done = 0
    for result in archiving(two, injector, tally, most=few and 2 * few).run("kill", CHANGES):
        has = [any(top.rglob(two.segments[0].name)) for top in two.repositories.values()]
        half_done += has == [True, False]
        the_next_try_stores_it(two, result)
        no_litter_for_ever(two, injector)
    assert half_done or few, "no kill fell between the two repositories"


@slow
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
def test_an_error_in_one_of_two_repositories_is_no_acknowledgement(two, injector, tally, few, fault):
    for result in archiving(two, injector, tally, most=few).run(fault, CHANGES):
        is_told(result, fault)
        the_next_try_stores_it(two, result)
        no_litter_for_ever(two, injector)


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_completing_the_second_repository_is_completed_by_the_next_try(two, injector, tally, few, fault):
    segment = two.segments[0]
    far = two.repositories["far"]

    def only_near():
        two.archive(segment)
        for path in [*far.rglob(segment.name), *far.glob("clusters/*/keys/*/*")]:
            path.unlink()

    for result in archiving(two, injector, tally, only_near, most=few).run(fault):
        if fault == "EIO":
            is_told(result, fault)
        the_next_try_stores_it(two, result)
        no_litter_for_ever(two, injector)


@slow
@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_a_conflict_that_is_interrupted_leaves_the_first_copy_in_service(one, other_content, injector, tally, few, fault):
    segment = one.segments[0]
    first, other = segment.read_bytes(), other_content.read_bytes()

    def stored():
        segment.write_bytes(first)
        one.archive(segment)
        segment.write_bytes(other)

    try:
        for result in archiving(one, injector, tally, stored, status=4, most=few).run(fault, CHANGES):
            assert result.returncode in FAILED | KILLED, result.stderr
            segment.write_bytes(first)
            fetched_from_each(one, segment)
            segment.write_bytes(other)
            one.archive(segment, status=4)
            no_litter_for_ever(one, injector)
    finally:
        segment.write_bytes(first)


@slow
def test_the_sweeps_were_long(tally):
    assert tally.of("archive") >= 1200
