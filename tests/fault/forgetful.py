"""A directory on the file system that forgets what was not fsynced (forgetful.c), and the power cuts that happen to it."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

NEEDS = """cannot mount a file system in user space, and without one nothing proves what survives a power cut.
hint: this needs the kernel's fuse, /dev/fuse, Debian's fuse3, and root with CAP_SYS_ADMIN or a setuid fusermount3; a container
gets it by: --device /dev/fuse --cap-add SYS_ADMIN"""


class Disk:
    """What becomes of one directory. Each world is a directory that may be found there after a power cut."""

    def __init__(self, runtime, at, base):
        self.runtime, self.at = runtime, at
        self.base = pathlib.Path(base)
        self.base.mkdir()
        self.tool = runtime.build / "tests/fault/forgetful"
        self.mounts = self.cuts = 0

    @contextlib.contextmanager
    def mounted(self, source, **options):
        """Serve a copy of source at self.at. The power is cut at the end; then the mount knows its log and its worlds."""
        self.mounts += 1
        mount = Mount(self.base / str(self.mounts))
        flags = [word for key, value in options.items() if value is not None for word in flag(key, value)]
        process = subprocess.Popen([self.tool, *flags, source, mount.directory, self.at], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=self.runtime.environment())
        try:
            if process.stdout.readline() != "mounted\n":
                raise AssertionError(f"{NEEDS}\n{process.communicate(timeout=20)[1]}")
            yield mount
        finally:
            code = self._cut(process)
        assert code == 0, f"forgetful ended with {code}"
        mount.read()

    def _cut(self, process):
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if os.path.ismount(self.at):
            unmount = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
            subprocess.run([*unmount, self.at], check=False, timeout=60)
        return process.returncode

    @contextlib.contextmanager
    def found_again(self, world):
        """The machine is up again and finds this world."""
        self.cuts += 1
        with self.mounted(world, worlds=0) as mount:
            yield
        mount.drop()

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)


@contextlib.contextmanager
def stopped(at):
    """The mounted file system answers nothing."""
    servers = [int(p) for p in os.listdir("/proc") if p.isdigit() and is_serving(p, at)]
    assert servers, f"nobody serves {at}"
    for pid in servers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in servers:
            os.kill(pid, signal.SIGCONT)


def is_serving(pid, at):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        return words[0].endswith(b"forgetful") and str(at).encode() in words
    return False


class Mount:
    def __init__(self, directory):
        self.directory = directory
        self.directory.mkdir()
        self.log, self.worlds, self.hit = [], [], None

    def read(self):
        self.log = (self.directory / "log").read_text(encoding="utf-8").splitlines()
        self.hit = next((line for line in self.log if line.endswith((" (cut)", " (killed)"))), None)
        self.worlds = sorted((p for p in self.directory.iterdir() if p.name != "log"), key=lambda p: int(p.name))

    def numbers(self, pattern):
        """The numbers of the operations whose line matches."""
        return [int(line.split(" ", 1)[0]) for line in self.log if re.search(pattern, line)]

    def drop(self):
        shutil.rmtree(self.directory)


def flag(key, value):
    word = "--" + key.replace("_", "-")
    return [word] if value is True else [word, str(value)]
