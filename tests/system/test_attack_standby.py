"""A standby whose repository goes away: the disaster in which it is needed."""

import os

import pytest

from harness import PG_BIN, Cluster, wait_until


@pytest.fixture
def standby(site, runtime, place, request):
    """A standby that lives on the archive alone and has replayed 100 rows; extra lines of configuration as parameter."""
    primary = site.cluster()
    primary.start()
    site.pgcairn("init")
    site.extra = ["[restore]", "timeout = 4s", *request.param]
    site.write_config()
    directory = runtime.make_directory(place / "standby", 0o755)
    runtime.run([PG_BIN / "pg_basebackup", "-h", primary.directory, "-p", primary.port, "-U", "postgres", "-D", directory / "data",
                 "-X", "none", "-c", "fast"])
    cluster = Cluster(runtime, directory)
    cluster.configure(restore_command=site.restore_command, archive_mode="off", wal_retrieve_retry_interval="200ms")
    (cluster.data / "standby.signal").touch()
    runtime.own(cluster.data / "standby.signal")
    primary.archive_now()
    cluster.start()
    primary.sql("CREATE TABLE t AS SELECT generate_series(1, 100) AS i")
    primary.archive_now()
    wait_until(lambda: cluster.value("SELECT to_regclass('t')") and cluster.value("SELECT count(*) FROM t") == 100, "replay")
    cluster.primary = primary
    yield cluster


def away(site):
    top = site.repositories["local"]
    os.rename(top, f"{top}.away")


def back(site):
    top = site.repositories["local"]
    os.rename(f"{top}.away", top)


@pytest.mark.parametrize("standby", [["promote-without-archive = allow"]], indirect=True)
def test_a_standby_that_may_lives_on_without_its_repository_catches_up_and_can_be_promoted(site, standby):
    away(site)
    wait_until(lambda: standby.log_text().count("ALARM: whether 00000002.history exists is not known") >= 2, "the standby to miss its repository twice")
    assert standby.value("SELECT count(*) FROM t") == 100
    back(site)
    standby.primary.sql("INSERT INTO t SELECT generate_series(101, 200)")
    standby.primary.archive_now()
    wait_until(lambda: standby.value("SELECT count(*) FROM t") == 200, "the standby to catch up")
    away(site)
    standby.pg_ctl("promote", "-w")
    standby.wait_promoted()
    assert standby.value("SELECT count(*) FROM t") == 200
    back(site)


@pytest.mark.parametrize("standby", [[]], indirect=True)
def test_a_standby_that_may_not_stops_and_says_what_would_let_it_live(site, standby):
    away(site)
    wait_until(lambda: not standby.running(), "the standby to stop")
    assert "promote-without-archive" in standby.log_text()
    back(site)
    standby.start()


def test_a_timeline_that_this_host_has_seen_is_never_called_missing(site, runtime):
    cluster = site.cluster()
    cluster.start()
    site.pgcairn("init")
    site.extra = ["[restore]", "timeout = 4s", "promote-without-archive = allow"]
    site.write_config()
    history = site.directory / "00000002.history"
    history.write_text("1\t0/500000\tno recovery target specified\n")
    runtime.own(history)
    site.archive(history)
    (site.directory / "standby.signal").touch()
    site.fetch(history.name, site.directory / "fetched")
    away(site)
    assert site.fetch(history.name, site.directory / "fetched", status=None).returncode > 125
    site.fetch("00000003.history", site.directory / "fetched", status=1)
    back(site)


def test_the_first_timeline_needs_no_repository_to_have_no_history(site, runtime):
    """The server asks for it after it has removed standby.signal: a failure there leaves it on the old timeline."""
    site.cluster().start()
    site.pgcairn("init")
    away(site)
    site.fetch("00000001.history", site.directory / "fetched", status=1)


def test_a_history_that_the_server_has_itself_is_left_to_it_when_no_repository_answers(site, runtime):
    site.cluster().start()
    site.pgcairn("init")
    away(site)
    runtime.make_directory(site.directory / "pg_wal")
    assert site.fetch("00000002.history", site.directory / "fetched", status=None).returncode > 125
    (site.directory / "pg_wal/00000002.history").write_text("1\t0/500000\tx\n")
    said = site.fetch("00000002.history", site.directory / "fetched", status=1).stderr
    assert "the server has its own" in said and "ALARM" not in said
