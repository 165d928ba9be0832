"""Catching up from pg_wal while the server takes the segment away, at each moment between the agent's first look at it and its last.

far gets what was archived under the name, from the server as long as that is what the agent reads, else from near; and
the round goes on to the next segment.
"""

import re
import shlex
import shutil

import pytest

from sites import archived_without, fetched_from_each, no_conflict, put_back, take_picture, with_segments

pytestmark = pytest.mark.limit(900)
NEAR, FAR = "near", "far"
CAUGHT_UP = re.compile(r"'far' of cluster 'main' has caught up: (\d+) segments from pg_wal, (\d+) objects")
FROM_SERVER, FROM_NEAR = (2, 0), (1, 1)
LATER = "0000000100000000000000F0"


@pytest.fixture(scope="module")
def behind(swift):
    """far misses two segments that near and pg_wal have; four reads each."""
    with swift.place("moments") as place:
        site = with_segments(swift, place, message="ten bytes ", segment_mb=4, repositories=(NEAR, FAR))
        site.acknowledge = "1"
        site.write_config()
        archived_without(site, FAR)
        take_picture(site)
        yield site


def prepare(site):
    put_back(site)
    for path in (site.pgdata / "pg_wal").glob("0*"):
        path.unlink()
    for segment in site.segments:
        shutil.copy2(segment, site.pgdata / "pg_wal" / segment.name)
    site.runtime.own(site.pgdata)


def catch_up(site, injector, *options):
    """The agent for a second, which is enough; with the calls that it makes on the first segment in pg_wal."""
    prepare(site)
    command = ["/usr/bin/timeout", "--foreground", "--preserve-status", "1", *site.command("pgcairn", "agent")]
    return injector.run(command, [site.pgdata / "pg_wal" / site.segments[0].name], options, status=0, program=True, sanitized=True)


def brought(result):
    """Segments from pg_wal and objects from near, in one round that nothing was wrong with."""
    (found,) = CAUGHT_UP.findall(result.stderr)
    assert "warning" not in result.stderr and "error" not in result.stderr, result.stderr
    return tuple(map(int, found))


@pytest.fixture(scope="module")
def calls(behind, injector, few):
    """Its look, its open, the reads of the first page and of each MiB, its close; in the short tier some of them."""
    result = catch_up(behind, injector)
    assert brought(result) == (2, 0)
    names = [call.name for call in result.calls]
    assert names[:2] == ["access", "openat"] and names[-6:] == 5 * ["pread64"] + ["close"]
    return result.calls if few is None else [result.calls[i] for i in (1, -5, -3, -1)]


# What the server does with its file while that call waits.
WAYS = {
    "removed": "rm {file}",
    "recycled": "mv {file} {later} && cp {other} {later}",  # and written over, in place
    "recycled and partly written over": "mv {file} {later} && dd if={other} of={later} bs=64k count=40 conv=notrunc status=none",
    "another under its name": "mv {file} {later} && cp {other} {file}",  # as when somebody restores over the directory
}


@pytest.mark.parametrize("way", WAYS)
def test_a_segment_that_goes_while_it_is_taken_arrives_as_it_was_archived(behind, injector, calls, way):
    first, second = behind.segments
    file = behind.pgdata / "pg_wal" / first.name
    words = {"file": file, "later": file.with_name(LATER), "other": second}
    shell = WAYS[way].format(**{key: shlex.quote(str(path)) for key, path in words.items()})
    taken = {}
    for call in calls:
        result = catch_up(behind, injector, "--nth", str(call.number), "--aside", shell)
        assert [c.name for c in result.calls] == [call.name]
        taken[call.number] = brought(result)
        for segment in behind.segments:
            fetched_from_each(behind, segment)
        assert {p.name for p in behind.objects("clusters/*/wal/**/*", FAR)} == {first.name, second.name}
        no_conflict(behind)
    assert set(taken.values()) == {FROM_NEAR, FROM_SERVER}
    assert taken[calls[0].number] == FROM_NEAR and taken[calls[-1].number] == FROM_SERVER
