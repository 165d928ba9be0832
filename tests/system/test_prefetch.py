"""Prefetch for recovery: what it delivers is what is fetched without it, whatever happens to its spool and its processes."""

import contextlib
import ctypes
import os
import shutil
import signal
import time

import pytest

from harness import Cluster, Site, flip_bit, wait_until
from recovery import DIRECT, SERVED, Recovery, prefetchers, ready, ready_in, spools, talkative, wait_quiet

SEGMENTS = 40
NEVER = "0000000100000000000000FE"
WIDTH = 4  # room, in segments
STOPS_RECOVERY = set(range(126, 256)) - {143}
MNT_DETACH = 2


@pytest.fixture(scope="module")
def archived(runtime):
    """A stopped cluster with a backup and a row in each of many segments behind it."""
    with runtime.place("prefetch") as place:
        site = Site(runtime, place / "site")
        source = site.cluster()
        source.start()
        site.pgcairn("init")
        source.sql("CREATE TABLE t (id int PRIMARY KEY)")
        site.json("backup")
        for number in range(SEGMENTS):
            source.sql("INSERT INTO t VALUES (%s)", number)
            last = source.switch_wal()
        source.wait_archived(last)
        source.stop()
        talkative(site)
        yield site


@pytest.fixture(scope="module")
def raw(runtime):
    """A stopped cluster and plain copies of ten of its segments, of which any two differ."""
    with runtime.place("prefetch-raw") as place:
        kept = runtime.make_directory(place / "kept")
        cluster = Cluster.create(runtime, place / "source", archive_mode="on", archive_command=f"cp %p {kept}/%f")
        cluster.start()
        cluster.segments = []
        for _ in range(10):
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


# What it is for.


def all_rows(cluster):
    assert cluster.value("SELECT array_agg(id ORDER BY id) FROM t") == list(range(SEGMENTS))


def test_a_recovery_gets_nearly_all_segments_from_the_spool_and_leaves_none(archived):
    restored = archived.restore()
    restored.start()
    restored.wait_promoted()
    all_rows(restored)
    log = restored.log_text()
    assert log.count(SERVED) > SEGMENTS // 2, f"{log.count(SERVED)} of {SEGMENTS}"
    wait_quiet(archived)


def test_a_server_that_crashes_in_recovery_recovers_all_the_same(archived):
    restored = archived.restore(directory="crashes")
    restored.start_without_waiting()
    wait_until(lambda: SERVED in restored.log_text(), "the first segment from the spool", step=0.002)
    if restored.running():
        restored.kill9()
    wait_quiet(archived)
    restored.start()
    restored.wait_promoted()
    all_rows(restored)
    wait_quiet(archived)


def test_the_next_segments_lie_ready_and_never_more_than_there_is_room_for(ahead, raw):
    for number in range(1, 6):
        assert SERVED in ahead.ask(raw.segments[number].name).stderr
        assert ahead.holds(number)
        assert ahead.target.stat().st_mode & 0o777 == 0o600
        wait_until(lambda n=number: raw.segments[n + 1].name in ready_in(ahead.site), "the next to be ready")
        assert raw.segments[number].name not in ready(ahead.spool)
        assert len(list(ahead.spool.glob("0*"))) <= WIDTH
    assert not [p for p in ahead.data.rglob("*.pgcairn*")], "a temporary was left"


def test_what_was_served_is_served_again(ahead, raw):
    for _ in range(3):
        ahead.ask(raw.segments[1].name)
        assert ahead.holds(1)


def test_it_ends_when_nothing_is_left_to_fetch(ahead, raw):
    for number in range(1, 10):
        ahead.ask(raw.segments[number].name)
        assert ahead.holds(number)
    wait_quiet(ahead.site)
    ahead.ask(NEVER, status=1)


@pytest.mark.parametrize("end", ["server", "recovery", "directory"])
def test_it_ends_when_the_recovery_has(ahead, end):
    if end == "server":
        ahead.stop_server()
    elif end == "recovery":
        (ahead.data / "recovery.signal").unlink()
    else:
        shutil.rmtree(ahead.data)
    wait_quiet(ahead.site, timeout=10)


@pytest.mark.slow
def test_it_ends_when_nothing_is_asked_for_a_minute(ahead):
    time.sleep(50)
    assert prefetchers(ahead.site)
    wait_quiet(ahead.site, timeout=30)


def test_none_starts_without_a_server_without_a_recovery_and_with_the_room_of_less_than_a_segment(site, raw):
    set_up(site, raw)
    with recovering(site, raw) as one:
        one.stop_server()
        one.ask(raw.segments[0].name)
        (one.data / "postmaster.pid").unlink()
        one.ask(raw.segments[0].name)
        one.start_server()
        (one.data / "recovery.signal").unlink()
        one.ask(raw.segments[0].name)
        (one.data / "recovery.signal").touch()
        for room in ("0", "1023kB"):
            site.extra = ["[restore]", f"prefetch = {room}"]
            site.write_config()
            one.ask(raw.segments[0].name)
            wait_until(lambda: not prefetchers(site), "none to run")
        assert not spools(site)


def test_a_standby_that_asks_for_what_is_not_there_yet_starts_nothing(site, raw):
    set_up(site, raw, archive=raw.segments[:3])
    with recovering(site, raw, signal_file="standby.signal") as one:
        for _ in range(20):
            one.ask(raw.segments[3].name, status=1)
            assert not prefetchers(site) and not spools(site)
        one.ask(raw.segments[2].name)  # the newest: one looks behind it, once
        wait_quiet(site, timeout=10)
        site.archive(raw.segments[3])
        one.ask(raw.segments[3].name)
        assert one.target.read_bytes() == raw.segments[3].read_bytes()


# Answers are the same.


def test_a_repository_that_is_left_out_delivers_nothing_out_of_the_spool(two_repositories, raw):
    site = two_repositories
    set_up(site, raw, archive=raw.segments[:3])
    site.segment_object(raw.segments[1].name, "far").unlink()
    with recovering(site, raw) as one:
        one.ask(raw.segments[0].name)
        wait_until(lambda: raw.segments[1].name in ready_in(site), "the second to be ready")
        for options in (("--repository", "far"), ("--without-repository", "near")):
            assert "repository 'near' is left out" in one.ask(raw.segments[1].name, *options, status=1).stderr
        site.write_config(site.config_text().replace(f"url = file://{site.repositories['near']}",
                                                     f"url = file://{site.repositories['near']}\nstate = lost"))
        one.ask(raw.segments[1].name, status=1)
        talkative(site)
        assert SERVED in one.ask(raw.segments[1].name).stderr


def test_what_was_left_out_is_said_with_each_segment(two_repositories, raw):
    set_up(two_repositories, raw, archive=raw.segments[:4])
    with recovering(two_repositories, raw) as one:
        one.ask(raw.segments[0].name, "--repository", "far")
        wait_until(lambda: raw.segments[1].name in ready_in(two_repositories), "the second to be ready")
        said = one.ask(raw.segments[1].name, "--repository", "far").stderr
        assert SERVED + " 'far'" in said and "repository 'near' is left out" in said
        assert "no repository 'no' is configured" in one.ask(raw.segments[2].name, "--repository", "no", status={200}).stderr


def test_a_damaged_copy_is_made_good_by_another_and_reported(two_repositories, raw):
    set_up(two_repositories, raw, archive=raw.segments[:3])
    flip_bit(two_repositories.segment_object(raw.segments[1].name, "near"), 2000)
    with recovering(two_repositories, raw) as one:
        one.ask(raw.segments[0].name)
        wait_until(lambda: raw.segments[1].name in ready_in(two_repositories), "the second to be ready")
        said = one.ask(raw.segments[1].name).stderr
        assert one.target.read_bytes() == raw.segments[1].read_bytes()
        assert SERVED + " 'far'" in said and "damaged" in said and "repository 'near'" in said


def test_damage_without_another_copy_stops_recovery_and_is_never_called_missing(site, raw):
    set_up(site, raw, archive=raw.segments[:4])
    flip_bit(site.segment_object(raw.segments[2].name), 2000)
    with recovering(site, raw) as one:
        one.ask(raw.segments[0].name)
        one.ask(raw.segments[1].name)
        one.ask(raw.segments[2].name, status={202})


def test_a_gap_behind_what_is_ready_stops_recovery(site, raw):
    set_up(site, raw, archive=raw.segments[:2])
    broken = site.directory / raw.segments[2].name
    shutil.copy2(raw.segments[2], broken)
    site.runtime.own(broken)
    flip_bit(broken, 500000)
    site.pgcairn("gap", "record", broken, "--reason", "a test")
    with recovering(site, raw) as one:
        one.ask(raw.segments[0].name)
        one.ask(raw.segments[1].name)
        assert "a recorded gap" in one.ask(raw.segments[2].name, status=STOPS_RECOVERY).stderr


def test_a_repository_that_goes_away_is_an_error_as_soon_as_the_spool_is_empty(ahead, raw):
    site = ahead.site
    site.repositories["local"].rename(site.directory / "away")
    codes = [ahead.ask(segment.name, status=STOPS_RECOVERY | {0}).returncode for segment in raw.segments[1:]]
    assert codes[-1] != 0
    (site.directory / "away").rename(site.repositories["local"])
    ahead.ask(raw.segments[9].name)
    assert ahead.holds(9)


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
        for segment in raw.segments[:8]:
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


# What a prefetcher shows of itself.


def test_it_holds_nothing_of_the_server_and_shows_no_secret(ahead):
    identity = (ahead.site.keys / "identity").read_bytes().split()[-1]
    for pid in prefetchers(ahead.site):
        fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert not [fd for fd in fds if fd.startswith(("pipe:", "socket:"))], fds
        assert os.getsid(pid) not in (os.getsid(0), os.getsid(ahead.server.pid))
        assert os.getpriority(os.PRIO_PROCESS, pid) == 10
        with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
            assert any(line.split()[:5] == ["Max", "core", "file", "size", "0"] for line in limits)
        for what in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{what}", "rb") as file:
                assert identity not in file.read()
