"""restore when any of its system calls fails or is its last: what is there does not start, or it is whole.

The target has hundreds of files to which the same is done, so of each kind of call a few are spoiled.
"""

import shutil

import pytest

from faults import CHANGES, PARTIAL, Sweep
from harness import Cluster
from sites import FAILED, KILLED
from test_sweep_backup import running

slow = pytest.mark.slow
pytestmark = pytest.mark.limit(900)
AGAIN_EVERY = 5
START_EVERY = 25


@pytest.fixture(scope="module")
def source(swift):
    with swift.place("fault-restore") as place:
        site = running(swift, place)
        space = swift.make_directory(place / "space")
        site.source.sql(f"CREATE TABLESPACE s LOCATION '{space}'")
        site.source.sql("CREATE TABLE t TABLESPACE s AS SELECT 'all of it'::text AS what")
        site.oid = site.source.value("SELECT oid FROM pg_tablespace WHERE spcname = 's'")
        site.pgcairn("backup")
        site.source.sql("INSERT INTO t VALUES ('and more')")
        site.source.archive_now()
        site.source.stop()
        site.target, site.space = place / "target", place / "space-of-target"
        yield site


def clear(site):
    shutil.rmtree(site.target, ignore_errors=True)
    shutil.rmtree(site.space, ignore_errors=True)


def command(site, target, space):
    return site.command("pgcairn", "restore", "--pgdata", target, "--tablespace", f"{site.oid}={space}")


def restoring(site, injector, tally, under, **options):
    return Sweep(injector, tally, "restore", lambda: command(site, site.target, site.space), under, lambda: clear(site),
                 cwd=site.directory, **options)


def rows_of(site, target):
    """The server starts and has everything."""
    cluster = Cluster(site.runtime, target.with_name("server"), data=target)
    try:
        cluster.start()
        cluster.wait_promoted()
        return sorted(row[0] for row in cluster.sql("SELECT what FROM t"))
    finally:
        cluster.destroy()
        site.runtime.clusters.remove(cluster)
        shutil.rmtree(cluster.directory)


def half_or_whole(site, result, number):
    """Without pg_control nothing starts there, and a second restore says what lies there; elsewhere it works."""
    control = site.target / "global/pg_control"
    if control.exists():
        # the last act; of what comes after it only the durability of its name can fail
        told = result.returncode in KILLED | {0} or "pg_control" in result.hit.target or "/global" in result.hit.target
        assert told, f"it fails and leaves what starts: {result.hit}"
        assert rows_of(site, site.target) == ["all of it", "and more"]
        return
    assert result.returncode != 0, f"told as done: {result.hit}"
    if number % START_EVERY == 0 and site.target.exists():
        broken = Cluster(site.runtime, site.target.with_name("broken"), data=site.target)
        broken.start(status={1}, timeout=10)
        site.runtime.clusters.remove(broken)
        shutil.rmtree(broken.directory)
    lies_there = [p.name for p in site.target.iterdir()] if site.target.exists() else []
    if any(not name.startswith(".pgcairn-") for name in lies_there):
        refused = site.runtime.run(command(site, site.target, site.space), status={4})
        assert "did not finish" in refused.stderr, f"after {result.hit}: {refused.stderr}"
    else:
        site.runtime.run(command(site, site.target, site.space))
        assert not [p for p in site.target.iterdir() if p.name.startswith(".pgcairn-")]
    if number % AGAIN_EVERY == 0:
        other, space = site.target.with_name("other"), site.space.with_name("space-of-other")
        site.runtime.run(command(site, other, space))
        if number % START_EVERY == 0:
            assert rows_of(site, other) == ["all of it", "and more"]
        shutil.rmtree(other)
        shutil.rmtree(space)


@pytest.mark.parametrize("fault", ["kill", "EIO", pytest.param("ENOSPC", marks=slow)])
def test_what_is_half_restored_does_not_start(source, injector, tally, few, fault):
    sweep = restoring(source, injector, tally, [source.target, source.space], a_kind=2 if fault == "kill" and not few else 1, most=few and 2 * few)
    for number, result in enumerate(sweep.run(fault)):
        assert result.returncode in (KILLED if fault == "kill" else FAILED | {0}), result.stderr
        half_or_whole(source, result, number)


@slow
@pytest.mark.parametrize("fault", ["EINTR", "short"])
def test_an_interrupted_or_short_write_is_gone_on_with(source, injector, tally, few, fault):
    for result in restoring(source, injector, tally, [source.target, source.space], a_kind=2, most=few).run(fault, PARTIAL):
        assert result.returncode == 0, f"{result.hit}: {result.stderr}"
        assert rows_of(source, source.target) == ["all of it", "and more"]


@pytest.mark.parametrize("fault", ["EIO", pytest.param("EACCES", marks=slow)])
def test_a_repository_that_cannot_be_read_restores_nothing_wrong(source, injector, tally, few, fault):
    places = [*source.repositories.values(), source.directory / "state", source.keys]
    for number, result in enumerate(restoring(source, injector, tally, places, a_kind=few or 8, most=few).run(fault)):
        assert result.returncode in FAILED | {0}, result.stderr
        if result.returncode == 0:
            if number % AGAIN_EVERY == 0:
                assert rows_of(source, source.target) == ["all of it", "and more"], result.hit
        else:
            half_or_whole(source, result, number + 1)


@slow
def test_the_sweeps_were_long(tally):
    assert tally.of("restore") >= 150
