"""What check says when all is well, and when one thing after the other is not."""

import json
import os
import pathlib
import re
import shutil
import tempfile

import pytest

from harness import MB, Cluster, Site, end_orphans, flip_bit, wait_until
from reports import backed_up, fill, problems, segments, shared, without_far  # noqa: F401 (fixtures are used by their names)


def with_limits(site, *lines):
    site.extra = ["[check]", *lines]
    site.write_config()


def test_check_is_green_and_proves_archiving(shared):
    report = shared.json("check")
    assert report["status"] == "ok" and report["backup_age_seconds"] < 3600
    assert shared.segment_object(report["proved_segment"], "near") and shared.segment_object(report["proved_segment"], "far")
    assert problems(shared, status=0) == {}


def test_check_without_a_switch_closes_no_segment(shared):
    before = segments(shared)
    report = shared.json("check", "--no-switch")
    assert "proved_segment" not in report and segments(shared) == before


def test_check_speaks_nagios(shared, without_far):
    said = shared.pgcairn("check", "--nagios", "--no-switch", status=2).stdout
    assert said.startswith("CRITICAL - ") and said.count("\n") == 1 and "far" in said
    shared.repositories["far"].with_name("away").rename(shared.repositories["far"])
    try:
        said = shared.pgcairn("check", "--nagios").stdout
        assert said.startswith("OK - ") and said.count("\n") == 1
        perfdata = dict(word.split("=") for word in said.split("|")[1].split())
        assert {"backup_age", "ready", "oldest_ready", "archived_in", "lag_seconds_far"} - set(perfdata) <= {"lag_seconds_far"}
    finally:
        shared.repositories["far"].rename(shared.repositories["far"].with_name("away"))


def test_check_names_a_repository_that_vanished(shared, without_far):
    found_now = problems(shared, options=("--no-switch",))
    assert found_now["repository"]["repository"] == "far" and found_now["repository"]["severity"] == "critical"


def test_check_finds_archiving_broken_and_green_again(site):
    source = backed_up(site)
    source.sql("ALTER SYSTEM SET archive_command = '/bin/false'")
    source.sql("SELECT pg_reload_conf()")
    found_now = problems(site, options=("--timeout", "20s"))
    assert {"archiving", "archive-command", "archiver"} <= set(found_now)
    assert all(f["remedy"] for f in found_now.values())
    source.sql("ALTER SYSTEM RESET archive_command")
    source.sql("SELECT pg_reload_conf()")
    wait_until(lambda: source.value("SELECT last_archived_time > last_failed_time FROM pg_stat_archiver"),
               "the archiver to try again", timeout=90)
    assert problems(site, status=0) == {}


def test_check_finds_one_broken_thing_after_the_other_and_is_green_again(site, runtime):
    source = backed_up(site)
    local = site.repositories["local"]
    assert problems(site, status=0) == {}

    site.write_config(site.config_text() + "\n[check]\nbackup-max-age = 1s\n")
    wait_until(lambda: problems(site, status={0, 3}).get("backup"), "the backup to be too old", timeout=30)
    site.write_config()

    key = site.keys / "comparison-key"
    other = Site(runtime, site.directory / "other")
    other.cluster().start()
    other.pgcairn("init")
    right = key.read_bytes()
    key.write_bytes((other.keys / "comparison-key").read_bytes())
    assert "comparison key" in problems(site, options=("--no-switch",))["keys"]["what"]
    key.write_bytes(right)

    recipients = site.keys / "recipients"
    right = recipients.read_bytes()
    recipients.write_bytes((other.keys / "recipients").read_bytes())
    assert "recipients" in problems(site, options=("--no-switch",))["keys"]["what"]
    recipients.write_bytes(right)

    signing = site.directory / "state/signing-key"
    right = signing.read_bytes()
    signing.write_bytes((other.directory / "state/signing-key").read_bytes())
    assert "not enrolled" in problems(site, options=("--no-switch",))["keys"]["what"]
    signing.write_bytes(right)

    manifest = site.objects("clusters/*/backup/*/manifest-*")[0]
    away = site.directory / "manifest"
    manifest.rename(away)
    assert problems(site)["backup"]["severity"] == "critical"
    away.rename(manifest)

    hole = segments(site)[-2]
    hole.rename(site.directory / hole.name)
    assert hole.name in problems(site)["gap"]["what"]
    (site.directory / hole.name).rename(hole)

    (local / "pgcairn.json").rename(local / "gone")
    assert "marker" in problems(site, options=("--no-switch",))["repository"]["what"]
    (local / "gone").rename(local / "pgcairn.json")

    assert problems(site, status=0, options=("--timeout", "90s")) == {}
    source.stop()
    assert problems(site)["server"]["severity"] == "critical"
    source.start()
    assert problems(site, status=0) == {}


def test_check_names_a_server_that_is_another_cluster(site, runtime, place):
    backed_up(site).stop()
    stranger = Cluster.create(runtime, place / "stranger", fresh=True)
    stranger.start()
    site.conninfo = stranger.conninfo
    site.write_config()
    assert "lineage" in problems(site, options=("--no-switch",))


def test_check_says_when_it_may_not_prove_archiving(site):
    source = backed_up(site)
    source.sql("CREATE ROLE watcher LOGIN")
    site.conninfo = source.conninfo.replace("user=postgres", "user=watcher")
    site.write_config()
    found_now = problems(site)["archiving"]
    assert found_now["severity"] == "warning" and "role.sql" in found_now["remedy"]
    source.sql("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO watcher")
    assert problems(site, status=0) == {}


def test_check_finds_that_nothing_is_archived_at_all(site):
    source = backed_up(site)
    source.stop()
    source.configure(archive_mode="off")
    source.start()
    assert "archive_mode" in problems(site)["archiving"]["what"]


def test_check_finds_a_backlog_that_is_too_old(site):
    source = backed_up(site)
    source.sql("ALTER SYSTEM SET archive_command = '/bin/false'")
    source.sql("SELECT pg_reload_conf()")
    source.switch_wal()
    site.write_config(site.config_text() + "\n[check]\narchive-max-age = 1s\n")
    wait_until(lambda: "backlog" in problems(site, status={0, 3}, options=("--no-switch",)), "the backlog to be too old")


def archive_without_far(site, source, n=1):
    """The far repository misses so many segments."""
    far = site.repositories["far"]
    far.rename(far.with_name("away"))
    for _ in range(n):
        fill(source)
        source.archive_now()
    far.with_name("away").rename(far)


def test_a_repository_that_lags_behind_is_named(two_repositories):
    site = two_repositories
    site.acknowledge = "1"
    source = backed_up(site)
    archive_without_far(site, source)
    assert "lag" not in problems(site, status=0, options=("--no-switch",)), "a moment behind is no finding"
    with_limits(site, "lag-max-age = 1s")
    wait_until(lambda: "lag" in problems(site, status={0, 3}, options=("--no-switch",)), "a second to pass")
    report = site.json("check", "--no-switch", status=3)
    lags = {lag["repository"]: lag for lag in report["lag"]}
    assert (lags["near"]["segments"], lags["far"]["segments"], lags["far"]["bytes"]) == (0, 1, MB)
    assert lags["far"]["seconds"] >= 1
    lag, = [f for f in report["findings"] if f["check"] == "lag" and f["repository"] == "far"]
    assert lag["severity"] == "warning" and "1 segments behind" in lag["what"] and lag["remedy"]
    wait_until(lambda: problems(site, options=("--no-switch",))["lag"]["severity"] == "critical", "six seconds to pass")


def test_a_repository_that_lacks_what_pg_wal_has_no_longer_lags_for_a_time_that_is_not_known(two_repositories):
    site = two_repositories
    site.acknowledge = "1"
    source = backed_up(site)
    archive_without_far(site, source, 2)
    missing = min(p.name for p in segments(site, "near") if p.name not in {q.name for q in segments(site, "far")})
    source.stop()  # its checkpoint takes old segments again
    source.start()
    path = source.data / "pg_wal" / missing
    path.unlink(missing_ok=True)
    lag = problems(site, options=("--no-switch",))["lag"]
    assert "longer than pg_wal reaches back" in lag["what"] and lag["severity"] == "warning"
    assert "seconds" not in [entry for entry in site.json("check", "--no-switch", status=3)["lag"] if entry["segments"]][0]


def test_where_the_server_is_down_a_repository_is_compared_with_the_others(two_repositories):
    site = two_repositories
    site.acknowledge = "1"
    source = backed_up(site)
    archive_without_far(site, source)
    source.stop()
    lag = problems(site, options=("--no-switch",))["lag"]
    assert lag["repository"] == "far" and "repository 'near' has" in lag["what"]


def dies_uncounted(site, source, command):
    """pg_stat_archiver stands still then, as on an idle server."""
    source.sql("ALTER SYSTEM SET archive_command = %s", command)
    source.sql("SELECT pg_reload_conf()")
    before = source.value("SELECT failed_count FROM pg_stat_archiver")
    found_now = problems(site, options=("--timeout", "60s"))
    assert "above 125" in found_now["archiving"]["what"] and "127 is not found" in found_now["archiving"]["remedy"]
    with_limits(site, "stuck-after = 2s")
    wait_until(lambda: "archiver" in problems(site, options=("--no-switch",)), "a restart of the archiver", timeout=90)
    finding = problems(site, options=("--no-switch",))["archiver"]
    assert finding["severity"] == "critical" and "above 125" in finding["what"] and finding["remedy"]
    assert source.value("SELECT failed_count FROM pg_stat_archiver") == before, "the server counts nothing"
    source.sql("ALTER SYSTEM RESET archive_command")
    source.sql("SELECT pg_reload_conf()")
    wait_until(lambda: problems(site, status={0, 3}, options=("--no-switch",)) == {}, "the archiver to go on", timeout=90)


def test_an_archiver_that_dies_uncounted_is_noticed(site, server_bin):
    dies_uncounted(site, backed_up(site, pg_bin=server_bin), "exit 200")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["kill -9 $$", "no-such-command-anywhere", "exec /etc/passwd"])
def test_it_is_noticed_however_it_dies(site, command):
    dies_uncounted(site, backed_up(site), command)


def test_an_archiver_that_hangs_is_noticed_and_told_from_one_that_dies(site):
    source = backed_up(site)
    source.sql("CREATE ROLE watcher LOGIN")
    source.sql("ALTER SYSTEM SET archive_command = 'sleep 600'")
    source.sql("SELECT pg_reload_conf()")
    source.switch_wal()
    with_limits(site, "stuck-after = 2s")
    wait_until(lambda: "archiver" in problems(site, status={0, 3}, options=("--no-switch",)), "two seconds to pass")
    assert "archive_command hangs" in problems(site, options=("--no-switch",))["archiver"]["what"]
    site.conninfo = source.conninfo.replace("user=postgres", "user=watcher")
    site.write_config()
    finding = problems(site, options=("--no-switch",))["archiver"]
    assert "hangs, or ends with a status above 125" in finding["what"] and "role.sql" in finding["remedy"]
    source.stop("immediate")
    end_orphans("sleep 600")


def test_an_archive_command_that_is_empty_is_called_so(site):
    """The server waits for one then, and counts nothing."""
    source = backed_up(site)
    source.sql("ALTER SYSTEM SET archive_command = ''")
    source.sql("SELECT pg_reload_conf()")
    source.switch_wal()
    with_limits(site, "stuck-after = 1s", "pg-wal-full-in = 36500d")
    wait_until(lambda: site.json("check", status=3)["oldest_ready_seconds"] >= 1, "a file to wait")
    found_now = problems(site)
    assert "is empty" in found_now["archive-command"]["what"] and found_now["archive-command"]["severity"] == "critical"
    assert "archiver" not in found_now and found_now["pg-wal"]["severity"] == "critical"


def test_a_slow_archiver_that_gets_on_is_not_stuck(site):
    source = backed_up(site)
    source.sql("ALTER SYSTEM SET archive_command = %s", f"sleep 0.7; {source.value('SHOW archive_command')}")
    source.sql("SELECT pg_reload_conf()")
    for _ in range(8):
        source.switch_wal()
    with_limits(site, "stuck-after = 2s")
    wait_until(lambda: site.json("check", "--no-switch", status={0, 3})["oldest_ready_seconds"] >= 2, "a file to wait")
    assert "archiver" not in problems(site, status={0, 3}, options=("--no-switch",))


def test_the_backlog_is_asked_of_the_server_where_its_files_cannot_be_seen(site):
    source = backed_up(site)
    source.sql("CREATE ROLE watcher LOGIN")
    source.sql("ALTER SYSTEM SET archive_command = '/bin/false'")
    source.sql("SELECT pg_reload_conf()")
    source.switch_wal()
    site.conninfo = source.conninfo.replace("user=postgres", "user=watcher")
    site.write_config("\n".join(line for line in site.config_text().splitlines() if not line.startswith("pgdata")))
    report = site.json("check", "--no-switch", status=3)
    assert "ready" not in report, "a role that may not look"
    assert [f["severity"] for f in report["findings"] if f["check"] == "backlog"] == ["note"]
    source.sql("GRANT pg_monitor TO watcher")
    report = site.json("check", "--no-switch", status=3)
    assert report["ready"] == 1
    assert [f["severity"] for f in report["findings"] if f["check"] == "pg-wal"] == ["note"]


def test_the_time_until_pg_wal_is_full_is_told_and_how_it_was_estimated(site):
    source = backed_up(site)
    fill(source, 20000)
    source.archive_now()
    report = site.json("check", "--no-switch")
    finding, = [f for f in report["findings"] if f["check"] == "pg-wal"]
    assert finding["severity"] == "ok" and "if archiving stood still" in finding["what"] and "of WAL an hour" in finding["what"]
    assert report["pg_wal"]["free"] < report["pg_wal"]["total"] and report["pg_wal"]["full_in_seconds"] > 0
    with_limits(site, "pg-wal-full-in = 36500d")
    found_now = problems(site, options=("--no-switch",))
    assert found_now["pg-wal"]["severity"] == "warning" and "never delete in pg_wal" in found_now["pg-wal"]["remedy"]
    source.sql("ALTER SYSTEM SET archive_command = '/bin/false'")
    source.sql("SELECT pg_reload_conf()")
    source.switch_wal()
    wait_until(lambda: "archiver" in problems(site, options=("--no-switch",)), "a failed try")
    finding = problems(site, options=("--no-switch",))["pg-wal"]
    assert finding["severity"] == "critical" and "archiving stands still" in finding["what"]


def test_room_is_told_of_the_file_system_on_which_pg_wal_lies(site, runtime):
    source = backed_up(site)
    source.stop()
    elsewhere = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))  # another file system
    try:
        runtime.own(elsewhere)
        runtime.run(["mv", source.data / "pg_wal", elsewhere])
        (source.data / "pg_wal").symlink_to(elsewhere / "pg_wal")
        source.start()
        there, here = os.statvfs(elsewhere), os.statvfs(source.data)
        report = site.json("check", "--no-switch", status={0, 3})
        assert report["pg_wal"]["total"] == there.f_blocks * there.f_frsize != here.f_blocks * here.f_frsize
        assert report["ready"] == 0, "its status files are found there too"
        source.stop()
    finally:
        shutil.rmtree(elsewhere)


def test_little_room_is_a_finding_for_pg_wal_and_for_repositories(shared):
    with_limits(shared, "space-warning = 100", "space-critical = 0")
    try:
        found_now = problems(shared, options=("--no-switch",))
        assert found_now["pg-wal"]["severity"] == found_now["space"]["severity"] == "warning"
        with_limits(shared, "space-warning = 100", "space-critical = 100")
        found_now = problems(shared, options=("--no-switch",))
        assert found_now["pg-wal"]["severity"] == found_now["space"]["severity"] == "critical"
    finally:
        shared.extra = []
        shared.write_config()


def identity_copy(site, severity=None):
    finding, = [f for f in site.json("check", "--no-switch", status={0, 3})["findings"] if f["check"] == "identity-copy"]
    assert severity is None or finding["severity"] == severity, finding
    return finding


def test_an_only_identity_needs_a_proved_copy_once_there_is_something_to_lose(site, runtime, place):
    backed_up(site)
    assert "--identity-copy" in identity_copy(site, "note")["remedy"]
    with_limits(site, "identity-copy-within = 1s")
    wait_until(lambda: identity_copy(site)["severity"] == "warning", "a second to pass")
    copy = site.directory / "copy"
    runtime.run(["cp", "-p", site.keys / "identity", copy])
    said = site.pgcairn("check", "--identity-copy", copy).stdout
    assert "proved" in said and "1 of 1 repositories" in said and "identity-x25519" not in said
    assert "was proved at" in identity_copy(site, "ok")["what"]
    with_limits(site, "identity-copy-max-age = 1s")
    wait_until(lambda: identity_copy(site)["severity"] == "warning", "the proof to be too old")
    assert "last proved at" in identity_copy(site)["what"]
    assert site.json("check", "--identity-copy", copy)["backups_opened"] == 1


def test_what_proves_no_copy_of_the_identity(site, runtime, place):
    backed_up(site)
    other = Site(runtime, place / "other")
    other.cluster()
    other.pgcairn("init")
    identity = site.keys / "identity"
    linked = site.directory / "linked"
    linked.symlink_to(identity)
    cases = {linked: (4, "identity itself"), identity: (4, "identity itself"), other.keys / "identity": (1, "no key of it is a recipient"),
             site.directory / "none": (1, "none"), site.keys / "recipients": (2, "")}
    for path, (status, word) in cases.items():
        said = site.pgcairn("check", "--identity-copy", path, status=status).stderr
        assert "is not proved" in said and word in said
    open_to_all = site.directory / "open"
    runtime.run(["cp", identity, open_to_all])
    open_to_all.chmod(0o644)
    assert "hint" in site.pgcairn("check", "--identity-copy", open_to_all, status=2).stderr
    open_to_all.chmod(0o600)
    repository = site.repositories["local"]
    repository.rename(repository.with_name("away"))
    site.pgcairn("check", "--identity-copy", open_to_all, status=1)
    repository.with_name("away").rename(repository)
    for key in site.objects("clusters/*/keys/*/0000"):
        flip_bit(key, -10)
    site.pgcairn("check", "--identity-copy", open_to_all, status=1)
    identity_copy(site, "note")
    assert not (site.directory / "state/identity-copy").exists(), "nothing was remembered"


def test_the_proof_of_another_key_or_one_that_was_damaged_counts_for_nothing(site, runtime):
    backed_up(site)
    with_limits(site, "identity-copy-within = 1s")
    copy = site.directory / "copy"
    runtime.run(["cp", "-p", site.keys / "identity", copy])
    site.pgcairn("check", "--identity-copy", copy)
    remembered = site.directory / "state/identity-copy/main.json"
    kept = json.loads(remembered.read_text())
    assert set(kept) == {"time", "recipient"}, "nothing secret"
    for text in ("", "{", json.dumps({**kept, "recipient": "00" * 32}), json.dumps({**kept, "time": "yesterday"})):
        remembered.write_text(text)
        wait_until(lambda: identity_copy(site)["severity"] == "warning", "a second to pass")


def test_two_keys_need_no_proof(site, runtime, place):
    """The operator brought a recipients-file with two keys before init."""
    other = Site(runtime, place / "other")
    other.cluster()
    other.pgcairn("init")
    runtime.run(["cp", "-p", other.keys / "identity", site.keys / "identity"])
    second = Site(runtime, place / "second")
    second.cluster()
    second.pgcairn("init")
    (site.keys / "recipients").write_text((other.keys / "recipients").read_text() + (second.keys / "recipients").read_text())
    runtime.own(site.keys)
    backed_up(site)
    assert "2 keys open" in identity_copy(site, "ok")["what"]


def test_an_identity_that_fits_nothing_is_a_warning_and_one_elsewhere_a_note(site, runtime, place):
    backed_up(site)
    other = Site(runtime, place / "other")
    other.cluster()
    other.pgcairn("init")
    identity = site.keys / "identity"
    identity.rename(site.directory / "away")
    with_limits(site, "identity-copy-within = 1s")
    assert "not known here" in identity_copy(site, "note")["what"], "a host that only writes"
    runtime.run(["cp", "-p", other.keys / "identity", identity])
    assert "opens nothing" in problems(site, options=("--no-switch",))["identity"]["what"]


def nagios(site, *options, status):
    done = site.pgcairn("check", "--nagios", *options, status=status)
    assert done.stdout.count("\n") == 1 and done.stdout.count("|") <= 1, done.stdout
    return done.stdout


def test_nagios_hears_unknown_of_all_that_keeps_check_from_its_work(shared):
    unknown = 3
    assert nagios(shared, "--no-such-option", status=unknown).startswith("UNKNOWN - ")
    shared.write_config(shared.config_text() + "[check]\nbackup-max-age = soon\n")
    try:
        assert "backup-max-age" in nagios(shared, status=unknown)
    finally:
        shared.write_config()
    shared.config.rename(shared.config.with_name("away"))
    try:
        assert nagios(shared, status=unknown).startswith("UNKNOWN - ")
    finally:
        shared.config.with_name("away").rename(shared.config)
    assert nagios(shared, "--identity-copy", shared.directory / "none", status=unknown).startswith("UNKNOWN - ")


def test_nagios_warns_with_1_and_its_numbers_fit_the_guidelines(shared):
    with_limits(shared, "space-warning = 100", "space-critical = 0")
    try:
        said = nagios(shared, "--no-switch", status=1)
        assert said.startswith("WARNING - pgcairn main: ") and "pg-wal: " in said
        words = said.split(" | ")[1].split()
        labels = [word.split("=")[0] for word in words]
        assert len(set(labels)) == len(labels)
        assert {"lag_segments_near", "lag_bytes_far", "pg_wal_free", "ready"} <= set(labels)
        for word in words:
            assert re.fullmatch(r"[a-z0-9_.-]+=[0-9.]+(s|B)?(;[0-9]*:?){0,2}(;[0-9]*){0,2}", word), word
    finally:
        shared.extra = []
        shared.write_config()


def test_no_encryption_is_a_warning(site):
    source = site.cluster()
    site.write_config(site.config_text().replace("conninfo =", "encryption = none\nconninfo ="))
    source.start()
    site.pgcairn("init")
    fill(source)
    site.json("backup", "--full")
    assert problems(site)["encryption"]["severity"] == "warning"
    assert site.info()["encryption"] == "none" and "NONE" in site.pgcairn("info").stdout
    report = site.json("verify")
    assert report["clean"] and report["files"] > 900
