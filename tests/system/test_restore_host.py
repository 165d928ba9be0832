"""What a restore says of the host before anybody starts the server: limits, libraries, and how text is sorted."""

import pytest

from harness import Cluster, Site

ROWS = "SELECT count(*) FROM t"


def warned(result, what):
    return [w for w in result["warnings"] if what in w["message"]]


class Raised:
    """A cluster that was restarted with higher limits after its backup; its configuration was lowered before it."""

    def __init__(self, site):
        self.site = site
        self.source = source = site.cluster(max_connections="30", max_locks_per_transaction="64")
        # read from a file that another one includes, below a directory: as the server reads it, so must we
        (source.data / "conf.d").mkdir()
        (source.data / "conf.d/limits.conf").write_text("max_worker_processes = 9\n")
        source.configure(include_dir="conf.d")
        site.runtime.own(source.data / "conf.d")
        source.start()
        site.pgcairn("init")
        source.sql("CREATE TABLE t AS SELECT generate_series(1, 10) AS id")
        # what the backup holds is less than what runs: it counts with the next start only
        (source.data / "conf.d/limits.conf").write_text("max_worker_processes = 8\n")
        source.sql("CREATE DATABASE sorted")
        source.sql("UPDATE pg_database SET datcollversion = '2.17' WHERE datname = 'sorted'")
        self.backup = site.json("backup", "--full")
        source.sql("SELECT pg_create_restore_point('before')")
        (source.data / "conf.d/limits.conf").write_text("max_worker_processes = 9\n")
        source.sql("ALTER SYSTEM SET max_connections = 45")
        source.stop()
        source.start()
        source.sql("INSERT INTO t VALUES (11)")
        source.archive_now()
        source.stop()


@pytest.fixture(scope="module")
def raised(runtime):
    with runtime.place("host") as place:
        yield Raised(Site(runtime, place / "site"))


def limits(result):
    return {row["name"]: (row["needed"], row.get("configured")) for row in result["limits"]}


def restore(raised, *args, name):
    target = raised.site.runtime.make_directory(raised.site.directory / name, 0o755) / "data"
    return target, raised.site.json("restore", "--pgdata", target, *args)


def cluster_at(raised, target):
    return Cluster(raised.site.runtime, target.parent)


def test_a_limit_below_what_the_wal_needs_is_named_with_the_line_to_write_and_then_the_server_starts(raised):
    target, result = restore(raised, name="low")
    assert limits(result)["max_connections"] == (45, 30), result["warnings"]
    assert limits(result)["max_worker_processes"] == (9, 8)
    assert limits(result)["max_wal_senders"] == (4, 4)
    low = warned(result, "hot_standby")
    assert len(low) == 2 and low[0]["hint"].endswith('echo "max_connections = 45" >> postgresql.auto.conf')
    copy = cluster_at(raised, target)
    copy.start(status={1})
    assert "recovery aborted because of insufficient parameter settings" in copy.log_text()
    # as the hints say
    with open(target / "postgresql.auto.conf", "a", encoding="utf-8") as conf:
        for warning in low:
            conf.write(warning["hint"].split('"')[1] + "\n")
    copy.start()
    copy.wait_promoted()
    assert copy.value(ROWS) == 11
    raised.site.runtime.clear(copy.directory)


def test_what_the_wal_raises_behind_the_target_does_not_count(raised):
    _, result = restore(raised, "--target-name", "before", "--dry-run", name="dry")
    assert limits(result)["max_connections"] == (30, None)
    assert not warned(result, "hot_standby")
    assert limits(restore(raised, "--dry-run", name="dry-latest")[1])["max_connections"] == (45, None)


@pytest.mark.slow
def test_the_text_says_the_same_and_counts_only_up_to_the_target(raised):
    target, result = restore(raised, "--target-immediate", name="plain")
    assert warned(result, "max_worker_processes") and not warned(result, "max_connections")
    said = raised.site.pgcairn("restore", "--pgdata", target.parent / "text").stdout
    assert "WARNING: max_connections = 30 is less than the 45" in said
    assert 'remedy: before the first start: echo "max_connections = 45"' in said
    raised.site.runtime.clear(target.parent)


def test_databases_that_another_c_library_sorted_are_named_with_the_remedy(raised):
    _, result = restore(raised, "--dry-run", name="sort")
    assert result["collation"] == "differs"
    sorted_elsewhere = warned(result, "sorted by C library")
    assert len(sorted_elsewhere) == 1
    assert "these databases were built with: sorted;" in sorted_elsewhere[0]["message"]
    assert "REINDEX" in sorted_elsewhere[0]["hint"] and "REFRESH COLLATION VERSION" in sorted_elsewhere[0]["hint"]
    assert "sorted" not in str(raised.site.objects("**/manifest-*")[0].read_bytes()), "a database's name is readable"


@pytest.mark.slow
def test_the_same_c_library_is_no_finding(site):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    site.json("backup", "--full")
    source.archive_now()
    result = site.json("restore", "--pgdata", site.directory / "dry", "--dry-run")
    assert result["collation"] == "same" and result["warnings"] == []


@pytest.mark.slow
def test_a_preloaded_library_that_is_not_installed_is_named(raised):
    runtime = raised.site.runtime
    site = Site(runtime, raised.site.directory / "library")
    cluster = site.cluster(shared_preload_libraries="auto_explain, $libdir/pg_stat_statements", directory="c")
    cluster.start()
    site.pgcairn("init")
    cluster.sql("ALTER SYSTEM SET shared_preload_libraries = auto_explain, no_such_library")
    site.json("backup", "--full")
    cluster.archive_now()
    cluster.stop()
    target = runtime.make_directory(site.directory / "restored", 0o755) / "data"
    result = site.json("restore", "--pgdata", target)
    missing = warned(result, "no_such_library")
    assert len(missing) == 1 and "does not start" in missing[0]["message"]
    assert not warned(result, "auto_explain")
    copy = cluster_at(raised, target)
    copy.start(status={1})
    assert "no_such_library" in copy.log_text()


@pytest.mark.slow
def test_a_configuration_that_the_server_cannot_read_is_no_surprise_at_its_start(site):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    source.configure(no_such_setting="on")
    site.json("backup", "--full")
    source.archive_now()
    target = site.runtime.make_directory(site.directory / "restored", 0o755) / "data"
    result = site.json("restore", "--pgdata", target)
    assert warned(result, "does not read its configuration") and warned(result, "no_such_setting"), result["warnings"]
