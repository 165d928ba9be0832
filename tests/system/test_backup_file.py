"""The .backup files that the server archives about its backups tell nothing that pgcairn needs: late or never, they hold nothing up."""

import pytest

from agents import Agent
from harness import Site, wait_until

NEVER = "exit 0"  # said to be archived, and not
ROWS = "SELECT array_agg(id ORDER BY id) FROM t"


def backed_up(site, command):
    """A server whose .backup files go this way, a backup of it, and WAL behind that."""
    cluster = site.cluster(archive_command=f"case %f in *.backup) {command};; *) exec {site.archive_command};; esac")
    cluster.start()
    site.pgcairn("init")
    cluster.sql("CREATE TABLE t (id int)")
    site.json("backup")
    for number in range(4):
        cluster.sql("INSERT INTO t VALUES (%s)", number)
        cluster.archive_now()
    return cluster


def recovers(site, *args):
    copy = site.restore(*args)
    copy.start()
    copy.wait_promoted()
    assert copy.value(ROWS) == [0, 1, 2, 3]
    copy.stop("immediate")


def backup_files(place):
    return sorted(p.name for p in place.glob("0*.backup"))


def backup_files_of(site, repository):
    return [p.name for p in site.objects("clusters/*/wal/**/*.backup", repository)]


def test_one_that_never_comes_is_missed_by_nobody(site):
    cluster = backed_up(site, NEVER)
    assert backup_files(cluster.data / "pg_wal") and not site.objects("clusters/*/wal/**/*.backup")
    assert len(site.info()["windows"]) == 1 and site.info()["gaps"] == []
    assert site.json("verify")["clean"]
    site.pgcairn("check", "--no-switch")
    cluster.stop()
    recovers(site)


def test_one_that_comes_behind_later_segments_is_taken_and_reaches_every_repository(runtime, place):
    site = Site(runtime, place / "site", repositories=("near", "far"))
    site.acknowledge = "1"
    cluster = backed_up(site, NEVER)
    cluster.stop()
    names = backup_files(cluster.data / "pg_wal")
    far = site.repositories["far"]
    far.rename(far.with_name("away"))
    for name in names:
        site.archive(f"pg_wal/{name}")
        site.archive(f"pg_wal/{name}")
    far.with_name("away").rename(far)
    assert backup_files_of(site, "near") == names and not backup_files_of(site, "far")
    assert site.json("replicate", "--to", "far")["lacking"] == 0
    assert backup_files_of(site, "far") == names
    assert site.info()["conflicts"] == [] and site.json("verify")["clean"]


@pytest.mark.slow
def test_one_that_is_refused_keeps_an_agent_from_nothing_and_can_be_given_up(site):
    """The server itself stays at it until then; what comes behind it is shipped all the same."""
    cluster = backed_up(site, NEVER)
    name = backup_files(cluster.data / "pg_wal")[0]
    status = cluster.data / "pg_wal/archive_status"
    (cluster.data / "pg_wal" / name).write_text("no backup's\n")
    (status / f"{name}.done").unlink(missing_ok=True)
    (status / f"{name}.ready").touch()
    site.runtime.own(cluster.data)
    cluster.configure(archive_command=site.archive_command)
    with Agent(site) as agent:
        cluster.pg_ctl("reload")
        last = cluster.switch_wal()
        wait_until(lambda: site.objects(f"clusters/*/wal/*/*/*/{last}"), "the segment behind it")
        wait_until(lambda: f"archive {name}" in cluster.log_text(), "the server to be told")
        assert agent.cluster()["failed"] == 1
        assert not (status / f"{last}.done").exists(), "the server went on by itself: this test shows nothing"
        site.pgcairn("gap", "record", name, "--reason", "nobody needs it")
        cluster.wait_archived(last)
        assert agent.cluster()["failed"] == 0
    assert not site.objects("clusters/*/wal/**/*.backup")
    assert len(site.info()["windows"]) == 1
    cluster.stop()
    recovers(site)
