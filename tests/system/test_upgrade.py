"""init --upgrade: a cluster goes on as a new system after a real pg_upgrade, and what was stored before stays restorable.

The old server is Debian's own 15 in the short run; with --all it is a 14 too, which makes the majors differ.
"""

import datetime
import shutil

import pytest

from harness import PG_BIN, Cluster, Site, wait_until
from majors import pg_bin
from reports import problems

REFUSED = 4
PG_RESETWAL = """#!/bin/sh
# pg_upgrade asks the old server's pg_resetwal where its WAL ends; the newer one answers it when it is told its own version
[ "$1" != -V ] || exec {bin}/pg_resetwal -V
for data; do :; done
copy=$(mktemp -d)
ln -s "$data/global" "$data/pg_wal" "$copy"
echo 15 >"$copy/PG_VERSION"
{bin}/pg_resetwal -n "$copy"
code=$?
rm -r "$copy"
exit $code
"""


def tools_of(runtime, place, old_bin):
    """A bin directory as pg_upgrade wants it of the old server: a build of npm's lacks two small tools."""
    if (old_bin / "pg_resetwal").exists():
        return old_bin
    tools = runtime.make_directory(place / "tools", 0o755)
    for name in ("postgres", "pg_ctl", "initdb"):
        (tools / name).symlink_to(old_bin / name)
    (tools / "pg_controldata").symlink_to(PG_BIN / "pg_controldata")
    (tools / "pg_resetwal").write_text(PG_RESETWAL.format(bin=PG_BIN))
    (tools / "pg_resetwal").chmod(0o755)
    return tools


def upgrade(runtime, place, old, archive_command):
    """A stopped cluster that pg_upgrade made of the stopped old one."""
    new = Cluster.create(runtime, place / "new", fresh=True)
    runtime.run([PG_BIN / "pg_upgrade", "-b", tools_of(runtime, place, old.pg_bin), "-B", PG_BIN, "-d", old.data, "-D", new.data,
                 "-U", "postgres", "-s", place], cwd=place, timeout=240)
    new.configure(archive_mode="on", archive_command=archive_command)
    return new


def insert(cluster, value):
    """A row and the moment right behind its commit."""
    cluster.sql("INSERT INTO t VALUES (%s)", value)
    after = cluster.value("SELECT clock_timestamp()").astimezone(datetime.timezone.utc)
    cluster.sql("SELECT pg_sleep(0.02)")
    return after.isoformat(sep=" ")


def rows(cluster):
    return [i for i, in cluster.sql("SELECT i FROM t ORDER BY i")]


def begin(runtime, place, old_bin):
    """Two repositories with a backup and rows of the old system, which is stopped; the new one is not started yet."""
    site = Site(runtime, place / "site", repositories=("near", "far"))
    site.old = site.cluster("old", pg_bin=old_bin, fresh=True)
    site.old.start()
    site.pgcairn("init")
    site.old.sql("CREATE TABLE t (i int)")
    site.backup = site.json("backup", "--full")
    site.moments = {1: insert(site.old, 1), 2: insert(site.old, 2)}
    insert(site.old, 3)
    site.old.archive_now()
    site.old.stop()
    site.new = upgrade(runtime, site.directory, site.old, site.archive_command)
    site.use(site.new)
    return site


@pytest.fixture(scope="module", params=[15, pytest.param(14, marks=pytest.mark.slow)])
def before(runtime, request):
    """An upgraded cluster whose upgrade nobody recorded, its server stopped."""
    with runtime.place(f"upgrade-{request.param}") as place:
        site = begin(runtime, place, PG_BIN if request.param == 15 else pg_bin(request.param))
        site.major = request.param
        yield site


@pytest.fixture
def fresh(before):
    """The repositories, the state and the configuration are put back as they were."""
    kept = before.runtime.make_directory(before.directory / "kept")
    for name in ("repository", "state"):
        before.runtime.run(["cp", "-a", before.directory / name, kept / name])
    yield before
    for name in ("repository", "state"):
        shutil.rmtree(before.directory / name)
        (kept / name).rename(before.directory / name)
    kept.rmdir()
    before.use(before.new)


def lineage(site, repository="near"):
    return [system["major"] for system in site.info(repository)["lineage"]]


def test_archiving_waits_until_it_is_recorded(fresh):
    fresh.new.start()
    try:
        segment = fresh.new.switch_wal()
        wait_until(lambda: "pgcairn init --upgrade" in fresh.new.log_text(), "the refusal in the log")
        assert not [p for p in fresh.objects(f"clusters/*/wal/*/*/*/{segment}") if p.name == segment]
        fresh.pgcairn("init", "--upgrade")
        fresh.new.wait_archived(segment, timeout=120)
        assert fresh.segment_object(segment, "far")
    finally:
        fresh.new.stop()


@pytest.mark.slow
def test_each_side_is_restored_to_its_moments(fresh):
    """The whole story: refused, recorded, archived, backed up, and a point in time on each side."""
    site, new = fresh, fresh.new
    new.start()
    try:
        segment = new.switch_wal()
        wait_until(lambda: "pgcairn init --upgrade" in new.log_text(), "the refusal in the log")
        assert "init --upgrade" in site.archive(new.data / "pg_wal" / segment, status=REFUSED).stderr
        assert "init --upgrade" in site.pgcairn("backup", "--full", status={1, REFUSED}).stderr
        assert "init --upgrade" in problems(site, options=("--no-switch",))["lineage"]["remedy"]

        made = site.json("init", "--upgrade")
        assert (made["appended"], made["from"]["major"], made["to"]["major"]) == (2, site.major, 15)
        assert lineage(site) == lineage(site, "far") == [site.major, 15]
        new.archive_now()
        assert "no backup since the upgrade" in problems(site, options=("--no-switch",))["backup"]["what"]

        backup = site.json("backup", "--full")
        insert(new, 4)
        after = insert(new, 5)
        insert(new, 6)
        new.archive_now()
        site.pgcairn("check")
    finally:
        new.stop()

    info = site.info()
    assert [b["label"] for b in info["backups"]] == [site.backup["label"], backup["label"]]
    assert {w["system_identifier"]: w["backup"] for w in info["windows"]} == {
        made["from"]["system_identifier"]: site.backup["label"], made["to"]["system_identifier"]: backup["label"]}
    site.pgcairn("verify")

    def restored(directory, bin_directory, *target):
        plan = site.json("restore", "--pgdata", site.directory / directory / "plan", "--dry-run", *target)
        site.pg_bin = bin_directory
        cluster = site.restore(*target, "--target-action", "promote", directory=directory)
        site.pg_bin = PG_BIN
        assert f"/{plan['major']}/" in cluster.start_command or not (PG_BIN.parents[1] / str(plan["major"])).exists()
        cluster.start()
        cluster.wait_promoted()
        found = rows(cluster)
        cluster.stop()
        return plan["major"], found

    old_bin = site.old.pg_bin
    assert restored("latest", PG_BIN) == (15, [1, 2, 3, 4, 5, 6])
    assert restored("after", PG_BIN, "--target-time", after) == (15, [1, 2, 3, 4, 5])
    assert restored("before", old_bin, "--target-time", site.moments[2]) == (site.major, [1, 2])
    assert restored("by-label", old_bin, "--backup", site.backup["label"], "--target-time", site.moments[1]) == (site.major, [1])
    assert restored("end", PG_BIN, "--target-immediate") == (15, [1, 2, 3])


def test_a_dry_run_proves_and_records_nothing(fresh):
    made = fresh.json("init", "--upgrade", "--dry-run")
    assert (made["appended"], made["dry_run"]) == (2, True)
    assert lineage(fresh) == [fresh.major]
    assert "would go on as" in fresh.pgcairn("init", "--upgrade", "--dry-run").stdout


def test_it_is_safe_to_repeat_on_any_host_that_writes(fresh, place):
    fresh.json("init", "--upgrade")
    again = fresh.json("init", "--upgrade")
    assert (again["appended"], again["existed"], again["from"]["major"]) == (0, 2, fresh.major)
    # and whoever recorded it may have been killed before it was durable
    synced = fresh.synced("init", "--upgrade").stderr
    assert all(f"{fresh.repositories[name]}/clusters/main/lineage/0001>" in synced for name in ("near", "far"))
    # another host: its own state directory and signing key, the same repositories
    second = Site(fresh.runtime, place / "second", repositories=("near", "far"))
    second.repositories = fresh.repositories
    for name in ("comparison-key", "recipients", "signers"):
        shutil.copy2(fresh.keys / name, second.keys / name)
    second.runtime.own(second.keys)
    second.use(fresh.new)
    key = second.json("init", "--join")["signer"]
    assert "not enrolled" in second.pgcairn("init", "--upgrade", status={1, 2, REFUSED}).stderr
    fresh.pgcairn("key", "enrol", key)
    again = second.json("init", "--upgrade")
    assert (again["appended"], again["existed"]) == (0, 2)
    assert lineage(second) == [fresh.major, 15]


def test_the_old_system_is_no_upgrade_of_the_new_one(fresh):
    fresh.json("init", "--upgrade")
    fresh.use(fresh.old)
    said = fresh.pgcairn("init", "--upgrade", status=REFUSED).stderr
    assert "is the old system" in said and "hint: set pgdata" in said
    assert lineage(fresh) == [fresh.major, 15]


def test_nothing_was_upgraded_where_the_cluster_is_the_same(fresh):
    fresh.use(fresh.old)
    made = fresh.json("init", "--upgrade")
    assert (made["appended"], made["existed"]) == (0, 2)
    assert lineage(fresh) == [fresh.major]


def test_another_cluster_is_no_upgrade(fresh, runtime, place):
    """It begins where initdb put it, not behind the old WAL."""
    fresh.use(Cluster.create(runtime, place / "other", fresh=True))
    said = fresh.pgcairn("init", "--upgrade", status=REFUSED).stderr
    assert "pg_upgrade would have set it behind" in said and "[cluster:OTHER]" in said
    assert lineage(fresh) == [fresh.major]


def test_segments_of_another_size_are_no_upgrade(fresh, runtime, place):
    fresh.use(Cluster.create(runtime, place / "other", fresh=True, segment_mb=16))
    assert "does not change that" in fresh.pgcairn("init", "--upgrade", status=REFUSED).stderr


def test_every_repository_or_none(fresh):
    far = fresh.repositories["far"]
    far.rename(far.with_name("away"))
    said = fresh.pgcairn("init", "--upgrade", status={1, 2}).stderr
    assert "in every repository or in none" in said
    far.with_name("away").rename(far)
    assert lineage(fresh) == [fresh.major]


def test_one_that_was_interrupted_is_completed(fresh):
    fresh.json("init", "--upgrade")
    record, = fresh.objects("clusters/main/lineage/0001", "far")
    record.unlink()
    made = fresh.json("init", "--upgrade")
    assert (made["appended"], made["existed"]) == (1, 1)
    assert lineage(fresh, "far") == [fresh.major, 15]


def test_a_cluster_that_nobody_knows_is_not_upgraded(runtime, place):
    site = Site(runtime, place / "site")
    site.cluster()
    assert "pgcairn init" in site.pgcairn("init", "--upgrade", status={1, 2}).stderr


def test_join_and_upgrade_are_two_steps(before):
    assert "do not go together" in before.pgcairn("init", "--upgrade", "--join", status=2).stderr


def test_the_last_segments_of_the_old_system_may_still_come(fresh):
    """A server that was upgraded before its archiver was done: what is left in the old pg_wal is of a known system."""
    fresh.json("init", "--upgrade")
    last = max(p.name for p in (fresh.old.data / "pg_wal").glob("0*") if list(fresh.objects(f"clusters/*/wal/*/*/*/{p.name}")))
    for repository in fresh.repositories:
        fresh.segment_object(last, repository).unlink()
    fresh.archive(fresh.old.data / "pg_wal" / last)
    assert fresh.segment_object(last, "far")
