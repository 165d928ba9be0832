"""Where a restore writes: tablespaces and their odd names, owners and modes when root runs it, and restores that were killed."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest

from harness import Cluster, Site, children_of

ROWS = "SELECT count(*), sum(id) FROM t"
ODD = "sp ace\nnew line\\back\\\\slash %f"


class Spaces:
    """A cluster with two tablespaces, one of them in a directory with an odd name; what it holds."""

    def __init__(self, site, place):
        self.site, self.place = site, place
        self.source = source = site.cluster()
        source.data.chmod(0o750)
        site.runtime.run(["find", source.data, "-type", "d", "-exec", "chmod", "0750", "{}", "+"])
        site.runtime.run(["find", source.data, "-type", "f", "-exec", "chmod", "0640", "{}", "+"])
        source.start()
        site.pgcairn("init")
        self.oids = {}
        for name, directory in (("plain", "plain"), ("odd", ODD)):
            location = site.runtime.make_directory(place / directory)
            source.sql(f"CREATE TABLESPACE {name} LOCATION E'{str(location).encode('unicode_escape').decode()}'")
            self.oids[name] = source.value("SELECT oid FROM pg_tablespace WHERE spcname = %s", name)
        source.sql("CREATE TABLE t TABLESPACE odd AS SELECT generate_series(1, 1000) AS id")
        source.sql("CREATE INDEX i ON t (id) TABLESPACE plain")
        site.json("backup", "--full")
        source.sql("INSERT INTO t SELECT generate_series(1001, 2000)")
        self.held = source.sql(ROWS)
        source.archive_now()
        source.stop()

    def args(self, **places):
        return [a for name, path in places.items() for a in ("--tablespace", f"{self.oids[name]}={path}")]

    def comes_back(self, cluster):
        cluster.start()
        cluster.wait_promoted()
        assert cluster.sql(ROWS) == self.held
        assert cluster.value("SELECT count(*) FROM t WHERE id > 1990") == 10


@pytest.fixture(scope="module")
def spaces(runtime):
    with runtime.place("spaces") as place:
        yield Spaces(Site(runtime, place / "site"), place)


# Tablespaces


def test_tablespaces_go_where_they_are_told_whatever_the_places_are_called(spaces):
    places = {"plain": spaces.place / "to" / ODD, "odd": spaces.place / "to" / "'quoted' $HOME `x`"}
    cluster = spaces.site.restore(*spaces.args(**places), directory="mapped")
    spaces.comes_back(cluster)
    for name, path in places.items():
        assert cluster.value("SELECT pg_tablespace_location(%s)", spaces.oids[name]) == str(path)
    spaces.site.runtime.clear(cluster.directory)
    shutil.rmtree(spaces.place / "to")


@pytest.mark.slow
def test_a_tablespace_that_is_gone_goes_back_to_where_it_was(spaces):
    odd, away = spaces.place / ODD, spaces.place / "away"
    odd.rename(away)
    try:
        cluster = spaces.site.restore(*spaces.args(plain=spaces.place / "moved"), directory="back")
        spaces.comes_back(cluster)
        assert cluster.value("SELECT pg_tablespace_location(%s)", spaces.oids["odd"]) == str(odd)
        spaces.site.runtime.clear(cluster.directory)
    finally:
        shutil.rmtree(odd)
        shutil.rmtree(spaces.place / "moved")
        away.rename(odd)


def test_places_that_would_mix_files_are_refused(spaces):
    place, target = spaces.place, spaces.site.directory / "refused"
    link = place / "link"
    link.symlink_to(place)
    wrong = {
        "both in one place": {"plain": place / "a", "odd": place / "a"},
        "both in one place, by a link": {"plain": place / "a", "odd": link / "a"},
        "one in the other": {"plain": place / "a", "odd": place / "a/b"},
        "one around the other": {"plain": place / "a/b", "odd": place / "a"},
        "in PGDATA": {"plain": target / "space", "odd": place / "a"},
        "PGDATA itself": {"plain": target, "odd": place / "a"},
        "around PGDATA": {"plain": spaces.site.directory, "odd": place / "a"},
        "in the repository": {"plain": spaces.site.repositories["local"] / "a", "odd": place / "a"},
        "in the state directory": {"plain": spaces.site.directory / "state/a", "odd": place / "a"},
        "where the original's is": {"odd": place / "a"},
    }
    for what, places in wrong.items():
        assert "tablespace" in spaces.site.refuse_restore(*spaces.args(**places), status=4), what
        assert not (place / "a").exists(), what
    spaces.site.refuse_restore("--tablespace", "1=/nowhere", *spaces.args(plain=place / "a", odd=place / "b"), status=2)
    for bad in ("x=/a", f"{spaces.oids['odd']}=relative", f"{spaces.oids['odd']}=", "=/a"):
        spaces.site.refuse_restore("--tablespace", bad, *spaces.args(plain=place / "a"), status=2)
    link.unlink()


# Run by root

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can restore for another user")


def as_root(site, *args, around=()):
    command = [str(a) for a in (*around, *site.command("pgcairn", *args))]
    env = site.runtime.environment(**({"ASAN_OPTIONS": "detect_leaks=0"} if around else {}))  # no leak check below a tracer
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


@needs_root
def test_root_restores_for_the_owner_of_the_original_with_its_modes(spaces):
    site, user = spaces.site, spaces.site.runtime.user
    top = spaces.place / "root" / "deep"
    (spaces.place / "root").mkdir()
    done = as_root(site, "restore", "--pgdata", top / "data", *spaces.args(plain=top / "a", odd=top / "b"))
    assert done.returncode == 0, done.stderr
    assert (top.stat().st_uid, top.stat().st_mode & 0o7777) == (0, 0o755), "a directory above is root's"
    for path in (top / "data", top / "a", top / "b"):
        assert path.stat().st_mode & 0o7777 == 0o750, path
        for one in (path, *path.rglob("*")):
            seen = one.lstat()
            assert (seen.st_uid, seen.st_gid) == (user.pw_uid, user.pw_gid), one
            assert one.is_symlink() or seen.st_mode & 0o7027 == 0, f"{one}: {seen.st_mode:o}"
    cluster = Cluster(site.runtime, spaces.place / "root-server", data=top / "data")
    spaces.comes_back(cluster)
    site.runtime.clear(cluster.directory)


@needs_root
def test_a_directory_that_root_made_is_given_to_the_owner(spaces):
    site = spaces.site
    data = spaces.place / "made" / "data"
    data.mkdir(parents=True)
    for name in ("a", "b"):
        (data.parent / name).mkdir()
    done = as_root(site, "restore", "--pgdata", data, *spaces.args(plain=data.parent / "a", odd=data.parent / "b"))
    assert done.returncode == 0, done.stderr
    for name in ("data", "a", "b"):
        seen = (data.parent / name).stat()
        assert (seen.st_uid, seen.st_mode & 0o7777) == (site.runtime.user.pw_uid, 0o750), name


@needs_root
def test_without_a_known_owner_root_is_told_what_to_do(spaces):
    site = spaces.site
    kept = site.pgdata
    site.pgdata = site.directory / "nowhere"
    site.write_config()
    try:
        target = spaces.place / "nobody" / "data"
        hidden = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", "/var/lib/postgresql", "-e", "inject=newfstatat:error=ENOENT")
        done = as_root(site, "restore", "--pgdata", target, *spaces.args(plain=target.parent / "a", odd=target.parent / "b"),
                       around=hidden)
        assert done.returncode == 2, done.stderr
        assert "no user is known" in done.stderr and "make the directory first" in done.stderr
        assert not target.exists()
    finally:
        site.pgdata = kept
        site.write_config()


@pytest.mark.slow
@needs_root
def test_root_adopts_for_the_owner(spaces):
    site = spaces.site
    copy = site.restore(*spaces.args(plain=spaces.place / "c", odd=spaces.place / "d"), directory="root-adopts")
    spaces.comes_back(copy)
    copy.stop()
    done = as_root(site, "adopt", "--pgdata", copy.data)
    assert done.returncode == 0, done.stderr
    for name in ("postgresql.auto.conf", "pgcairn.restore.json", "pg_wal/archive_status/00000002.history.ready"):
        assert (copy.data / name).stat().st_uid == site.runtime.user.pw_uid, name
    site.runtime.clear(copy.directory)


# Killed


def kill_after(runtime, command, seconds):
    """Start it, kill it with all its children."""
    process = runtime.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    for pid in (*children_of(process.pid), process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait(30)


def check_unfinished(spaces, target, args):
    """What was killed does not start, and the next restore says what lies there and changes nothing."""
    site = spaces.site

    def found():
        """But for the temporaries of what was killed, which the next restore takes away."""
        return sorted(path for path in target.rglob("*") if not path.name.startswith(".pgcairn-"))

    if not target.exists() or not found():
        return
    assert not (target / "global/pg_control").exists()
    server = Cluster(site.runtime, target.parent / "server", data=target)
    server.start(status={1})
    before = found()
    said = site.pgcairn("restore", "--pgdata", target, *args, status=4).stderr
    assert "did not finish" in said and "remove it" in said
    assert found() == before


@pytest.mark.parametrize("times", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_a_restore_that_was_killed_never_starts_and_is_named(spaces, runtime, times):
    site = spaces.site
    places = {"plain": spaces.place / "killed-a", "odd": spaces.place / "killed-b"}
    args = spaces.args(**places)
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    whole, unfinished = 1.0, 0
    for n in range(times):
        target = runtime.make_directory(spaces.place / f"killed-{times}-{n}", 0o755) / "data"
        began = time.monotonic()
        # the first is let through, to learn how long one takes; the others are cut anywhere in it
        command = site.command("pgcairn", "restore", "--pgdata", target, *args)
        if n == 0:
            runtime.run(command)
            whole = time.monotonic() - began
        else:
            kill_after(runtime, command, whole * (0.5 if n == 1 else chance.uniform(0.05, 1.0)))
            if not (target / "global/pg_control").exists():  # else all was done but the end of the process
                unfinished += bool(target.exists() and list(target.iterdir()))
                check_unfinished(spaces, target, args)
        for path in (*places.values(), target.parent):
            runtime.clear(pathlib.Path(path))
            shutil.rmtree(path, ignore_errors=True)
    cluster = site.restore(*args, directory=f"again-{times}")
    spaces.comes_back(cluster)
    runtime.clear(cluster.directory)
    for path in places.values():
        shutil.rmtree(path)
    assert times < 10 or unfinished, f"no kill hit a restore at work (seed {seed})"


# WAL that nothing recovers across


@pytest.mark.slow
def test_wal_of_a_server_with_wal_level_minimal_is_refused_and_what_lies_before_it_is_not(site):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE t AS SELECT 1 AS id")
    site.json("backup", "--full")
    source.sql("INSERT INTO t VALUES (2)")
    source.sql("SELECT pg_create_restore_point('before')")
    source.stop()
    usual = (source.data / "postgresql.conf").read_text()
    source.configure(wal_level="minimal", max_wal_senders="0", archive_mode="off")
    source.start()
    source.sql("INSERT INTO t VALUES (3)")
    source.stop()
    (source.data / "postgresql.conf").write_text(usual)
    source.start()
    source.sql("SELECT pg_create_restore_point('behind')")
    source.archive_now()
    for args in ((), ("--target-name", "behind")):
        said = site.refuse_restore(*args, status=4)
        assert "wal_level = minimal" in said and "--target-exclusive --target-lsn" in said
    place = said.split("--target-exclusive --target-lsn ")[1].split(")")[0]
    for args in (("--target-name", "before"), ("--target-exclusive", "--target-lsn", place)):
        cluster = site.restore(*args, "--target-action", "promote", directory=f"before-{len(args)}")
        cluster.start()
        cluster.wait_promoted()
        assert cluster.value("SELECT array_agg(id ORDER BY id) FROM t") == [1, 2]
    site.json("backup", "--full")
    source.archive_now()
    site.json("restore", "--pgdata", site.directory / "dry", "--dry-run")
