"""Prefetch for recovery: it delivers what is fetched without it, with the same answers, and ends by itself. See test_prefetch_spool.py."""

import os
import shutil
import time

import pytest

import majors
from harness import Site, flip_bit, wait_until
from recovery import (DIRECT, SERVED, WIDTH, ahead, prefetchers, raw, ready, ready_in, recovering, recovery, set_up,  # noqa: F401
                      spools, talkative, wait_quiet)

SEGMENTS = 40
NEVER = "0000000100000000000000FE"
STOPS_RECOVERY = set(range(126, 256)) - {143}


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


@pytest.mark.slow
@pytest.mark.parametrize("major", majors.MAJORS)
def test_each_major_replays_what_was_fetched_ahead(site, major):
    """From 15 on the server reads ahead of what it replays."""
    source = site.cluster(pg_bin=majors.pg_bin(major))
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    site.json("backup")
    write(source, 0, SEGMENTS)
    source.stop()
    talkative(site)
    restored = site.restore()
    restored.start()
    restored.wait_promoted()
    all_rows(restored)
    assert restored.log_text().count(SERVED) > SEGMENTS // 2
    wait_quiet(site)


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


def write(cluster, first, rows):
    """A row in each of so many segments, archived."""
    for number in range(first, first + rows):
        cluster.sql("INSERT INTO t VALUES (%s)", number)
        last = cluster.switch_wal()
    cluster.wait_archived(last)


def test_it_goes_on_behind_a_switch_of_timelines(site):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    site.json("backup")
    write(source, 0, 6)
    source.stop()
    adopted = site.restore("--adopt", directory="adopted")
    adopted.start()
    adopted.wait_promoted()
    write(adopted, 6, 12)
    adopted.stop()
    talkative(site)
    restored = site.restore(directory="again")
    restored.start()
    restored.wait_promoted()
    assert restored.value("SELECT array_agg(id ORDER BY id) FROM t") == list(range(18))
    lines = restored.log_text().splitlines()
    served = [after for line, after in zip(lines, lines[1:]) if SERVED in line]
    assert [line for line in served if 'restored log file "00000001' in line]
    assert len([line for line in served if 'restored log file "00000002' in line]) >= 4, "it stayed on the old timeline"
    wait_quiet(site)


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
    for number in range(1, 7):
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


def test_a_restore_on_the_live_host_leaves_archiving_and_the_standbys_spool_alone(site, raw):
    """The same configuration, the same state directory: a drill took live archiving's spool away, and it stood still."""
    live = site.cluster(directory="live")
    set_up(site, live, archive=[])
    live.start()
    live.sql("CREATE TABLE t (id int)")
    site.json("backup")
    write(live, 0, 3)
    first = live.switch_wal()
    write(live, 3, 4)
    with recovering(site, live, name="other", signal_file="standby.signal") as other:
        other.ask(first)
        (spool,) = wait_until(lambda: [s for s in spools(site) if ready(s)], "segments to be ready")
        held = ready(spool)
        copy = site.restore()
        copy.start()
        copy.wait_promoted()
        assert copy.value("SELECT count(*) FROM t") == 7
        assert ready(spool)[:len(held)] == held, "the spool of another recovery was touched"
        write(live, 7, 3)
        assert live.value("SELECT failed_count FROM pg_stat_archiver") == 0
        assert live.value("SELECT count(*) FROM t") == 10


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
    ahead.ask(raw.segments[6].name)
    assert ahead.holds(6)


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
