"""pg_wal fills because archiving stands still: check says it in time, and what docs/operations.md says to do loses nothing."""

import os
import subprocess

import psycopg2
import pytest

from harness import MB, wait_until
from reports import backed_up, segments

SMALL, LARGE = 24, 200  # MB


@pytest.fixture
def small_disk(place):
    """A file system of its own that can be enlarged, as a volume can."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system")
    where = place / "disk"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}m", "tmpfs", where], check=False, timeout=60).returncode:
        pytest.skip("no mount here")
    yield where
    subprocess.run(["umount", "-l", where], check=True, timeout=60)


def move_pg_wal(runtime, cluster, where):
    runtime.own(where)
    runtime.run(["cp", "-a", cluster.data / "pg_wal", where])
    (cluster.data / "pg_wal").rename(cluster.data.parent / "pg_wal.before")
    (cluster.data / "pg_wal").symlink_to(where / "pg_wal")


def write_until(cluster, enough):
    """One committed row after the other, each of half a megabyte of WAL; how many were acknowledged. enough: when to stop."""
    done = 0
    try:
        connection = cluster.connect()
        with connection.cursor() as cursor:
            while not enough():
                cursor.execute("INSERT INTO counter SELECT coalesce(max(i), 0) + 1 FROM counter;"
                               " SELECT pg_logical_emit_message(false, 'fill', repeat('x', 500000))")
                done += 1
        connection.close()
    except psycopg2.Error:
        pass  # the server stopped
    return done


def free_mb(where):
    room = os.statvfs(where)
    return room.f_bavail * room.f_frsize / MB


def test_a_server_whose_pg_wal_is_full_has_lost_nothing_and_goes_on_with_more_room(site, runtime, small_disk):
    source = backed_up(site, segments=1)
    source.sql("CREATE TABLE counter (i int)")
    source.stop()
    move_pg_wal(runtime, source, small_disk)
    source.configure(min_wal_size="4MB", max_wal_size="4MB")
    source.start()
    source.archive_now()
    repository = site.repositories["local"]
    repository.rename(repository.with_name("away"))  # nobody takes WAL any more
    acknowledged = write_until(source, lambda: free_mb(small_disk) < SMALL / 3)
    wait_until(lambda: source.value("SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver"), "a failure")
    findings = {f["check"]: f for f in site.json("check", "--no-switch", status=3)["findings"] if f["severity"] == "critical"}
    assert "archiving stands still" in findings["pg-wal"]["what"] and "never delete in pg_wal" in findings["pg-wal"]["remedy"]

    written = [acknowledged]

    def stopped():  # after a PANIC it recovers, and may find room for a little more
        written.append(write_until(source, lambda: False))
        return not source.running()

    wait_until(stopped, "the server to stop for good", step=0.5)
    acknowledged = sum(written)
    assert "No space left on device" in source.log_text()
    findings = {f["check"]: f for f in site.json("check", "--no-switch", status=3)["findings"] if f["severity"] == "critical"}
    assert {"server", "repository", "pg-wal"} <= set(findings), "it is told while the server is down too"
    assert "not enough for another segment" in findings["pg-wal"]["what"]

    subprocess.run(["mount", "-o", f"remount,size={LARGE}m", small_disk], check=True, timeout=60)
    repository.with_name("away").rename(repository)
    source.start()
    assert source.value("SELECT max(i) FROM counter") >= acknowledged > SMALL
    assert source.value("SELECT count(*) = max(i) FROM counter"), "every one of them, and in order"
    newest = source.archive_now()
    assert newest in {p.name for p in segments(site)}
    wait_until(lambda: site.json("check", status={0, 3})["status"] == "ok", "check to be content", timeout=90)
    assert site.json("verify")["clean"]
    copy = site.restore()
    copy.start()
    copy.wait_promoted()
    assert copy.value("SELECT count(*) FROM counter") >= acknowledged
    source.stop()
    copy.stop()
