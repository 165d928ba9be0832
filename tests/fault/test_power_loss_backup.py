"""Backup and restore on a file system that forgets.

A backup that answered 0 restores after a power cut, and one that did not leaves nothing that looks like a backup. A restored
directory has its pg_control only when everything else is there: after exit 0 it starts, cut before it does not.
"""

import contextlib
import itertools
import json
import shutil

import pytest

from harness import Cluster
from power import Bench, Lost

SUM = "SELECT count(*), sum(id) FROM t"
TIMED = ("data/pgcairn.restore.json", "data/postgresql.auto.conf")  # hold the time of the restore


class BackupBench(Bench):
    """The source runs, archives into the site, and has configuration and a tablespace outside of its data directory."""

    def __init__(self, runtime, place):
        super().__init__(runtime, place, initialized=False)
        self.space = runtime.make_directory(place / "space")
        outside = runtime.make_directory(place / "etc" / "orders") / "pg_hba.conf"
        shutil.move(self.source.data / "pg_hba.conf", outside)
        self.source.configure(archive_command=self.site.archive_command, hba_file=outside)
        self.site.pgcairn("init")
        self.source.start()
        self.source.sql(f"CREATE TABLESPACE space LOCATION '{self.space}'")
        self.source.sql("CREATE TABLE t TABLESPACE space AS SELECT generate_series(1, 5000) AS id")
        self.space_oid = self.source.value("SELECT oid FROM pg_tablespace WHERE spcname = 'space'")
        self.held = self.source.sql(SUM)

    def restore(self, into, status=0):
        return self.site.pgcairn("restore", "--target-immediate", "--target-action", "promote", "--pgdata", into / "data",
                                 "--tablespace", f"{self.space_oid}={into / 'space'}", status=status)

    @contextlib.contextmanager
    def server(self, into):
        """The server of what was restored; its log and socket lie elsewhere."""
        cluster = Cluster(self.runtime, self.place / "server", into / "data")
        try:
            yield cluster
        finally:
            cluster.destroy()
            self.runtime.clusters.remove(cluster)
            shutil.rmtree(cluster.directory)

    def starts(self, into):
        with self.server(into) as cluster:
            cluster.start()
            cluster.wait_promoted()
            assert cluster.sql(SUM) == self.held

    def does_not_start(self, into):
        with self.server(into) as cluster:
            said = cluster.start(status=1).stderr + cluster.log_text()
        assert "ready to accept connections" not in said and "starting PostgreSQL" not in said, said


@pytest.fixture(scope="module")
def bench(request, runtime):
    with runtime.place("backup") as place:
        made = BackupBench(runtime, place)
        made.take_picture()
        yield made
        request.config.notes.append(f"{request.module.__name__}: {made.disk.cuts} power cuts (backup)")
        made.close()


@pytest.fixture(scope="module")
def taken(request, runtime):
    """A backup was taken; the source is stopped."""
    with runtime.place("restore") as place:
        made = BackupBench(runtime, place)
        made.site.json("backup", "--full")
        made.source.stop()
        made.take_picture()
        yield made
        request.config.notes.append(f"{request.module.__name__}: {made.disk.cuts} power cuts (restore)")
        made.close()


@contextlib.contextmanager
def directory(bench, name):
    """A place for a restore on a sound disk."""
    into = bench.runtime.make_directory(bench.place / name, 0o755)
    yield into
    shutil.rmtree(into)


def restores(bench, start=False):
    with directory(bench, "sound") as into:
        bench.restore(into)
        if start:
            bench.starts(into)


def labels(bench):
    return [b["label"] for b in bench.site.info()["backups"]]


def holds_backup(bench, acknowledged, start=False):
    found = labels(bench)
    if acknowledged and acknowledged not in found:
        raise Lost(f"backup {acknowledged} was acknowledged and is gone; there are {found}")
    bench.site.pgcairn("verify")
    if found:
        restores(bench, start)
    if not acknowledged:
        bench.source.sql("SELECT pg_reload_conf()")  # wakes an archiver that has failed three times
        bench.site.json("backup", "--full")
        restores(bench)


def take_backup(bench):
    """The label, or None when it failed. Without power the wait for WAL is in vain."""
    bench.source.sql("SELECT pg_reload_conf()")
    result = bench.site.pgcairn("backup", "--full", "--json", "--wal-timeout", "20s", status=None)
    return json.loads(result.stdout)["label"] if result.returncode == 0 else None


def test_a_backup_that_was_acknowledged_restores_after_a_power_cut(bench):
    with bench.mounted(worlds=2) as mount:
        label = take_backup(bench)
        assert label
    started = itertools.count()
    bench.found_in_every_world(mount, lambda: holds_backup(bench, label, start=next(started) == 0))


def cuts_during_backup(bench, numbers, worlds):
    for number in numbers:
        with bench.mounted(cut_at=number, worlds=worlds) as mount:
            label = take_backup(bench)
        bench.found_in_every_world(mount, lambda done=label: holds_backup(bench, done))
        if mount.hit is None:
            assert label
            return


def test_power_cuts_during_a_backup(bench):
    cuts_during_backup(bench, (30,), 2)


@pytest.mark.slow
@pytest.mark.limit(900)
@pytest.mark.parametrize("start", range(4))
def test_power_cuts_all_along_a_backup(bench, start):
    """One operation in eight: each cut takes the time of two backups."""
    cuts_during_backup(bench, itertools.count(1 + 8 * start, 32), 3)


@pytest.mark.parametrize("deaf", ["files", "directories"])
def test_without_its_fsyncs_a_backup_fails_the_check(bench, deaf):
    with bench.mounted(deaf=deaf) as mount:
        label = take_backup(bench)
    with pytest.raises(AssertionError):
        bench.found_in_every_world(mount, lambda: holds_backup(bench, label))


def tree(top):
    """Every name below top: the target of a link, the bytes of a file, None for a directory."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        found[name] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def make_places(bench):
    """As an operator does it: nobody syncs them."""
    into = bench.runtime.make_directory(bench.site.directory / "srv" / "restored", 0o755)
    bench.runtime.make_directory(into / "data")
    bench.runtime.make_directory(into / "space")
    return into


def is_restored(into, whole, another=False):
    """As it was when restore ended; another: as another restore left it."""
    if not into.exists():
        raise Lost(f"{into} was restored and is gone")
    found = tree(into)
    lost = [n for n in whole if n not in found or (found[n] != whole[n] and not (another and n in TIMED and found[n]))]
    if lost:
        raise Lost(f"gone or changed after restore's exit 0: {lost}")


def test_what_was_restored_is_there_after_a_power_cut_and_starts(taken):
    with taken.mounted(worlds=3) as mount:
        into = make_places(taken)
        taken.restore(into)
        whole = tree(into)
    started = itertools.count()

    def check():
        is_restored(into, whole)
        if next(started) == 0:
            taken.starts(into)

    taken.found_in_every_world(mount, check)


def starts_only_when_whole(bench, into, whole, really):
    """A directory with pg_control has everything else; one without does not start."""
    if (into / "data/global/pg_control").exists():
        is_restored(into, whole, another=True)
    elif really and (into / "data").exists():
        bench.does_not_start(into)


def cuts_during_restore(bench, start, step, worlds):
    with bench.mounted() as mount:
        into = make_places(bench)
        bench.restore(into)
        whole = tree(into)
    last, control = len(mount.log), mount.numbers("rename .*/global/pg_control")[0]
    mount.drop()
    for number in sorted({*range(start, last, step), control, control + 1}):
        with bench.mounted(cut_at=number, worlds=worlds) as mount:
            code = bench.restore(make_places(bench), status=None).returncode
        assert mount.hit and code != 0, f"cut at {number} of {last}, and the status was {code}: {mount.hit}"
        bench.found_in_every_world(mount, lambda: starts_only_when_whole(bench, into, whole, number % 3 == 0))


def test_power_cuts_during_a_restore(taken):
    cuts_during_restore(taken, 1500, 2000, 2)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(20, 400, 97))
def test_a_power_cut_at_many_operations_of_a_restore(taken, start):
    cuts_during_restore(taken, start, 397, 3)


@pytest.mark.parametrize("deaf", ["files", "directories"])
def test_without_its_fsyncs_a_restore_fails_the_check(taken, deaf):
    with taken.mounted(deaf=deaf) as mount:
        into = make_places(taken)
        taken.restore(into)
        whole = tree(into)
    with pytest.raises(AssertionError):
        taken.found_in_every_world(mount, lambda: is_restored(into, whole))
