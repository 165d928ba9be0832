"""The main job on a server of each supported major. The servers are fetched once (majors.py), so all of it runs with --all only."""

import time

import pytest

from harness import MB, Site, flip_bit, wait_until
from history import BEFORE_BACKUP, ROWS, History, restore, utc  # noqa: F401 (fixtures are used by their names)
from majors import MAJORS, pg_bin

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=MAJORS)
def major(request):
    return request.param


@pytest.fixture(scope="module")
def servers(major):
    """The bin directory of this major."""
    return pg_bin(major)


@pytest.fixture(scope="module")
def history(runtime, major, servers):
    with runtime.place(f"major-{major}") as place:
        yield History(Site(runtime, place / "site"), pg_bin=servers, checksums=major < 18)


def test_the_server_is_of_that_major_and_what_it_wrote_was_understood(history, major, restore):
    cluster = restore("--target-immediate", "--target-action", "promote")
    cluster.wait_promoted()
    assert cluster.value("SHOW server_version_num").startswith(str(major))
    assert "unverified" not in history.source.log_text()
    history.site.pgcairn("verify")


def test_latest_brings_every_row(history, restore):
    cluster = restore()
    cluster.wait_promoted()
    history.wants(cluster, ROWS)


@pytest.mark.parametrize("last", [BEFORE_BACKUP + 1, ROWS - 1])
@pytest.mark.parametrize("kind", ["time", "lsn", "xid", "name"])
def test_a_target_ends_after_exactly_its_row(history, restore, kind, last):
    history.ends_after(restore, kind, last)


def test_targets_that_cannot_be_reached_are_refused_before_the_disk_is_touched(history):
    for target in (("--target-time", utc(history.rows[2]["after"])), ("--target-lsn", "7F/0"), ("--target-name", "after-999"),
                   ("--target-xid", "4000000000")):
        assert history.site.refuse_restore(*target).strip()


def test_every_segment_comes_back_byte_for_byte_and_the_next_is_missing(site, servers, runtime, place):
    raw = runtime.make_directory(place / "raw")
    cluster = site.cluster(pg_bin=servers, archive_command=f"cp %p {raw}/%f && {site.archive_command}")
    cluster.start()
    site.pgcairn("init")
    for size in (100, 3_200_000, 100):  # the second covers whole segments without any record start
        cluster.sql("SELECT pg_logical_emit_message(true, 'm', repeat('m', %s))", size)
        last = cluster.archive_now()
    names = sorted(p.name for p in raw.iterdir())
    assert len(names) >= 5
    for name in names:
        site.fetch(name, place / "back")
        assert (place / "back").read_bytes() == (raw / name).read_bytes(), name
    site.fetch(f"{int(last, 16) + 1:024X}", place / "none", status=1)
    assert not (place / "none").exists()


def test_tablespaces_with_files_of_their_own_go_where_they_are_told(site, servers, runtime, place):
    source = site.cluster(pg_bin=servers)
    source.start()
    site.pgcairn("init")
    oids = {}
    for name in ("one", "two"):
        source.sql(f"CREATE TABLESPACE {name} LOCATION '{runtime.make_directory(place / name)}'")
        source.sql(f"CREATE TABLE in_{name} TABLESPACE {name} AS SELECT generate_series(1, 1000) AS i")
        oids[name] = source.value("SELECT oid FROM pg_tablespace WHERE spcname = %s", name)
    site.json("backup", "--full")
    source.sql("INSERT INTO in_one VALUES (1001)")
    source.archive_now()
    source.stop()
    moved = [word for name, oid in oids.items() for word in ("--tablespace", f"{oid}={place}/moved-{name}")]
    restored = site.restore(*moved)
    restored.start()
    restored.wait_promoted()
    assert restored.value("SELECT count(*) FROM in_one") == 1001 and restored.value("SELECT count(*) FROM in_two") == 1000
    for name, oid in oids.items():
        assert restored.value("SELECT pg_tablespace_location(%s)", oid) == f"{place}/moved-{name}"


def test_an_adopted_restore_promotes_archives_its_timeline_and_is_restored_over_the_fork(site, servers):
    source = site.cluster(pg_bin=servers)
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE t AS SELECT 1 AS i")
    site.json("backup", "--full")
    source.sql("INSERT INTO t VALUES (2)")
    source.archive_now()
    source.stop()
    second = site.restore("--adopt", directory="second")
    site.use(second)
    second.start()
    second.wait_promoted()
    second.sql("INSERT INTO t VALUES (3)")
    second.archive_now()
    site.pgcairn("check")
    second.stop()
    assert site.objects("clusters/*/wal/*/00000002.history")
    third = site.restore(directory="third")
    third.start()
    third.wait_promoted()
    assert third.sql("SELECT i FROM t ORDER BY i") == [(1,), (2,), (3,)]


def test_a_promoted_standby_archives_a_partial_that_never_stands_for_the_whole(site, servers):
    primary = site.cluster(pg_bin=servers)
    primary.start()
    site.pgcairn("init")
    primary.sql("CREATE TABLE t AS SELECT 1 AS i")
    primary.stop()
    standby = primary.standby(site.directory / "standby")
    primary.start()
    standby.start()
    primary.sql("INSERT INTO t VALUES (2)")
    wait_until(lambda: standby.value("SELECT count(*) FROM t") == 2, "the standby to follow")
    standby.pg_ctl("promote", "-w")
    partial = wait_until(lambda: site.objects("clusters/*/wal/*/00000001/*/*.partial"), "the partial segment")[0]
    standby.sql("INSERT INTO t VALUES (3)")
    standby.archive_now()
    site.fetch(partial.name.removesuffix(".partial"), site.directory / "whole", status=1)
    site.fetch(partial.name, site.directory / "partial")
    site.pgcairn("verify", status={0, 3})


def test_a_standby_is_restored_follows_the_archive_and_is_promoted(site, servers):
    primary = site.cluster(pg_bin=servers)
    primary.start()
    site.pgcairn("init")
    primary.sql("CREATE TABLE t AS SELECT 1 AS i")
    site.json("backup", "--full")
    standby = site.restore("--standby", directory="standby")
    standby.configure(wal_retrieve_retry_interval="200ms")
    standby.start()
    primary.sql("INSERT INTO t VALUES (2)")
    primary.archive_now()
    wait_until(lambda: standby.value("SELECT count(*) FROM t") == 2, "the standby to follow")
    primary.stop()
    standby.pg_ctl("promote", "-w")
    standby.wait_promoted()
    assert standby.sql("SELECT i FROM t ORDER BY i") == [(1,), (2,)]
    assert standby.archive_now().startswith("00000002")


def test_a_page_with_a_bad_checksum_is_named_and_the_backup_kept(site, major, servers):
    """18 checks pages without being asked for it at initdb."""
    source = site.cluster(pg_bin=servers, checksums=major < 18)
    source.start()
    assert source.value("SHOW data_checksums") == "on"
    site.pgcairn("init")
    source.sql("CREATE TABLE t AS SELECT generate_series(1, 20000) AS i")
    relation = source.value("SELECT pg_relation_filepath('t')")
    source.sql("CHECKPOINT")
    source.stop()
    flip_bit(source.data / relation, 3 * 8192 + 4000)
    source.start()
    said = site.pgcairn("backup", "--full", "--json", status={3})
    assert relation in said.stderr
    assert len(site.info()["backups"]) == 1


def test_a_slow_backup_is_slowed_by_the_server(site, servers):
    source = site.cluster(pg_bin=servers)
    source.start()
    site.pgcairn("init")
    began = time.monotonic()
    site.json("backup", "--full", "--max-rate", "8MB")  # an empty cluster has more than 20 MB
    assert time.monotonic() - began > 2


def comes_back_with(site, servers, segment_mb, place):
    source = site.cluster(pg_bin=servers, segment_mb=segment_mb)
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE t (i int)")
    site.json("backup", "--full", timeout=280)
    source.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    name = source.archive_now()
    source.sql("INSERT INTO t VALUES (1001)")
    source.archive_now()
    source.stop()
    site.fetch(name, place / "back")
    assert (place / "back").stat().st_size == segment_mb * MB
    restored = site.restore()
    restored.start()
    restored.wait_promoted()
    assert restored.value("SELECT count(*) FROM t") == 1001


@pytest.mark.parametrize("segment_mb", [1, 16])
def test_segments_of_usual_sizes_are_archived_fetched_and_restored(site, servers, segment_mb, place):
    comes_back_with(site, servers, segment_mb, place)


@pytest.mark.parametrize("end", [min(MAJORS), max(MAJORS)])
def test_segments_of_1_gb_are_archived_fetched_and_restored(site, end, place):
    comes_back_with(site, pg_bin(end), 1024, place)
