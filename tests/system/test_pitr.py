"""The main job: archive, back up, destroy, recover to a moment, and count the rows exactly."""

import datetime

import pytest

from harness import PG_BIN, Site, wait_until
from history import BEFORE_BACKUP, ROWS, History, restore, utc  # noqa: F401 (fixtures are used by their names)


@pytest.fixture(scope="module")
def history(runtime):
    with runtime.place("pitr") as place:
        yield History(Site(runtime, place / "site"))


def test_latest_brings_every_row_and_promotes(history, restore):
    cluster = restore()
    cluster.wait_promoted()
    history.wants(cluster, ROWS)
    cluster.sql("INSERT INTO t VALUES (1000, 'new life')")


def test_immediate_ends_where_the_backup_ends(history, restore):
    cluster = restore("--target-immediate", "--target-action", "promote")
    cluster.wait_promoted()
    history.wants(cluster, BEFORE_BACKUP)


@pytest.mark.parametrize("last", [BEFORE_BACKUP + 1, 10, ROWS - 1])
@pytest.mark.parametrize("kind", ["time", "lsn", "xid", "name"])
def test_a_target_ends_after_exactly_its_row(history, restore, kind, last):
    history.ends_after(restore, kind, last)


def test_a_target_time_includes_the_commit_of_that_very_microsecond(history, restore):
    cluster = restore("--target-time", utc(history.rows[9]["committed"]), "--target-action", "promote")
    cluster.wait_promoted()
    history.wants(cluster, 9)


def test_the_microsecond_before_a_commit_leaves_it_out(history, restore):
    moment = history.rows[9]["committed"] - datetime.timedelta(microseconds=1)
    cluster = restore("--target-time", utc(moment), "--target-action", "promote")
    cluster.wait_promoted()
    history.wants(cluster, 8)


@pytest.mark.parametrize("hours", [2, -3.5])
def test_an_offset_names_the_same_moment(history, restore, hours):
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    moment = history.rows[12]["after"].astimezone(zone).isoformat(timespec="microseconds")
    cluster = restore("--target-time", moment, "--target-action", "promote")
    cluster.wait_promoted()
    history.wants(cluster, 12)


def test_target_action_shutdown_stops_the_server_at_the_target(history, restore, runtime):
    cluster = history.site.restore("--target-name", "after-9", "--target-action", "shutdown", directory="shutdown")
    cluster.start_without_waiting()
    wait_until(lambda: "database system is shut down" in cluster.log_text(), "the server to stop by itself")
    state = runtime.run([PG_BIN / "pg_controldata", cluster.data]).stdout
    assert "shut down in recovery" in state
    assert 'recovery stopping at restore point "after-9"' in cluster.log_text()


def test_a_copy_does_not_archive_and_an_adopted_one_does(history, restore):
    copy = restore("--target-immediate")
    assert copy.value("SHOW archive_mode") == "off"
    adopted = restore("--target-immediate", "--adopt")
    assert adopted.value("SHOW archive_mode") == "on"


def test_the_backup_of_a_label_can_be_chosen(history, restore):
    cluster = restore("--backup", history.backup["label"], "--target-name", "after-11", "--target-action", "promote")
    cluster.wait_promoted()
    history.wants(cluster, 11)


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(history):
    target = history.site.directory / "dry"
    result = history.site.pgcairn("restore", "--pgdata", target, "--target-name", "after-9", "--dry-run")
    assert history.backup["label"] in result.stdout
    assert not target.exists()


def test_the_printed_command_starts_the_server(history, runtime):
    target = runtime.make_directory(history.site.directory / "printed", 0o755)
    result = history.site.pgcairn("restore", "--pgdata", target / "data")
    commands = [line for line in result.stdout.splitlines() if line.startswith("start it with: ")]
    assert len(commands) == 1, result.stdout
    assert "pg_ctl" in commands[0] and str(target / "data") in commands[0]


def test_targets_that_the_archive_cannot_reach_are_refused_before_the_disk_is_touched(history):
    rows, site = history.rows, history.site
    unreachable = {
        "a time before the backup ended": ("--target-time", utc(rows[BEFORE_BACKUP - 2]["after"])),
        "a time after the last commit": ("--target-time", utc(rows[ROWS]["after"] + datetime.timedelta(hours=1))),
        "a place before the backup ended": ("--target-lsn", rows[BEFORE_BACKUP - 2]["lsn"]),
        "a place that was never written": ("--target-lsn", "7F/0"),
        "a name that was never given": ("--target-name", "after-999"),
        "a transaction that never was": ("--target-xid", "4000000000"),
        "a name given before the backup": ("--target-name", f"after-{BEFORE_BACKUP - 2}"),
        "a backup that does not exist": ("--backup", "20010101T000000Z"),
    }
    for what, args in unreachable.items():
        said = site.refuse_restore(*args)
        assert said.strip(), f"nothing was said about {what}"


@pytest.mark.parametrize("args", [
    ("--target-time", "2026-01-02 03:04:05"),
    ("--target-time", "2026-01-02T03:04:05"),
    ("--target-time", "yesterday"),
    ("--target-time", "2026-13-02T03:04:05Z"),
    ("--target-time", "2026-01-02T03:04:05 CEST"),
    ("--target-time", ""),
    ("--target-lsn", "0/XYZ"),
    ("--target-lsn", "123"),
    ("--target-lsn", "0/123456789"),
    ("--target-xid", "-1"),
    ("--target-xid", "NaN"),
    ("--target-xid", "0x10"),
    ("--target-name", ""),
    ("--target-name", "n" * 64),
    ("--target-action", "explode"),
    ("--target-timeline", "0"),
    ("--target-timeline", "newest"),
    ("--target-timeline", "4294967296"),
    ("--target-exclusive",),
    ("--target-exclusive", "--target-name", "after-9"),
    ("--target-immediate", "--target-name", "after-9"),
    ("--target-xid", "800", "--target-lsn", "0/1"),
    ("--no-such-option",),
], ids=lambda args: " ".join(args)[:60])
def test_a_target_that_says_nothing_clear_is_a_usage_error(history, args):
    history.site.refuse_restore(*args, status={2})


@pytest.mark.parametrize("kind", ["time", "lsn", "xid", "name"])
def test_find_names_the_backup_that_reaches_a_target(history, kind):
    row = history.rows[10]
    target = {"time": utc(row["after"]), "lsn": row["lsn"], "xid": row["xid"], "name": "after-10"}[kind]
    assert history.backup["label"] in history.site.pgcairn("find", f"--{kind}", target).stdout
    history.site.json("find", f"--{kind}", target)


def test_info_shows_the_backup_and_the_window(history):
    info = history.site.json("info")
    assert info["cluster"] == "main"
    repository = info["repositories"][0]
    assert [b["label"] for b in repository["backups"]] == [history.backup["label"]]
    backup = repository["backups"][0]
    assert backup["type"] == "full" and backup["timeline"] == 1
    window = repository["windows"][0]
    assert window["from_lsn"] == backup["stop_lsn"]
    last = utc(history.rows[ROWS]["committed"])
    assert window["to_time"] >= last[:19], f"the window ends before {last}"
    assert repository["gaps"] == [] and repository["conflicts"] == []
    assert history.backup["label"] in history.site.pgcairn("info").stdout


def test_verify_finds_a_whole_repository_whole(history):
    history.site.pgcairn("verify")
    history.site.json("verify")


@pytest.mark.parametrize("segment_mb", [1, 16])
def test_a_moment_under_concurrent_load_splits_the_commits_by_their_time(site, runtime, segment_mb):
    source = site.cluster(segment_mb=segment_mb)
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE load (id bigserial PRIMARY KEY, filler text)")
    script = site.directory / "load.sql"
    script.write_text("INSERT INTO load (filler) VALUES (repeat('x', 200));\n")
    source.pgbench("-n", "-f", script, "-c", "4", "-t", "50")
    site.json("backup", "--full")
    source.pgbench("-n", "-f", script, "-c", "4", "-t", "200")
    moment = source.value("SELECT clock_timestamp()")
    source.pgbench("-n", "-f", script, "-c", "4", "-t", "200")
    source.sql("DROP TABLE IF EXISTS nothing")
    wanted = source.sql("SELECT id FROM load WHERE pg_xact_commit_timestamp(xmin) <= %s ORDER BY id", moment)
    source.archive_now()
    source.stop()
    restored = site.restore("--target-time", utc(moment), "--target-action", "promote")
    restored.start()
    restored.wait_promoted()
    assert restored.sql("SELECT id FROM load ORDER BY id") == wanted
    assert len(wanted) == 1000
