"""replicate when a disk hangs: a source that does costs itself alone, a target that does is named, and both in bounded time. The process
itself can end only when the disk answers again: a thread is left in the kernel."""

import contextlib
import json
import subprocess
import threading

import pytest

from forgetful import Disk, stopped
from sites import archived_without, with_segments

NEAR, FAR, THIRD = "near", "far", "third"
SECONDS = 60  # far more than the limit of an operation, which is a second here; far less than for ever


@pytest.fixture
def behind(runtime):  # of the build that has the file system
    """far misses what the two others have."""
    with runtime.place("replicate-disks") as place:
        site = with_segments(runtime, place, repositories=(NEAR, FAR, THIRD))
        site.acknowledge = "1\ntimeout = 8s"
        site.write_config()
        archived_without(site, FAR)
        yield site


@contextlib.contextmanager
def hanging(site, name):
    """The repository on a file system that answers nothing."""
    at, source = site.repositories[name], site.directory / "source"
    at.rename(source)
    site.runtime.make_directory(at)
    disk = Disk(site.runtime, at, site.directory / "disk")
    with disk.mounted(source):
        with stopped(at):
            yield


def stored(site):
    return [p.name for p in site.objects("clusters/*/wal/*/*/*/*", FAR)]


def replicate(site, name, said, is_last):
    """Replicate while the repository hangs: what is said by then, up to a last line, and afterwards how it ends."""
    process, lines = None, []
    with hanging(site, name):
        process = site.runtime.popen(site.command("pgcairn", "replicate", "--to", FAR, "--json"), None, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, start_new_session=True)
        give_up = threading.Timer(SECONDS, process.kill)
        give_up.start()
        for line in getattr(process, said):
            lines.append(line)
            if is_last(line):
                break
        assert give_up.is_alive(), f"nothing was said in {SECONDS} s"
        give_up.cancel()
    process.communicate(timeout=60)
    return "".join(lines), process.returncode


def test_a_source_that_hangs_is_named_and_another_serves(behind):
    text, status = replicate(behind, NEAR, "stdout", lambda line: line == "}\n")
    done = json.loads(text)
    assert status == 3 and done["lacking"] == 0 and not done["heard_all"]
    assert [t["repository"] for t in done["troubles"]] == [NEAR]
    assert "does not answer" in done["troubles"][0]["error"]["message"]
    assert set(stored(behind)) == {segment.name for segment in behind.segments}


def test_a_target_that_hangs_is_the_error(behind):
    text, status = replicate(behind, FAR, "stderr", lambda line: "hint" in line)
    assert status == 1 and "repository 'far' does not answer" in text
