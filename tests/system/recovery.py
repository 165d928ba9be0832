"""A recovery without a server: a directory that looks like one, in which the test asks for segments as PostgreSQL would."""

import contextlib
import os
import pathlib
import shutil
import signal
import time

import pytest

from harness import Cluster, wait_until

TALKATIVE = "[pgcairn]\nlog-level = debug\n"
SERVED = "prefetched from repository"
DIRECT = "delivered from repository"
WIDTH = 4  # room in the spool, in segments


def talkative(site):
    """At debug level the command says where a segment came from."""
    site.write_config(site.config_text().replace("[pgcairn]\n", TALKATIVE))


def spools(site):
    return sorted((site.directory / "state/spool").glob("*/*"))


def prefetchers(site):
    """The processes of the prefetchers of this site; the one that stays and the one that works."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"--prefetch" in words and str(site.config).encode() in words:
                found.append(int(path.parent.name))
    return sorted(found)


def wait_quiet(site, timeout=60):
    """Until no prefetcher runs and none has left anything."""
    wait_until(lambda: not prefetchers(site), "the prefetcher to end", timeout)
    assert not spools(site), "it left its spool"


def ready(spool):
    return sorted(p.name for p in spool.iterdir() if len(p.name) == 24)


def ready_in(site):
    """The segments that lie ready in the one spool there is."""
    found = spools(site)
    return ready(found[0]) if len(found) == 1 else []


class Recovery:
    """Its postmaster is a process that sleeps."""

    def __init__(self, site, source, name="recovery", signal_file="recovery.signal"):
        self.site, self.runtime = site, site.runtime
        self.data = self.runtime.make_directory(site.directory / name)
        for folder in ("global", "pg_wal"):
            self.runtime.make_directory(self.data / folder)
        shutil.copy2(source.data / "global/pg_control", self.data / "global/pg_control")
        (self.data / signal_file).touch()
        self.runtime.own(self.data)
        self.target = self.data / "pg_wal/RECOVERYXLOG"
        self.server = None
        self.start_server()

    def start_server(self, seconds=600):
        self.stop_server()
        self.server = self.runtime.popen(["sleep", seconds])
        (self.data / "postmaster.pid").write_text(f"{self.server.pid}\n{self.data}\n{int(time.time())}\n5432\n")
        self.runtime.own(self.data / "postmaster.pid")

    def stop_server(self):
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server = None

    def command(self, name, *options):
        return self.site.command("pgcairn-wal-restore", *options, name, "pg_wal/RECOVERYXLOG")

    def ask(self, name, *options, status=0):
        """What the command said; the segment, where there is one, lies at target."""
        self.target.unlink(missing_ok=True)
        return self.runtime.run(self.command(name, *options), status=status, cwd=self.data, timeout=60)

    def end(self):
        self.stop_server()
        for pid in prefetchers(self.site):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not prefetchers(self.site), "the prefetchers to be gone")


@pytest.fixture(scope="module")
def raw(runtime):
    """A stopped cluster and plain copies of seven of its segments, of which any two differ."""
    with runtime.place("prefetch-raw") as place:
        kept = runtime.make_directory(place / "kept")
        cluster = Cluster.create(runtime, place / "source", archive_mode="on", archive_command=f"cp %p {kept}/%f")
        cluster.start()
        cluster.segments = []
        for _ in range(7):
            cluster.sql("SELECT pg_logical_emit_message(false, 'x', gen_random_uuid()::text) FROM generate_series(1, 2000)")
            cluster.segments.append(kept / cluster.archive_now())
        cluster.stop()
        yield cluster


def set_up(site, raw, *, extra=(), archive=None):
    site.extra = ["[restore]", f"prefetch = {WIDTH}MB", *extra]
    site.use(raw)
    talkative(site)
    site.pgcairn("init")
    for segment in raw.segments if archive is None else archive:
        site.archive(segment)


@contextlib.contextmanager
def recovering(site, raw, **options):
    one = Recovery(site, raw, **options)
    try:
        yield one
    finally:
        one.end()


@pytest.fixture
def recovery(site, raw):
    set_up(site, raw)
    with recovering(site, raw) as one:
        yield one


@pytest.fixture
def ahead(recovery, raw):
    """One that was given the first segment and has the next two ready."""
    assert DIRECT in recovery.ask(raw.segments[0].name).stderr
    recovery.holds = lambda number: recovery.target.read_bytes() == raw.segments[number].read_bytes()
    assert recovery.holds(0)
    wait_until(lambda: len(ready_in(recovery.site)) == 2, "two segments to be ready")
    recovery.spool = spools(recovery.site)[0]
    return recovery
