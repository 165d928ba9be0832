"""A backup from a standby of each supported major; test_standby_backup.py has the whole of it on one."""

import pytest

from harness import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(site, server_bin):
    """A primary that archives, and a standby that streams from it and that the configuration names."""
    primary = site.cluster(pg_bin=server_bin)
    primary.start()
    site.pgcairn("init")
    primary.sql("CREATE TABLE t AS SELECT generate_series(1, 100) AS i")
    primary.stop()
    standby = primary.standby(site.directory / "standby")
    primary.start()
    standby.start()
    primary.sql("INSERT INTO t SELECT generate_series(101, 200)")
    wait_until(lambda: standby.value("SELECT count(*) FROM t") == 200, "the standby to follow")
    site.use(standby)
    return primary, standby


def test_it_waits_for_the_primary_to_archive_its_wal_and_is_restored_to_the_latest(site, pair, runtime):
    primary, standby = pair
    primary.sql("CHECKPOINT")
    process = runtime.popen(site.command("pgcairn", "backup", "--full"))

    def over():
        primary.archive_now()
        return process.poll() is not None

    wait_until(over, "the backup to see its WAL", step=1)
    assert process.returncode == 0
    primary.sql("INSERT INTO t SELECT generate_series(201, 300)")
    primary.archive_now()
    standby.stop()
    primary.stop()
    backup = site.info()["backups"][0]
    assert backup["timeline"] == 1
    restored = site.restore()
    assert not (restored.data / "standby.signal").exists()
    restored.start()
    restored.wait_promoted()
    assert restored.value("SELECT count(*) FROM t") == 300
    site.pgcairn("verify")


def test_a_promotion_in_its_middle_makes_no_backup(site, pair, runtime):
    _, standby = pair
    process = runtime.popen(site.command("pgcairn", "backup", "--full", "--max-rate", "4MB"))
    wait_until(lambda: standby.sql("SELECT 1 FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'"),
               "the backup to stream")
    standby.pg_ctl("promote", "-w")
    assert process.wait(120) not in (0, 3)
    assert site.info()["backups"] == []
