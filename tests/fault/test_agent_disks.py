"""What disks do to the agent's repositories: one that hangs, is full, read-only or unmounted costs the other nothing, is named, and is
used again by itself when it is well."""

import contextlib
import shutil
import subprocess

import pytest

from agents import Agent
from forgetful import Disk, stopped
from harness import Site, wait_until

NEAR, FAR = "near", "far"


@pytest.fixture
def site(runtime, place):
    """Two repositories, of which one is enough; a running server."""
    site = Site(runtime, place / "site", repositories=(NEAR, FAR))
    site.acknowledge = "1\ntimeout = 8s"  # a repository may hang for a second
    site.server = site.cluster()
    site.pgcairn("init")
    return site


def mount(*words):
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.strip()}")


def unmount(path):
    subprocess.run(["umount", "-l", path], check=False, timeout=60)


@contextlib.contextmanager
def on_a_disk_of_its_own(site, size):
    """The far repository on a small file system."""
    far, copy = site.repositories[FAR], site.directory / "copy"
    far.rename(copy)
    site.runtime.make_directory(far)
    mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "pgcairn-test", far)
    try:
        site.runtime.run(["sh", "-c", f"chown {far.stat().st_uid} {far}"], status=None)
        subprocess.run(["cp", "-a", f"{copy}/.", far], check=True, timeout=60)
        site.runtime.own(far)
        yield far
    finally:
        unmount(far)


def works_without_far(site, agent, n=3):
    """Archiving goes on, and what is wrong with the other is said."""
    for _ in range(n):
        site.server.archive_now()
    wait_until(lambda: agent.lane(FAR)["state"] == "down", "the far repository to be down")
    return agent.lane(FAR)["error"]


def works_with_far(site, agent):
    agent.wait_lane(FAR, "up")

    def stored():
        name = site.server.archive_now()
        return any(site.objects(f"clusters/*/wal/*/*/*/{name}", FAR))
    wait_until(stored, "the far repository to be written to", timeout=90)


def test_one_that_hangs(site, runtime, place):
    far = site.repositories[FAR]
    source = place / "far"
    far.rename(source)
    runtime.make_directory(far)
    disk = Disk(runtime, far, place / "disk")
    with disk.mounted(source):
        site.server.start()
        with Agent(site) as agent:
            works_with_far(site, agent)
            with stopped(far):
                error = works_without_far(site, agent, 5)
                assert "does not answer" in error or "too slow" in error, error
            works_with_far(site, agent)
        site.server.stop()


def test_one_that_is_full(site):
    with on_a_disk_of_its_own(site, "3m") as far:
        site.server.start()
        with Agent(site) as agent:
            works_with_far(site, agent)
            filler = far / "filler"
            subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], check=False, capture_output=True, timeout=60)
            assert "No space left" in works_without_far(site, agent)
            filler.unlink()
            works_with_far(site, agent)
            wait_until(lambda: not agent.lane(FAR)["behind"], "what it missed to be there")
            missed, there = ({p.name for p in site.objects("clusters/*/wal/*/*/*/*", r)} for r in (NEAR, FAR))
            assert missed <= there


def test_one_that_becomes_read_only(site):
    with on_a_disk_of_its_own(site, "64m") as far:
        site.server.start()
        with Agent(site) as agent:
            works_with_far(site, agent)
            mount("-o", "remount,ro", far)
            assert "Read-only file system" in works_without_far(site, agent)
            mount("-o", "remount,rw", far)
            works_with_far(site, agent)


def test_one_that_is_not_mounted(site):
    far, real = site.repositories[FAR], site.directory / "real"
    far.rename(real)
    site.runtime.make_directory(far)
    mount("--bind", real, far)
    try:
        site.server.start()
        with Agent(site) as agent:
            works_with_far(site, agent)
            unmount(far)
            assert "was replaced by another directory" in works_without_far(site, agent)
            assert not any(far.iterdir()), "something was written below the mount point"
            mount("--bind", real, far)
            works_with_far(site, agent)
    finally:
        unmount(far)


def test_both_that_are_gone_lose_nothing(site):
    """Nothing is dropped: it is shipped when one of them is back."""
    site.server.start()
    with Agent(site) as agent:
        site.server.archive_now()
        for path in site.repositories.values():
            path.rename(path.with_name(f"{path.name}-away"))
        names = [site.server.switch_wal() for _ in range(5)]
        wait_until(lambda: agent.cluster()["failed"] + agent.cluster()["waiting"] >= 5, "the failures")
        for path in site.repositories.values():
            path.with_name(f"{path.name}-away").rename(path)
        site.server.sql("SELECT pg_reload_conf()")
        site.server.wait_archived(names[-1], timeout=150)
        for name in names:
            site.fetch(name, site.directory / "fetched")
            (site.directory / "fetched").unlink()


def test_another_repository_in_its_place(site):
    far, real = site.repositories[FAR], site.directory / "real"
    site.server.start()
    with Agent(site) as agent:
        site.server.archive_now()
        far.rename(real)
        shutil.copytree(site.repositories[NEAR], far)
        site.runtime.own(far)
        assert "was replaced by another directory" in works_without_far(site, agent)
        shutil.rmtree(far)
        real.rename(far)
        works_with_far(site, agent)
