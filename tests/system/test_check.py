"""What check says when all is well, and when one thing after the other is not."""

from harness import Cluster, Site, wait_until
from reports import backed_up, fill, problems, segments, shared, without_far  # noqa: F401 (fixtures are used by their names)


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
        assert {"backup_age", "ready", "oldest_ready", "archived_in"} <= set(perfdata)
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


def test_a_repository_that_lags_behind_is_named(two_repositories):
    site = two_repositories
    site.acknowledge = "1"
    source = backed_up(site)
    far = site.repositories["far"]
    far.rename(far.with_name("away"))
    fill(source)
    source.archive_now()
    far.with_name("away").rename(far)
    found_now = problems(site, options=("--no-switch",))
    assert found_now["lag"]["repository"] == "far" and found_now["lag"]["severity"] == "warning"


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
