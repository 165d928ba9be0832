"""Prefetch for recovery: what it delivers is what is fetched without it, and it ends by itself."""

import pathlib

import pytest

from harness import Site, wait_until

SEGMENTS = 40
READY = "prefetched from repository 'local'"


def talkative(site):
    site.write_config(site.config_text().replace("[pgcairn]\n", "[pgcairn]\nlog-level = debug\n"))


@pytest.fixture(scope="module")
def archived(runtime):
    """A stopped cluster with a backup and a row in each of many segments behind it."""
    with runtime.place("prefetch") as place:
        site = Site(runtime, place / "site")
        source = site.cluster()
        source.start()
        site.pgcairn("init")
        source.sql("CREATE TABLE t (id int PRIMARY KEY)")
        site.json("backup")
        site.names = []
        for number in range(SEGMENTS):
            source.sql("INSERT INTO t VALUES (%s)", number)
            site.names.append(source.switch_wal())
        source.wait_archived(site.names[-1])
        source.stop()
        site.source = source
        talkative(site)
        yield site


def spools(site):
    return list((site.directory / "state/spool").glob("*/*"))


def prefetchers():
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--prefetch" in words:
            found.append(int(path.parent.name))
    return found


def all_rows(cluster):
    assert cluster.value("SELECT array_agg(id ORDER BY id) FROM t") == list(range(SEGMENTS))


def test_a_recovery_gets_nearly_all_segments_from_the_spool(archived):
    restored = archived.restore()
    restored.start()
    restored.wait_promoted()
    all_rows(restored)
    log = restored.log_text()
    assert log.count(READY) > SEGMENTS // 2, f"{log.count(READY)} of {SEGMENTS}"
    wait_until(lambda: not prefetchers() and not spools(archived), "the prefetcher to end and to take its spool with it")
