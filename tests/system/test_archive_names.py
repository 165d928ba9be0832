"""What a file of WAL is known by: the name that the server gives, not the path, the codec or a number read in another base."""

import shutil

import pytest

from ha import ABORT
from harness import PG_BIN, Cluster


@pytest.fixture
def ready(site, segments):
    site.use(segments[-1])
    site.pgcairn("init")
    return site


def fetched(site, name):
    target = site.directory / "fetched"
    site.fetch(name, target)
    content = target.read_bytes()
    target.unlink()
    return content


def test_the_name_counts_and_not_the_path(ready, segments):
    """A wrapper that decrypts gives any temporary file for %p."""
    path = ready.directory / "wrapped.tmp"
    shutil.copy2(segments[0], path)
    ready.runtime.own(path)
    ready.archive(path, segments[0].name)
    assert fetched(ready, segments[0].name) == segments[0].read_bytes()


def test_the_same_under_another_codec_stays_one_object(ready, segments):
    """With the codec in its name there would be two of it, and one day the stale one is fetched."""
    ready.archive(segments[0])
    before = ready.objects("clusters/main/wal/**/*")
    stored = ready.segment_object(segments[0].name).read_bytes()
    ready.write_config(ready.config_text().replace("[cluster:main]\n", "[cluster:main]\nwal-compression = zstd\n"))
    ready.archive(segments[0])
    ready.archive(segments[1])
    assert ready.objects("clusters/main/wal/**/*") == sorted([*before, ready.segment_object(segments[1].name)])
    assert ready.segment_object(segments[0].name).read_bytes() == stored
    for segment in segments[:2]:
        assert fetched(ready, segment.name) == segment.read_bytes()
    assert not ready.info()["conflicts"]


def test_the_timeline_behind_9_is_a(ready):
    """Read in base 10 there would be none between 9 and 16."""
    for timeline in (9, 10, 11, 16):
        path = ready.directory / f"{timeline:08X}.history"
        path.write_text("".join(f"{n}\t0/{n:X}00000\tx\n" for n in range(1, timeline)))
        ready.runtime.own(path)
        ready.archive(path)
        assert fetched(ready, path.name) == path.read_bytes()
    target = ready.directory / "fetched"
    ready.fetch("0000000C.history", target, status=1)
    assert "has the history of timeline 16" in ready.fetch("0000000F.history", target, status=ABORT).stderr
    assert "has the history of timeline 9" in ready.fetch("00000008.history", target, status=ABORT).stderr
    ready.fetch("00000012.history", target, status=1)


def test_wal_goes_on_where_its_position_passes_4_gib(site, runtime, place):
    """The last segment below it ends in FFF, and its successor has another first half of the name."""
    cluster = Cluster.create(runtime, site.directory / "cluster", archive_mode="on", archive_command=site.archive_command)
    runtime.run([PG_BIN / "pg_resetwal", "-l", "000000010000000000000FFB", "-D", cluster.data])
    site.use(cluster)
    site.pgcairn("init")
    cluster.start()
    cluster.sql("CREATE TABLE t (id int)")
    site.json("backup")
    for number in range(8):
        cluster.sql("INSERT INTO t VALUES (%s)", number)
        last = cluster.archive_now()
    cluster.stop()
    assert last.startswith("0000000100000001"), last
    assert site.segment_object("000000010000000000000FFF") and site.segment_object("000000010000000100000000")
    assert len(site.info()["windows"]) == 1, "a hole where there is none"
    copy = site.restore()
    copy.start()
    copy.wait_promoted()
    assert copy.value("SELECT array_agg(id ORDER BY id) FROM t") == list(range(8))
