"""The WAL commands against what should not happen to them: stores that hang, deaths by signal, two at once."""

import fcntl
import os
import re
import signal
import subprocess
import time

import pytest

from harness import alive, children_of, wait_until
from states import hanging

FAILED = set(range(1, 126))
LIMIT = "3s"


@pytest.fixture
def ready(site, segments):
    site.use(segments[-1])
    site.pgcairn("init")
    return site


@pytest.fixture
def hung(ready, segments):
    """A site with one stored segment, whose only repository hangs."""
    ready.archive(segments[0])
    ready.extra = ["[archive]", f"timeout = {LIMIT}", "[restore]", f"timeout = {LIMIT}"]
    ready.write_config()
    with hanging(ready.repositories["local"]):
        yield ready


def ends(site, command, limit=20):
    """The exit status; a command that goes on for ever is a failure."""
    process = site.runtime.popen(command, stderr=subprocess.PIPE, text=True, cwd=site.directory)
    try:
        _, said = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still there after {limit} s") from None
    return process.returncode, said


# A store that hangs


def test_archiving_to_a_file_system_that_hangs_ends_in_time_and_fails(hung, segments):
    status, said = ends(hung, hung.command("pgcairn-wal-archive", segments[1], segments[1].name))
    assert status in FAILED and re.search("out of time|does not answer", said)


def test_a_server_can_be_stopped_while_its_repository_hangs(site, runtime):
    """Its archiver makes a last round, and the shutdown waits for it: nothing is lost by that, and nothing waits for ever."""
    site.extra = ["[archive]", "timeout = 1s"]
    cluster = site.cluster()
    site.pgcairn("init")
    cluster.start()
    cluster.archive_now()
    with hanging(site.repositories["local"]):
        name = cluster.switch_wal()
        cluster.pg_ctl("stop", "-w", "-t", "40", "-m", "fast", timeout=60)
        assert (cluster.data / f"pg_wal/archive_status/{name}.ready").exists()
    cluster.start()
    cluster.wait_archived(name)


def test_fetching_from_a_file_system_that_hangs_ends_in_time_and_is_no_miss(hung, segments):
    status, said = ends(hung, hung.command("pgcairn-wal-restore", segments[0].name, hung.directory / "fetched"))
    assert status > 125 and status != 143 and re.search("out of time|does not answer", said)


def test_a_standby_takes_a_segment_that_hangs_for_missing_and_a_history_never(hung, segments):
    (hung.directory / "standby.signal").touch()
    assert ends(hung, hung.command("pgcairn-wal-restore", segments[0].name, hung.directory / "fetched"))[0] == 1
    assert ends(hung, hung.command("pgcairn-wal-restore", "00000002.history", hung.directory / "fetched"))[0] > 125


@pytest.mark.parametrize("name, word", [("00000002.history", "ALARM: whether 00000002.history exists is not known"),
                                        ("000000010000000000000009", "the standby asks again")])
def test_a_miss_without_proof_is_told_as_one_also_when_time_runs_out(hung, name, word):
    """The fetch itself can say nothing then: it has stopped for good."""
    hung.extra.append("promote-without-archive = allow")
    hung.write_config()
    (hung.directory / "standby.signal").touch()
    process = hung.runtime.popen(hung.command("pgcairn-wal-restore", name, hung.directory / "fetched"),
                                 stderr=subprocess.PIPE, text=True, cwd=hung.directory)

    def opens():
        return [c for c in children_of(process.pid) if len(os.listdir(f"/proc/{c}/task")) > 1]

    wait_until(opens, "the fetch to open the repository")
    time.sleep(0.3)
    os.kill(opens()[0], signal.SIGSTOP)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and "out of time" in said and word in said


def test_sigterm_ends_a_fetch_that_hangs(hung, segments):
    process = hung.runtime.popen(hung.command("pgcairn-wal-restore", segments[0].name, hung.directory / "fetched"),
                                 cwd=hung.directory)
    time.sleep(0.5)
    process.terminate()
    assert process.wait(2) == -signal.SIGTERM


# Deaths


@pytest.mark.parametrize("name", ["KILL", "SEGV", "BUS", "XCPU", "USR1", "TERM"])
def test_no_signal_makes_archiving_end_above_125(ready, segments, name):
    """The archiver would be restarted and nobody would count it."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject=linkat:signal={name}",
               *ready.command("pgcairn-wal-archive", segments[0], segments[0].name)]
    status = ready.runtime.run(command, status=None, env={"ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:handle_sigbus=0"})
    assert 0 <= status.returncode <= 125, status.stderr
    ready.archive(segments[0])


def test_a_limit_on_the_size_of_files_fails_archiving_like_a_full_disk(ready, segments):
    command = ["/bin/sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *ready.command("pgcairn-wal-archive", segments[0], segments[0].name)]
    assert "large" in ready.runtime.run(command, status=FAILED).stderr


@pytest.mark.parametrize("name", ["KILL", "SEGV"])
def test_a_fetch_that_dies_is_no_miss_and_leaves_nothing(ready, segments, name):
    ready.archive(segments[0])
    target = ready.directory / "fetched"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject=rename:signal={name}",
               *ready.command("pgcairn-wal-restore", segments[0].name, target)]
    status = ready.runtime.run(command, status=None, env={"ASAN_OPTIONS": "detect_leaks=0:handle_segv=0"}).returncode
    assert 126 <= status <= 255 and status != 143
    assert not (ready.directory / "fetched.pgcairn").exists()


def slowed(site, segment, target):
    """A fetch that takes seconds over its writing."""
    return site.runtime.popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-P", f"{target}.pgcairn", "-e", "inject=write,pwrite64:delay_enter=1500000",
         *site.command("pgcairn-wal-restore", segment.name, target)],
        env={"ASAN_OPTIONS": "detect_leaks=0"}, cwd=site.directory, stderr=subprocess.DEVNULL, start_new_session=True)


def test_two_fetches_into_one_place_do_not_mix_their_bytes(ready, segments):
    """A killed server may leave a fetch behind; its successor asks for another segment under the same name."""
    for segment in segments[:2]:
        ready.archive(segment)
    target = ready.directory / "fetched"
    left_behind = slowed(ready, segments[0], target)
    wait_until(lambda: (ready.directory / "fetched.pgcairn").exists(), "the first fetch to write")
    ready.fetch(segments[1].name, target)
    got = target.read_bytes()
    left_behind.wait(30)
    assert got == segments[1].read_bytes()
    assert target.read_bytes() in (segments[0].read_bytes(), segments[1].read_bytes())


def test_a_fetch_goes_with_the_server_that_asked(ready, segments):
    ready.archive(segments[0])
    target = ready.directory / "fetched"
    lock = open(f"{target}.pgcairn", "w", encoding="utf-8")  # which makes the fetch wait
    ready.runtime.own(f"{target}.pgcairn")
    fcntl.flock(lock, fcntl.LOCK_EX)
    command = " ".join(map(str, ready.command("pgcairn-wal-restore", segments[0].name, target)))
    parent = ready.runtime.popen(["/usr/bin/python3", "-c", "import subprocess, sys; subprocess.run(sys.argv[1].split())", command],
                                 cwd=ready.directory)
    child = wait_until(lambda: children_of(parent.pid), "the fetch")[0]
    wait_until(lambda: children_of(child), "its worker")
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child), "the fetch to end", 10)
    assert not target.exists()
    lock.close()


@pytest.fixture
def half_hung(two_repositories, segments):
    """Two repositories, of which the first hangs; one is enough for the policy."""
    site = two_repositories
    site.acknowledge = "1"
    site.use(segments[-1])
    site.pgcairn("init")
    site.archive(segments[0])
    site.write_config(site.config_text().replace("acknowledge = 1", "acknowledge = 1\ntimeout = 20s") + "[restore]\ntimeout = 20s\n")
    with hanging(site.repositories["near"]):
        yield site


def test_a_repository_that_hangs_does_not_keep_a_segment_from_the_other(half_hung, segments):
    status, said = ends(half_hung, half_hung.command("pgcairn-wal-archive", segments[1], segments[1].name))
    assert status == 0, said
    assert half_hung.segment_object(segments[1].name, "far")
    assert "does not answer" in said


def test_a_repository_that_hangs_does_not_keep_a_segment_from_being_fetched(half_hung, segments):
    status, said = ends(half_hung, half_hung.command("pgcairn-wal-restore", segments[0].name, half_hung.directory / "fetched"))
    assert status == 0, said
    assert (half_hung.directory / "fetched").read_bytes() == segments[0].read_bytes()


def test_missing_in_one_and_hanging_in_the_other_is_not_missing(half_hung, segments):
    status, _ = ends(half_hung, half_hung.command("pgcairn-wal-restore", segments[1].name, half_hung.directory / "fetched"), 40)
    assert status > 125 and status != 143
