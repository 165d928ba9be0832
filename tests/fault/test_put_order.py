"""The order of system calls of a put into a directory, and what is left when it is killed or refused at any of them.

The put runs under strace, which also injects the kills and the errors, so the program under test is the one that ships.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

KEY = "clusters/orders/wal/1/00000001/00000000/000000010000000000000001"
CONTENT = bytes(range(251)) * 12000  # three writes, the last one short
MODES = ["unnamed", "link", "rename"]
# Every mode in the long run; what file systems of today do in the short one.
KILLED = ["unnamed", pytest.param("link", marks=pytest.mark.slow), pytest.param("rename", marks=pytest.mark.slow)]

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None or subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0,
    reason="needs a strace that may trace")


@pytest.fixture
def place(tmp_path, request):
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    return Place(tmp_path, source, pathlib.Path(request.config.getoption("--build")) / "tests/fault/store_put_tool")


class Place:
    def __init__(self, base, source, tool):
        self.base, self.source, self.tool, self.n = base, source, tool, 0
        self.renew()

    def renew(self):
        self.n += 1
        self.root = self.base / f"repository{self.n}"
        self.root.mkdir()
        self.object = self.root / KEY

    def run(self, mode, verb="put", strace=()):
        args = [self.tool, mode, verb, str(self.root)]
        if verb != "sweep":
            args.append(KEY)
        if verb == "put":
            args.append(str(self.source))
        if strace:
            args = ["strace", "-f", *strace, *args]
        return subprocess.run(args, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # which cannot run under a tracer

    def names(self):
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if not p.is_dir())


def trace(place, mode, extra=()):
    """The calls of one put as (name, text), with paths in place of descriptors."""
    log = place.base / "trace"
    done = place.run(mode, strace=["-y", "-s", "256", "-o", str(log), *extra])
    calls = []
    for line in log.read_text().splitlines():
        m = re.match(r"\d+ +(\w+)\((.*)", line)
        if m:
            calls.append((m.group(1), m.group(2)))
    return done, calls


def indices(calls, name, pattern):
    return [i for i, (n, text) in enumerate(calls) if n == name and re.search(pattern, text)]


def publication(calls, mode):
    return [i for i, (n, text) in enumerate(calls) if n == ("renameat2" if mode == "rename" else "linkat")]


def parents(root):
    """The directories of the object, from its own up to the root."""
    parts = KEY.split("/")[:-1]
    return [os.path.join(root, *parts[:n]) for n in range(len(parts), -1, -1)]


@pytest.mark.parametrize("mode", MODES)
def test_bytes_then_fsync_then_name_then_directory(place, mode):
    done, calls = trace(place, mode)
    assert done.returncode == 0, done.stderr
    (published,) = publication(calls, mode)
    writes = [i for i, (n, t) in enumerate(calls) if n == "write" and re.match(rf"\d+<{re.escape(str(place.root))}/", t)]
    assert len(writes) == 3
    descriptor = calls[writes[0]][1].split("<")[0]
    synced = [i for i in indices(calls, "fsync", rf"^{descriptor}<.* = 0$") if max(writes) < i < published]
    assert len(synced) == 1
    if mode == "rename":
        assert "RENAME_NOREPLACE" in calls[published][1]
    for directory in parents(str(place.root)):
        assert any(i > published for i in indices(calls, "fsync", rf"^\d+<{re.escape(directory)}>")), directory
    for i in indices(calls, "mkdirat", re.escape(str(place.root))):
        above = re.match(r"\d+<([^>]*)>", calls[i][1]).group(1)
        if '"tmp"' not in calls[i][1]:
            assert any(i < j < published for j in indices(calls, "fsync", rf"^\d+<{re.escape(above)}>")), calls[i]
    assert not [c for c in calls if c[0] in ("rename", "renameat", "ftruncate", "fdatasync")]
    assert place.object.read_bytes() == CONTENT
    assert place.names() == [KEY]


@pytest.mark.parametrize("mode", MODES)
def test_settling_syncs_the_file_and_every_directory(place, mode):
    assert place.run(mode).returncode == 0
    log = place.base / "trace"
    assert place.run(mode, "settle", ["-y", "-o", str(log), "-e", "trace=fsync"]).returncode == 0
    synced = re.findall(r"fsync\(\d+<([^>]*)>\) *= 0", log.read_text())
    assert synced == [str(place.object), *parents(str(place.root))]


@pytest.mark.parametrize("mode", KILLED)
def test_a_kill_at_any_call_leaves_the_key_absent_or_whole(place, mode):
    _, calls = trace(place, mode)
    first = next(i for i, (_, text) in enumerate(calls) if str(place.root) in text and i > 0)
    absent = whole = 0
    for n in range(first, len(calls)):
        place.renew()
        name = calls[n][0]
        nth = sum(c[0] == name for c in calls[:n + 1])
        killed = place.run(mode, strace=["-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={nth}"])
        assert killed.returncode == -9, (calls[n], killed)
        if place.object.exists():
            assert place.object.read_bytes() == CONTENT, n
            whole += 1
        else:
            absent += 1
        left = [x for x in place.names() if x != KEY]
        assert all(x.startswith("tmp/") for x in left) and len(left) <= (0 if mode == "unnamed" else 1), (n, left)
        expected = 3 if place.object.exists() else 0
        again = place.run(mode)
        assert again.returncode == expected, (n, again.stderr)
        assert place.object.read_bytes() == CONTENT, n
        assert place.run(mode, "settle").returncode == 0
        assert place.run(mode, "sweep").returncode == 0
        assert place.names() == [KEY], n
    assert absent > 10 and whole > 5  # the kills really hit both sides of the publication


@pytest.mark.parametrize("mode,inject,kind", [
    ("unnamed", ["write:error=EIO:when=2"], "io"),
    ("unnamed", ["write:error=ENOSPC:when=3"], "no-space"),
    ("link", ["write:error=EDQUOT:when=2"], "no-space"),
    ("unnamed", ["fsync:error=EIO:when=1"], "io"),
    ("link", ["fsync:error=EIO:when=2"], "io"),  # the first is tmp's
    ("unnamed", ["mkdirat:error=ENOSPC:when=3"], "no-space"),
    ("unnamed", ["mkdirat:error=EACCES:when=1"], "auth"),
    ("unnamed", ["fsync:error=EIO:when=4"], "io"),  # of a directory that was made on the way
    ("unnamed", ["linkat:error=EIO"], "io"),
    ("unnamed", ["linkat:error=ENOENT"], "io"),
    ("link", ["linkat:error=EPERM"], "auth"),
    ("rename", ["renameat2:error=EINVAL"], "config"),
    ("auto", ["linkat:error=EPERM"], "auth"),
    ("unnamed", ["openat2:error=EACCES:when=3"], "auth"),
    ("unnamed", ["openat2:error=EMFILE:when=3"], "retry"),
])
def test_an_error_before_the_name_leaves_nothing(place, mode, inject, kind):
    flags = [x for i in inject for x in ("-e", f"inject={i}")]
    # writes are counted from the tool's own: it prints nothing before its first
    done = place.run(mode, strace=["-o", "/dev/null", "-e", "trace=all", *flags])
    assert (done.returncode, done.stderr.split(":")[0]) == (1, kind), done.stderr
    assert place.names() == []
    assert place.run(mode).returncode == 0
    assert place.object.read_bytes() == CONTENT


@pytest.mark.parametrize("mode,when", [("unnamed", 8), ("unnamed", 9), ("unnamed", 14), ("link", 9)])
def test_a_directory_that_cannot_be_synced_is_not_acknowledged(place, mode, when):
    done = place.run(mode, strace=["-o", "/dev/null", "-e", "trace=all", "-e", f"inject=fsync:error=EIO:when={when}"])
    assert done.returncode == 1 and done.stderr.startswith("io:"), done.stderr
    assert place.object.read_bytes() == CONTENT
    assert place.run(mode).returncode == 3
    assert place.run(mode, "settle").returncode == 0


@pytest.mark.parametrize("errno", ["EOPNOTSUPP", "EISDIR", "ENOENT"])
def test_without_unnamed_files_a_named_one_serves(place, errno):
    _, calls = trace(place, "auto")
    when = 1 + sum(n == "openat" for n, _ in calls[:indices(calls, "openat", "O_TMPFILE")[0]])
    place.renew()
    done, calls = trace(place, "auto", ["-e", f"inject=openat:error={errno}:when={when}"])
    assert done.returncode == 0, done.stderr
    (published,) = publication(calls, "link")
    assert f"<{place.root}/tmp>" in calls[published][1]
    assert place.names() == [KEY]


def test_without_links_a_rename_that_replaces_nothing_serves(place):
    _, calls = trace(place, "auto")
    when = 1 + sum(n == "openat" for n, _ in calls[:indices(calls, "openat", "O_TMPFILE")[0]])
    place.renew()
    flags = ["-e", f"inject=openat:error=EOPNOTSUPP:when={when}", "-e", "inject=linkat:error=EPERM"]
    done, calls = trace(place, "auto", flags)
    assert done.returncode == 0, done.stderr
    assert "RENAME_NOREPLACE" in calls[publication(calls, "rename")[0]][1]
    assert place.names() == [KEY]
    # with neither of both there is no way left, and none is invented
    place.renew()
    done, calls = trace(place, "auto", [*flags, "-e", "inject=renameat2:error=EINVAL"])
    assert done.returncode == 1 and done.stderr.startswith("config:"), done.stderr
    assert place.names() == []


def test_without_openat2_the_same_is_done_by_segments(place):
    done, calls = trace(place, "auto", ["-e", "inject=openat2:error=ENOSYS"])
    assert done.returncode == 0, done.stderr
    assert len([c for c in calls if c[0] == "openat2"]) == 1
    assert place.names() == [KEY]
