"""What may become of a repository, and what it can then say of a file of WAL that was archived to it.

HERE    it delivers the file
MISS    it says itself that it has none
BAD     it has something under the name, and that is not good
SILENT  nothing it says is an answer: it does not come, or it is not the repository that was expected
NOBODY  it is not asked
"""

import contextlib
import ctypes
import dataclasses
import os
import shutil

import pytest

from harness import flip_bit

HERE, MISS, BAD, SILENT, NOBODY = "here", "miss", "bad", "silent", "nobody"
MNT_DETACH = 2


@dataclasses.dataclass(frozen=True)
class State:
    name: str
    says: str
    of_a_file: bool = False  # the repository is well: what was never archived it misses
    slow: bool = False
    loud: bool = False  # damage, to be reported whoever delivers
    fuse: bool = False  # it takes a file system that nobody serves

    def of_nothing(self):
        """What it says of a file that was never archived."""
        return MISS if self.of_a_file else self.says


STATES = [
    State("up", HERE, of_a_file=True),
    State("lacks it", MISS, of_a_file=True),
    State("bit flipped", BAD, of_a_file=True, loud=True),
    State("truncated", BAD, of_a_file=True, loud=True),
    State("emptied", BAD, of_a_file=True, loud=True),
    State("unreadable", BAD, of_a_file=True, loud=True),  # the file is there, and reading it is an error
    State("down", SILENT),  # no such directory
    State("empty", SILENT),  # a directory that was never initialized
    State("unmounted", SILENT),  # the mount point, which is root's
    State("without marker", SILENT),
    State("spoiled marker", SILENT),
    State("foreign", SILENT),  # another repository of the same cluster, which has the file
    State("replaced", SILENT),  # another repository with our marker put into it
    State("forbidden", SILENT),
    State("closed", BAD),  # a directory in it is forbidden: what is there is not known, and waiting mends nothing
    State("dead", SILENT, fuse=True),  # a file system whose server is gone: ENOTCONN
    State("hangs", SILENT, slow=True, fuse=True),
    State("lost", NOBODY),  # state = lost
    State("left out", NOBODY),  # --without-repository
]
BY_NAME = {s.name: s for s in STATES}


def mount_fuse(path):
    """A file system over path that nobody serves; its descriptor. Needs root; OSError where it cannot be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"hung", str(path).encode(), b"fuse", 0, options) != 0:
        error = ctypes.get_errno()
        os.close(device)
        raise OSError(error, os.strerror(error), "mount of fuse")
    return device


def unmount_fuse(path, device):
    ctypes.CDLL(None).umount2(str(path).encode(), MNT_DETACH)
    with contextlib.suppress(OSError):
        os.close(device)


def why_no_fuse(path):
    """What keeps such a file system from being mounted over path; None where nothing does."""
    try:
        unmount_fuse(path, mount_fuse(path))
    except OSError as error:
        return str(error)
    return None


@contextlib.contextmanager
def hanging(path):
    """A file system over path that never answers. A test that cannot have one is skipped."""
    try:
        device = mount_fuse(path)
    except OSError as error:
        pytest.skip(f"nothing can hang here: {error}")
    try:
        yield
    finally:
        unmount_fuse(path, device)


@contextlib.contextmanager
def dead(path):
    """A file system over path whose server has gone away."""
    device = mount_fuse(path)
    os.close(device)
    try:
        yield
    finally:
        ctypes.CDLL(None).umount2(str(path).encode(), MNT_DETACH)


class Gallery:
    """One repository in each of the states, each a directory of its own, so that any can be asked at any time."""

    def __init__(self, site, name, states, files, foreign, stack):
        self.site, self.name, self.original = site, name, site.repositories[name]
        self.top = site.runtime.make_directory(site.directory / f"states of {name}".replace(" ", "-"), 0o755)
        self.files = files
        self.foreign = foreign.repositories[name]
        self.paths = {}
        for state in states:
            self.paths[state.name] = path = self.top / state.name.replace(" ", "-")
            self._make(state.name, path)
            if state.fuse:
                stack.enter_context(hanging(path) if state.slow else dead(path))

    def _make(self, name, path):
        if name == "down":
            return
        if name == "empty" or BY_NAME[name].fuse:
            self.site.runtime.make_directory(path)
        elif name == "unmounted":
            path.mkdir(mode=0o755)
        else:
            source = self.foreign if name in ("foreign", "replaced") else self.original
            self.site.runtime.run(["cp", "-a", source, path])
            self._spoil(name, path)

    def _spoil(self, name, path):
        marker = path / "pgcairn.json"
        if name == "without marker":
            marker.unlink()
        elif name == "spoiled marker":
            marker.chmod(0o600)
            marker.write_bytes(marker.read_bytes()[:-10])
        elif name == "replaced":
            marker.chmod(0o600)
            shutil.copy2(self.original / "pgcairn.json", marker)
            self.site.runtime.own(marker)
        elif name == "forbidden":
            path.chmod(0)
        elif name == "closed":
            next(path.glob("clusters/*/wal")).chmod(0)
        elif BY_NAME[name].of_a_file and name != "up":
            for file in self.files:
                (object_,) = path.glob(f"clusters/*/wal/**/{file}")
                spoil_object(object_, name)


def spoil_object(path, name):
    if name == "lacks it":
        path.unlink()
    elif name == "bit flipped":
        flip_bit(path, path.stat().st_size // 2)
    elif name in ("truncated", "emptied"):
        path.chmod(0o600)
        os.truncate(path, path.stat().st_size // 2 if name == "truncated" else 0)
