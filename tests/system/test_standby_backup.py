"""A backup of a standby: no segment is closed by it, its end is on the primary, and the standby may be promoted meanwhile."""

import re
import subprocess
import threading

import pytest

from ha import Ledger, admit, clone_standby, knows_primary, other_host, promote, streaming
from harness import PG_BIN, Cluster, wait_until


class Pair:
    """A primary and its streaming standby on another host that may write too."""

    def __init__(self, site):
        self.site, self.primary = site, site.cluster()
        self.primary.start()
        site.pgcairn("init")
        self.ledger = Ledger(self.primary)
        self.ledger.write(self.primary, 10)
        self.host = other_host(site, "b")
        self.standby = clone_standby(self.host, self.primary)
        self.standby.start()
        admit(site, self.host)
        wait_until(lambda: streaming(self.primary), "the standby to stream")
        self.into_a_segment()

    def into_a_segment(self):
        """A restartpoint of the standby in the middle of a segment: there its next backup will end."""
        self.ledger.write(self.primary, 10)
        self.primary.sql("CHECKPOINT")
        self.ledger.write(self.primary)
        self.ledger.wait(self.standby)

    def manifests(self):
        return self.site.objects("clusters/main/backup/*/manifest-*")

    def backup_in_background(self, *args):
        return self.site.runtime.popen(self.host.command("pgcairn", "backup", *args), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)


@pytest.fixture
def pair(site):
    return Pair(site)


def control(cluster, field):
    said = cluster.runtime.run([PG_BIN / "pg_controldata", cluster.data]).stdout
    return re.search(rf"^{field}: *(\S+)$", said, re.MULTILINE)[1]


def lsn(text):
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def test_it_is_taken_under_load_and_restores_to_the_latest_to_a_target_and_past_a_promotion(pair):
    knows_primary(pair.host, pair.primary.conninfo)
    history_files = pair.site.objects("clusters/main/wal/**/*.backup")
    pair.ledger.begin(pair.primary)
    report = pair.host.json("backup")
    pair.ledger.end()
    assert pair.site.objects("clusters/main/wal/**/*.backup") == history_files, "a standby's backup made a .backup file"
    pair.ledger.write(pair.primary, 10)
    middle = pair.ledger.acknowledged
    moment = pair.primary.value("SELECT pg_create_restore_point('middle')::text")
    pair.ledger.write(pair.primary, 10)
    pair.primary.archive_now()

    copy = pair.host.restore("--target-name", "middle", directory="copy")
    assert not (copy.data / "standby.signal").exists(), "the standby's own, which the backup holds"
    assert (copy.data / "recovery.signal").exists()
    label = (copy.data / "backup_label").read_text()
    assert "BACKUP FROM: standby" in label and report["start_lsn"] in label
    assert 0 < lsn(control(copy, "Minimum recovery ending location")) <= lsn(report["stop_lsn"])
    copy.start()
    copy.wait_paused()
    assert copy.value("SHOW primary_conninfo") == ""
    pair.ledger.wants(copy, middle)
    assert lsn(copy.value("SELECT pg_last_wal_replay_lsn()::text")) >= lsn(moment)

    assert pair.host.info()["backups"][0]["from_standby"] is True
    pair.site.pgcairn("verify")
    pair.ledger.wait(pair.standby)
    pair.primary.stop()
    promote(pair.standby)
    pair.ledger.write(pair.standby, 10)
    pair.standby.archive_now()
    latest = pair.host.restore(directory="latest")
    latest.start()
    latest.wait_promoted()
    pair.ledger.wants(latest)
    assert latest.value("SELECT timeline_id FROM pg_control_checkpoint()") == 3


def test_on_an_idle_primary_it_ends_in_time_says_what_to_do_and_leaves_no_backup(pair):
    assert "from a standby" in pair.host.pgcairn("backup", "--dry-run").stdout
    said = pair.host.pgcairn("backup", "--wal-timeout", "1s", status=1).stderr
    assert "was not archived in time" in said
    assert "primary-conninfo" in said and "pg_switch_wal()" in said
    assert pair.manifests() == []


@pytest.mark.slow
def test_on_an_idle_primary_it_is_complete_once_somebody_closes_the_segment(pair):
    running = pair.backup_in_background("--wal-timeout", "60s")
    wait_until(lambda: pair.site.objects("clusters/main/backup/*/pack-*"), "the packs of the backup")
    pair.primary.switch_wal()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, out + err
    assert len(pair.manifests()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("where, word", [
    ("standby", "leads to a standby"),
    ("nowhere", "connect to PostgreSQL"),
    ("another", "leads to another cluster"),
])
def test_a_primary_that_is_none_is_said_so_and_nothing_is_closed(pair, runtime, place, where, word):
    conninfo = {"standby": pair.standby.conninfo, "nowhere": "host=/nonexistent"}.get(where)
    if where == "another":
        other = Cluster.create(runtime, place / "another", fresh=True)
        other.start()
        conninfo = other.conninfo
        before = other.value("SELECT pg_walfile_name(pg_current_wal_lsn())")
    knows_primary(pair.host, conninfo)
    said = pair.host.pgcairn("backup", "--wal-timeout", "2s", status=1).stderr
    assert word in said and "was not archived in time" in said
    assert pair.manifests() == []
    if where == "another":
        assert other.value("SELECT pg_walfile_name(pg_current_wal_lsn())") == before


@pytest.mark.slow
def test_a_promotion_while_the_files_are_read_ends_it_and_nothing_of_it_can_be_seen(pair):
    pair.primary.sql("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 4000)")
    running = pair.backup_in_background("--max-rate", "2MB")
    wait_until(lambda: pair.site.objects("clusters/main/backup/*/pack-*") or
               pair.standby.value("SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'"),
               "the backup to stream")
    promote(pair.standby)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 1, out + err
    assert "promoted" in err
    assert pair.manifests() == [] and pair.host.info()["backups"] == []
    pair.host.json("backup")  # the promoted server's own
    assert len(pair.manifests()) == 1


@pytest.mark.slow
def test_a_promotion_while_it_waits_for_its_last_segment_is_said_and_leaves_no_backup(pair):
    running = pair.backup_in_background("--wal-timeout", "12s")
    wait_until(lambda: pair.site.objects("clusters/main/backup/*/pack-*"), "the packs of the backup")
    wait_until(lambda: not pair.standby.value("SELECT count(*) FROM pg_stat_progress_basebackup"), "the stream to end")
    pair.primary.kill9()
    promote(pair.standby)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 1, out + err
    assert "promoted before WAL segment" in err and "take another backup" in err
    assert pair.manifests() == []


@pytest.mark.slow
def test_wal_that_was_written_without_full_pages_is_refused_in_the_servers_words(pair):
    pair.primary.sql("ALTER SYSTEM SET full_page_writes = off")
    pair.primary.pg_ctl("reload")
    wait_until(lambda: pair.primary.value("SHOW full_page_writes") == "off", "the setting")
    pair.primary.sql("CHECKPOINT")
    pair.ledger.write(pair.primary, 5)
    pair.ledger.wait(pair.standby)
    said = pair.host.pgcairn("backup", status=1).stderr
    assert "full_page_writes=off" in said
    assert pair.manifests() == []


@pytest.mark.slow
def test_two_backups_at_once_from_the_primary_and_the_standby_are_two(pair):
    knows_primary(pair.host, pair.primary.conninfo)
    reports = []
    both = [threading.Thread(target=lambda s=s: reports.append(s.json("backup"))) for s in (pair.site, pair.host)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    assert len({r["label"] for r in reports}) == 2 == len(pair.manifests())
    for report in reports:
        copy = pair.host.restore("--backup", report["label"], directory=f"r-{report['label'].lower()}")
        copy.start()
        copy.wait_promoted()
        pair.ledger.wants(copy)
