"""Both commands when a system call fails or kills them, at every call that matters.

strace does it: the Nth call of one kind answers with an error or with SIGKILL. A sweep ends when the Nth call does not happen any
more. Calls that the loader and the sanitizers make too are chosen by the paths of the repository.
"""

import shutil

import pytest

from harness import Cluster, Site

FAILED = set(range(1, 126))
KILLED = {-9, 137}  # the process that waits for the work was hit itself
WRITES = ["openat", "openat2", "mkdirat", "write", "pwrite64", "fsync", "fdatasync", "close", "linkat", "renameat2", "unlinkat"]
BY_PATH = {"openat", "openat2", "close", "read", "pread64", "newfstatat", "fstat", "statx", "getdents64", "fstatfs"}
READS = ["openat", "openat2", "read", "pread64", "newfstatat", "fstat", "statx", "getdents64", "fstatfs", "close"]
WRITTEN = ("write", "pwrite64", "fsync", "fdatasync")
MOST = 40  # calls of one kind


def site_with_a_segment(runtime, place, **options):
    """An initialized site with one closed segment that is not archived yet, and a picture of its repositories and state."""
    raw = runtime.make_directory(place / "raw")
    cluster = Cluster.create(runtime, place / "source", archive_mode="on", archive_command=f"cp %p {raw}/%f")
    cluster.start()
    site = Site(runtime, place / "site", **options)
    site.use(cluster)
    site.pgcairn("init")
    cluster.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 300000))")
    site.segment = raw / cluster.archive_now()
    cluster.stop()
    for name in ("repository", "state"):
        runtime.run(["cp", "-a", site.directory / name, site.directory / f"{name}.picture"])
    return site


def put_back(site):
    """Repositories and state as they were after init."""
    for name in ("repository", "state"):
        shutil.rmtree(site.directory / name)
        site.runtime.run(["cp", "-a", site.directory / f"{name}.picture", site.directory / name])


@pytest.fixture(scope="module")
def archive(runtime):
    with runtime.place("fault") as place:
        yield site_with_a_segment(runtime, place)


@pytest.fixture
def clean(archive):
    put_back(archive)
    return lambda: put_back(archive)


def inject(site, call, number, action, command):
    """Run command with its Nth call of this kind spoiled; the result, or None when there was no Nth call."""
    trace = site.directory / "run" / "trace"
    trace.unlink(missing_ok=True)
    only = [word for path in paths_of(site) for word in ("-P", path)] if call in BY_PATH else []
    result = site.runtime.run(
        ["strace", "-f", "-y", "-qq", "-o", trace, *only, "-e", f"trace={call}", "-e", f"inject={call}:{action}:when={number}", *command],
        status=None, cwd=site.pgdata, env={"ASAN_OPTIONS": "detect_leaks=0:exitcode=99"})
    lines = trace.read_text(errors="replace").splitlines()
    result.hit = next((line for line in lines if "INJECTED" in line or "killed by SIGKILL" in line), None)
    return result if result.hit else None


def paths_of(site):
    """Every directory and file of the repository: calls are chosen by the path, or by the directory they start from."""
    top = site.repositories["local"]
    return [top, *sorted(top.rglob("*"))]


def stored_once_and_whole(site):
    """A retry succeeds, the segment comes back, nothing looks like a conflict and no temporary is left."""
    site.archive(site.segment)
    target = site.directory / "fetched"
    site.fetch(site.segment.name, target)
    assert target.read_bytes() == site.segment.read_bytes()
    target.unlink()
    assert not site.objects("clusters/*/conflict/**/*")


SHORT_WRITES = ["fsync", "linkat", "write"]


@pytest.mark.parametrize("call", [c if c in SHORT_WRITES else pytest.param(c, marks=pytest.mark.slow) for c in WRITES])
def test_a_crash_at_any_call_of_archiving_leaves_nothing_half_made(archive, clean, call):
    command = archive.command("pgcairn-wal-archive", archive.segment, archive.segment.name)
    for number in range(1, MOST):
        clean()
        result = inject(archive, call, number, "signal=KILL", command)
        if result is None:
            break
        assert result.returncode in FAILED | KILLED, result.stderr
        target = archive.directory / "fetched"
        code = archive.fetch(archive.segment.name, target, status={0, 1}).returncode
        assert target.exists() == (code == 0)
        target.unlink(missing_ok=True)
        stored_once_and_whole(archive)


@pytest.mark.parametrize("error", ["EIO", pytest.param("ENOSPC", marks=pytest.mark.slow)])
@pytest.mark.parametrize("call", [c if c in SHORT_WRITES else pytest.param(c, marks=pytest.mark.slow) for c in WRITES])
def test_an_error_at_any_call_of_archiving_fails_it_and_a_retry_succeeds(archive, clean, call, error):
    command = archive.command("pgcairn-wal-archive", archive.segment, archive.segment.name)
    for number in range(1, MOST):
        clean()
        result = inject(archive, call, number, f"error={error}", command)
        if result is None:
            break
        # What the state directory holds is a convenience, a directory that cannot be closed may be of no consequence, and the
        # pipe is how the worker tells its supervisor the time limit, which has one of its own till then.
        assert result.returncode in FAILED | {0}, result.stderr
        if result.returncode == 0:
            harmless = f"<{archive.directory}/state" in result.hit or "<pipe:" in result.hit
            assert call not in WRITTEN or harmless, f"nobody noticed: {result.hit}"
            archive.fetch(archive.segment.name, archive.directory / "fetched")
        stored_once_and_whole(archive)


@pytest.mark.parametrize("error", ["EIO", pytest.param("EACCES", marks=pytest.mark.slow), pytest.param("ESTALE", marks=pytest.mark.slow)])
@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("what", ["a stored segment", "a missing one"])
def test_an_error_at_any_call_of_fetching_is_never_a_miss(archive, clean, call, error, what):
    archive.archive(archive.segment)
    name = archive.segment.name if what == "a stored segment" else "0000000100000000000000FE"
    target = archive.directory / "fetched"
    command = archive.command("pgcairn-wal-restore", name, target)
    sound = 0 if what == "a stored segment" else 1
    for number in range(1, MOST):
        target.unlink(missing_ok=True)
        result = inject(archive, call, number, f"error={error}", command)
        if result is None:
            break
        if result.returncode == 0:
            assert target.read_bytes() == archive.segment.read_bytes()
        elif sound == 1 and result.returncode == 1:
            assert call in ("close", "getdents64", "fstatfs"), f"{call} {number} failed with {error} and was taken for a miss"
        else:
            assert 126 <= result.returncode <= 255 and result.returncode != 143, result.stderr
            assert not target.exists()


@pytest.mark.parametrize("call", ["write", "fsync", "linkat", "close"])
@pytest.mark.parametrize("action", ["error=EIO", "signal=KILL"])
def test_the_sweep_of_archiving_hits_something(archive, clean, call, action):
    """Without this a sweep could end at once and prove nothing."""
    command = archive.command("pgcairn-wal-archive", archive.segment, archive.segment.name)
    assert inject(archive, call, 1, action, command) is not None


def test_the_sweep_of_fetching_hits_something(archive, clean):
    archive.archive(archive.segment)
    command = archive.command("pgcairn-wal-restore", archive.segment.name, archive.directory / "fetched")
    hit = [call for call in READS if inject(archive, call, 1, "error=EIO", command)]
    assert {"close"} < set(hit) and {"openat", "openat2"} & set(hit) and {"read", "pread64"} & set(hit)
    (archive.directory / "fetched").unlink(missing_ok=True)


def test_strace_can_inject_here(runtime, place):
    file = place / "file"
    file.write_text("x")
    runtime.own(file)
    code = "import os; fd = os.open('file', os.O_RDWR); os.fsync(fd)"
    result = runtime.run(["strace", "-f", "-qq", "-o", "/dev/null", "-P", file, "-e", "inject=fsync:error=EIO:when=1",
                          "/usr/bin/python3", "-c", code], status=1, cwd=place)
    assert "Input/output error" in result.stderr


def test_a_kill_between_two_repositories_is_completed_by_the_retry(runtime, place):
    site = site_with_a_segment(runtime, place, repositories=("near", "far"))
    command = site.command("pgcairn-wal-archive", site.segment, site.segment.name)
    target = site.directory / "fetched"
    half_done = 0
    for number in range(1, MOST):
        put_back(site)
        if inject(site, "linkat", number, "signal=KILL", command) is None:
            break
        has = [any(top.rglob(site.segment.name)) for top in site.repositories.values()]
        half_done += has == [True, False]
        site.archive(site.segment)
        for name, top in site.repositories.items():
            site.fetch(site.segment.name, target, options=("--repository", name))
            assert target.read_bytes() == site.segment.read_bytes()
            assert not any(top.glob("clusters/*/conflict/**/*"))
    assert half_done, "no kill fell between the two repositories"
