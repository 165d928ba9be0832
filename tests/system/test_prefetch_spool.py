"""The spool of a recovery: what in it is not believed, what a dead prefetcher leaves, and what happens where there can be none."""

import contextlib
import ctypes
import os
import shutil
import signal
import time

import pytest

from harness import flip_bit, wait_until
from recovery import (DIRECT, SERVED, ahead, prefetchers, raw, ready, recovering, recovery, set_up, spools,  # noqa: F401
                      wait_quiet)

MNT_DETACH = 2


# What lies in the spool is not believed.


def cut_short(path, _raw):
    os.truncate(path, 500000)


def cut_off_its_trailer(path, _raw):
    os.truncate(path, 1 << 20)


def empty(path, _raw):
    os.truncate(path, 0)


def zero_a_page(path, _raw):
    with open(path, "r+b") as file:
        file.seek(8192 * 5)
        file.write(bytes(8192))


def name_another(path, _raw):
    (path.parent / (path.name[:-1] + hex(int(path.name[-1], 16) + 1)[2:].upper())).replace(path)


def link_to_another_file(path, raw):
    path.unlink()
    path.symlink_to(raw.segments[1])


def make_it_a_plain_segment(path, raw):
    shutil.copyfile(raw.segments[2], path)


def let_others_read(path, _raw):
    path.chmod(0o644)


def give_it_a_second_name(path, _raw):
    os.link(path, path.parent.parent / "second")


def make_it_a_fifo(path, _raw):
    path.unlink()
    os.mkfifo(path)


def make_it_a_directory(path, _raw):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [
    lambda path, _raw: flip_bit(path, 300000), lambda path, _raw: flip_bit(path, 0), lambda path, _raw: flip_bit(path, -1),
    lambda path, _raw: flip_bit(path, (1 << 20) + 20), cut_short, cut_off_its_trailer, empty, zero_a_page, name_another,
    link_to_another_file, make_it_a_plain_segment, let_others_read, give_it_a_second_name, make_it_a_fifo, make_it_a_directory])
def test_what_is_not_what_was_put_there_is_fetched_again(ahead, raw, spoil):
    spoil(ahead.spool / raw.segments[1].name, raw)
    said = ahead.ask(raw.segments[1].name).stderr
    assert DIRECT in said and SERVED not in said
    assert ahead.holds(1)
    ahead.ask(raw.segments[2].name)
    assert ahead.holds(2)


def test_an_entry_of_another_spool_is_fetched_again(ahead, raw):
    """As after a power cut: the key has the boot in it, and what was put there before does not fit."""
    site = ahead.site
    with recovering(site, raw, name="other") as other:
        other.ask(raw.segments[0].name)
        wait_until(lambda: len(spools(site)) == 2 and all(len(ready(s)) == 2 for s in spools(site)), "both to be ready")
        theirs = next(s for s in spools(site) if s != ahead.spool)
        shutil.copy2(theirs / raw.segments[1].name, ahead.spool / "copy")
        site.runtime.own(ahead.spool / "copy")
        (ahead.spool / "copy").replace(ahead.spool / raw.segments[1].name)
        assert "holds other bytes than were put there" in ahead.ask(raw.segments[1].name).stderr
        assert ahead.holds(1)
        assert SERVED in other.ask(raw.segments[1].name).stderr


def test_what_a_dead_prefetcher_left_goes_with_the_next_one(ahead, raw):
    for pid in prefetchers(ahead.site):
        os.kill(pid, signal.SIGSTOP)
    for pid in prefetchers(ahead.site):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not prefetchers(ahead.site), "both to be dead")
    assert ready(ahead.spool), "killed at once they can clean up nothing"
    part = ahead.spool / f"{raw.segments[3].name}.part"
    shutil.copyfile(raw.segments[4], part)
    ahead.site.runtime.own(part)
    stale = ahead.spool.parent / "0123456789abcdef"
    shutil.copytree(ahead.spool, stale, ignore=shutil.ignore_patterns("bell"))
    ahead.site.runtime.own(stale)
    stale.chmod(0o700)
    for number in range(1, 4):
        ahead.ask(raw.segments[number].name)
        assert ahead.holds(number)
    wait_until(lambda: spools(ahead.site) == [ahead.spool] and not part.exists(), "the leftovers to be gone")
    ahead.stop_server()
    wait_quiet(ahead.site)


def test_the_one_that_works_is_killed_and_the_one_that_stays_cleans_up_and_ends_well(ahead, raw):
    keeper, worker = sorted(prefetchers(ahead.site), key=lambda pid: os.stat(f"/proc/{pid}").st_ctime_ns)[:2]
    parent = int(open(f"/proc/{worker}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[1])
    if parent != keeper:
        keeper, worker = worker, keeper
    os.kill(worker, signal.SIGKILL)
    _, status = os.waitpid(keeper, 0)  # orphans are the test's, as they are the server's where that is process 1
    assert os.waitstatus_to_exitcode(status) == 0
    wait_quiet(ahead.site)
    ahead.ask(raw.segments[1].name)
    assert ahead.holds(1)


def test_a_prefetcher_that_hangs_keeps_nobody(ahead, raw):
    for pid in prefetchers(ahead.site):
        os.kill(pid, signal.SIGSTOP)
    for number in range(1, 6):
        begun = time.monotonic()
        ahead.ask(raw.segments[number].name)
        assert time.monotonic() - begun < 10
        assert ahead.holds(number)


# Two at once.


def test_two_recoveries_have_a_spool_each(ahead, raw):
    with recovering(ahead.site, raw, name="other") as other:
        for number in (0, 4, 5, 6):
            other.ask(raw.segments[number].name)
            assert other.target.read_bytes() == raw.segments[number].read_bytes()
        for number in (1, 2, 3):
            assert SERVED in ahead.ask(raw.segments[number].name).stderr
            assert ahead.holds(number)
        other.stop_server()
        wait_until(lambda: spools(ahead.site) == [ahead.spool], "the other's to be gone")


def test_two_that_fetch_one_segment_both_get_it(ahead, raw):
    for number in range(1, 5):
        targets = [ahead.data / f"pg_wal/{n}" for n in range(3)]
        both = [ahead.runtime.popen(ahead.site.command("pgcairn-wal-restore", raw.segments[number].name, t), cwd=ahead.data)
                for t in targets]
        assert [p.wait(timeout=60) for p in both] == [0, 0, 0]
        assert all(t.read_bytes() == raw.segments[number].read_bytes() for t in targets)


# A spool that cannot be used.


def make_it_a_file(spool):
    spool.write_text("")


def make_it_dangle(spool):
    spool.symlink_to("/nonexistent/spool")


def make_its_parent_unwritable(spool):
    spool.parent.chmod(0o500)


def make_it_readable_for_others(spool):
    (spool / "main").mkdir(parents=True)
    (spool / "main").chmod(0o755)


def make_it_a_link_to_elsewhere(spool):
    spool.mkdir()
    elsewhere = spool.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (spool / "main").symlink_to(elsewhere)


@pytest.mark.parametrize("spoil", [make_it_a_file, make_it_dangle, make_its_parent_unwritable, make_it_readable_for_others,
                                   make_it_a_link_to_elsewhere])
def test_a_spool_that_cannot_be_used_costs_speed_alone_and_is_told(recovery, raw, spoil):
    spool = recovery.site.directory / "state/spool"
    spoil(spool)
    if spool.exists() and not spool.is_symlink():
        recovery.runtime.own(spool)
    for number in range(3):
        said = recovery.ask(raw.segments[number].name).stderr
        assert "warning: segments are not prefetched: " in said
        assert recovery.target.read_bytes() == raw.segments[number].read_bytes()
    assert not prefetchers(recovery.site)
    start = (recovery.data / "postmaster.pid").read_text().replace(str(int(time.time()))[:6], str(int(time.time()) - 10**6)[:6])
    (recovery.data / "postmaster.pid").write_text(start)
    assert "warning: segments are not prefetched" not in recovery.ask(raw.segments[3].name).stderr, "told with each segment"


def test_a_spool_in_the_data_directory_is_refused(site, raw):
    set_up(site, raw, extra=[f"spool-directory = {site.directory}/recovery/spool"])
    with recovering(site, raw) as one:
        said = one.ask(raw.segments[0].name).stderr
        assert "lies in the data directory" in said and "hint: set spool-directory" in said
        assert not (one.data / "spool").exists() and not prefetchers(site)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to own a directory that this user must not believe")
def test_a_spool_that_somebody_else_has_made_is_refused(recovery, raw):
    theirs = recovery.site.directory / "state/spool/main"
    theirs.mkdir(parents=True)
    theirs.chmod(0o777)
    said = recovery.ask(raw.segments[0].name).stderr
    assert "is not this user's alone" in said and "hint: remove it" in said
    assert not list(theirs.iterdir())


@contextlib.contextmanager
def mounted(site, raw, size):
    """The spool on a file system of its own."""
    at = site.runtime.make_directory(site.directory / "mounted")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"spool", str(at).encode(), b"tmpfs", 0, f"size={size},mode=0777".encode()) == 0, os.strerror(ctypes.get_errno())
    try:
        set_up(site, raw, extra=[f"spool-directory = {at}/spool"])
        with recovering(site, raw) as one:
            one.top = at / "spool/main"
            yield one
    finally:
        libc.umount2(str(at).encode(), MNT_DETACH)


needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to mount a file system")


@needs_mount
def test_a_full_disk_turns_it_off_with_one_warning(site, raw):
    with mounted(site, raw, "1500k") as one:
        told = 0
        for segment in raw.segments:
            told += one.ask(segment.name).stderr.count("warning: segments are not prefetched for now: ")
            assert one.target.read_bytes() == segment.read_bytes()
            time.sleep(0.3)
        assert told == 1
        assert not prefetchers(site), "it begins again and again"


@needs_mount
def test_a_spool_on_another_file_system_is_copied_from(site, raw):
    with mounted(site, raw, "20m") as one:
        one.ask(raw.segments[0].name)
        wait_until(lambda: len(list(one.top.glob("*/" + "?" * 24))) == 2, "two to be ready")
        (spool,) = one.top.iterdir()
        assert SERVED in one.ask(raw.segments[1].name).stderr
        assert one.target.read_bytes() == raw.segments[1].read_bytes()
        assert raw.segments[1].name not in ready(spool)
        wait_until(lambda: raw.segments[2].name in ready(spool), "the next to be ready")
        flip_bit(spool / raw.segments[2].name, 4000)
        assert DIRECT in one.ask(raw.segments[2].name).stderr
        assert one.target.read_bytes() == raw.segments[2].read_bytes()
        assert not list(one.data.rglob("*.pgcairn"))
