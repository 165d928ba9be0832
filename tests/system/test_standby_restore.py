"""restore --standby: a member of the cluster that lives on, along WAL, keys and timelines that were not there at its restore."""

import json
import subprocess

import pytest

from ha import Ledger, admit, other_host, promote, restore_standby, streaming
from harness import flip_bit, wait_until


@pytest.fixture
def primary(site):
    """A running primary with a backup and rows before and behind it."""
    cluster = site.cluster()
    cluster.start()
    site.extra = ["[restore]", "timeout = 4s"]
    site.write_config()
    site.pgcairn("init")
    cluster.ledger = Ledger(cluster)
    cluster.ledger.write(cluster, 10)
    site.json("backup")
    cluster.ledger.write(cluster, 10)
    cluster.archive_now()
    return cluster


def test_it_follows_the_archive_over_new_keys_streams_is_promoted_and_archives_on(site, primary):
    ledger, host = primary.ledger, other_host(site, "b")
    standby = restore_standby(host, "--primary-conninfo", primary.conninfo)
    assert standby.report["standby"] and standby.report["adopted"] and standby.report["reads_later_wal"]
    assert (standby.data / "standby.signal").exists() and not (standby.data / "recovery.signal").exists()
    standby.configure(primary_conninfo="host=/nonexistent")  # first without a primary
    auto = standby.data / "postgresql.auto.conf"
    streams = auto.read_text()
    auto.write_text("".join(line for line in streams.splitlines(True) if not line.startswith("primary_conninfo")))
    standby.start()
    ledger.wait(standby)
    for _ in range(2):  # each backup ends the epoch of the WAL: what follows is under a key that the session does not hold
        site.json("backup")
        ledger.write(primary, 10)
        primary.archive_now()
        ledger.wait(standby)
    assert len(site.objects("clusters/main/keys/*/*")) >= 5
    auto.write_text(streams)
    standby.pg_ctl("reload")
    wait_until(lambda: streaming(primary), "the standby to stream")
    ledger.write(primary, 5)
    ledger.wait(standby)

    admit(site, host)
    primary.stop()
    promote(standby)
    ledger.wants(standby)
    assert not (standby.data / "pgcairn.session").exists()
    ledger.write(standby, 5)
    standby.archive_now()
    assert len(site.objects("clusters/main/wal/*/00000002.history")) == 1
    assert site.objects("clusters/main/wal/*/00000002/*/*")

    copy = host.restore()
    copy.start()
    copy.wait_promoted()
    ledger.wants(copy)
    assert host.info()["conflicts"] == []


@pytest.mark.slow
def test_without_an_identity_it_says_what_it_lacks_never_stops_and_streams_past_it(site, primary):
    ledger, host = primary.ledger, other_host(site, "b")
    standby = restore_standby(host, "--primary-conninfo", primary.conninfo)
    (host.keys / "identity").unlink()
    site.json("backup")
    ledger.write(primary, 10)
    primary.stop()
    standby.start()
    ledger.wait(standby, 20)
    wait_until(lambda: "no identity is configured" in standby.log_text(), "the standby to say that it has no key")
    assert "set [keys] identity" in standby.log_text()
    assert standby.running() and ledger.rows(standby) == 20
    primary.start()
    ledger.wait(standby)


def test_a_segment_that_is_damaged_is_not_delivered_and_streaming_goes_past_it(site, primary):
    ledger, host = primary.ledger, other_host(site, "b")
    ledger.write(primary, 10)
    bad = primary.archive_now()
    ledger.write(primary, 10)
    primary.sql("SELECT pg_create_physical_replication_slot('kept', true)")
    primary.archive_now()
    standby = restore_standby(host)
    flip_bit(site.segment_object(bad), 400)
    standby.start()
    wait_until(lambda: f"{bad}' in repository 'local': " in standby.log_text(), "the damage to be told")
    wait_until(lambda: standby.log_text().count(f"{bad} is not to be had now") >= 2, "the standby to ask again")
    assert standby.running() and ledger.rows(standby) == 20, "a row of a damaged segment, or a standby that stopped"
    standby.configure(primary_conninfo=primary.conninfo)
    standby.pg_ctl("reload")
    ledger.wait(standby)


@pytest.mark.slow
def test_a_repository_that_is_added_later_does_not_stop_it(site, primary, runtime):
    ledger, host = primary.ledger, other_host(site, "b")
    standby = restore_standby(host)
    standby.start()
    ledger.wait(standby)
    for one in (site, host):
        one.repositories = {**one.repositories, "new": site.directory / "repository" / "new"}
        one.acknowledge = "all"
        one.write_config()
        site.pgcairn("init")  # the primary's host makes it, then the standby's hears of it
    ledger.write(primary, 10)
    primary.archive_now()
    ledger.wait(standby)
    assert standby.running()


@pytest.mark.slow
def test_the_newest_timeline_without_a_backup_on_its_path_is_refused_with_the_way_out(site, primary):
    """A copy that went back before the backup and was adopted: the standby's server would choose its timeline and fail."""
    primary.sql("SELECT pg_create_restore_point('before')")
    primary.archive_now()
    copy = site.restore("--target-name", "before", "--target-action", "promote", "--adopt", directory="copy")
    primary.stop()
    copy.start()
    copy.wait_promoted()
    copy.archive_now()
    copy.stop()
    primary.start()
    site.use(primary)
    site.json("backup")
    for old in site.objects("clusters/main/backup/*/manifest-*")[:1]:
        old.unlink()
    plain = site.json("restore", "--pgdata", site.directory / "plain", "--dry-run")
    assert plain["timeline"] == 1, "a timeline that forked before the backup was followed"
    said = site.refuse_restore("--standby")
    assert "timeline 2 is the newest" in said and "take a backup" in said


@pytest.mark.parametrize("args, word", [
    (("--standby", "--target-immediate"), "--standby"),
    (("--standby", "--target-time", "2026-01-31 14:59:00+00"), "--standby"),
    (("--standby", "--target-timeline", "1"), "--standby"),
    (("--standby", "--target-action", "promote"), "--standby"),
    (("--primary-conninfo", "host=x"), "--standby"),
    (("--standby", "--primary-conninfo", ""), "empty"),
    (("--standby", "--primary-conninfo", "nonsense"), "libpq cannot read it"),
    (("--standby", "--primary-conninfo", "host=x password=s3cret"), "password"),
    (("--standby", "--primary-conninfo", "postgresql://u:s3cret@h/"), "password"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else None)
def test_what_contradicts_a_standby_is_a_usage_error(site, args, word):
    site.pgdata, site.conninfo = site.directory / "none", "host=/nonexistent"
    site.write_config()
    said = site.refuse_restore(*args, status={2})
    assert word in said and "s3cret" not in said


def test_a_dry_run_says_what_it_would_be_and_writes_nothing(site, primary):
    report = site.json("restore", "--standby", "--pgdata", site.directory / "dry", "--dry-run")
    assert report["standby"] and report["dry_run"] and not (site.directory / "dry").exists()
    assert "standby" in site.pgcairn("restore", "--standby", "--pgdata", site.directory / "dry", "--dry-run").stdout
    assert "--standby" in site.pgcairn("restore", "--help").stdout


@pytest.mark.slow
def test_an_identity_that_the_servers_user_cannot_read_is_told_at_the_restore(site, primary, runtime):
    if not runtime.user:
        pytest.skip("only root can restore for another user")
    root_only = site.directory / "root-identity"
    root_only.write_bytes((site.keys / "identity").read_bytes())
    root_only.chmod(0o600)
    site.write_config(site.config_text().replace(f"identity = {site.keys}/identity", f"identity = {root_only}"))
    target = runtime.make_directory(site.directory / "standby", 0o755) / "data"
    done = subprocess.run([str(a) for a in site.command("pgcairn", "restore", "--standby", "--pgdata", target, "--json")],
                          env=runtime.environment(), capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["reads_later_wal"] is False
    assert "cannot read the identity" in done.stderr and "stand still" in done.stderr
    assert (target / "standby.signal").exists()

