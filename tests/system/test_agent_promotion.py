"""Archiving through resident agents while the primary changes: every acknowledged commit comes back, and none of another life."""

import os
import time

from agents import Agent
from ha import FAILED, Ledger, admit, clone_standby, other_host, promote, streaming, timeline
from harness import stat_fields, wait_until

STRAY = 1_000_000  # rows of the server that should have been gone


def test_each_commit_of_the_life_that_goes_on_comes_back_and_none_of_the_other(site):
    primary = site.cluster()
    primary.start()
    site.pgcairn("init")
    host = other_host(site, "b")
    with Agent(site) as old:
        ledger = Ledger(primary)
        site.json("backup")
        standby = clone_standby(host, primary, archive_mode="on")
        standby.start()
        admit(site, host)
        with Agent(host) as new:
            wait_until(lambda: streaming(primary), "the standby to stream")
            ledger.begin(primary)
            for _ in range(4):
                primary.switch_wal()
                ledger.wait(standby)
            ledger.end()
            primary.stop()
            promote(standby)
            assert timeline(standby) == 2
            ledger.wants(standby)

            primary.start()  # nobody has told it
            primary.sql("INSERT INTO ledger VALUES (%s)", STRAY)
            ledger.begin(standby)
            for _ in range(3):
                primary.switch_wal()
                standby.switch_wal()
            before = ledger.acknowledged
            wait_until(lambda: ledger.acknowledged > before + 20, "more commits")
            last = ledger.end()
            primary.archive_now()
            standby.archive_now()
            assert primary.value("SELECT failed_count FROM pg_stat_archiver") == 0
            assert standby.value("SELECT failed_count FROM pg_stat_archiver") == 0
            assert old.cluster()["shipped"] > 5 and new.cluster()["shipped"] > 3, "archiving did not go through the agents"
            primary.kill9()
            standby.kill9()
    copy = site.restore()
    copy.start()
    copy.wait_promoted()
    ledger.wants(copy, last)
    assert site.info()["conflicts"] == []
    assert site.objects("clusters/main/wal/*/00000001/*/*") and site.objects("clusters/main/wal/*/00000002/*/*")
    stray = site.restore("--target-timeline", "1", directory="stray")
    stray.start()
    stray.wait_promoted()
    assert stray.value("SELECT max(id) FROM ledger") == STRAY, "what the other life has archived is not lost either"


def cpu_seconds(pid):
    return sum(map(int, stat_fields(pid)[11:13])) / os.sysconf("SC_CLK_TCK")


def test_what_failed_and_is_held_back_by_a_history_keeps_the_agent_from_no_answer(site):
    """A segment was refused; then the history of its timeline is refused too, so that the segment is not to be tried again."""
    server = site.cluster()
    server.start()
    site.pgcairn("init")
    server.stop()
    (server.data / "standby.signal").touch()
    site.runtime.own(server.data / "standby.signal")
    server.start()
    promote(server)
    pg_wal, status = server.data / "pg_wal", server.data / "pg_wal/archive_status"
    history, refused = "00000002.history", "000000020000000000000099"

    def want(name, content):
        (pg_wal / name).write_bytes(content)
        (status / f"{name}.done").unlink(missing_ok=True)
        (status / f"{name}.ready").touch()
        site.runtime.own(pg_wal)

    with Agent(site) as agent:
        good = server.archive_now()
        (partial,) = (path.name for path in pg_wal.glob("*.partial"))
        want(refused, (pg_wal / good).read_bytes())
        wait_until(lambda: agent.cluster()["failed"] == 1, "the segment to be refused")
        true_history = (pg_wal / history).read_bytes()
        want(history, b"1\t0/500000\tanother life\n")
        wait_until(lambda: agent.cluster()["failed"] == 2, "the history to be refused")
        said = site.archive(f"pg_wal/{history}", status=FAILED).stderr
        assert "holds other content under the name" in said
        began, used = time.monotonic(), cpu_seconds(agent.pid)
        while time.monotonic() < began + 5:  # the segment's time comes meanwhile
            assert agent.call(timeout=3)[0][1]["clusters"][0]["failed"] == 2
            site.archive(f"pg_wal/{partial}")  # of the timeline before
            time.sleep(0.5)
        assert cpu_seconds(agent.pid) - used < 0.1 * (time.monotonic() - began), "it is busy with nothing"
        want(history, true_history)
        for path in (pg_wal / refused, status / f"{refused}.ready"):
            path.unlink()
        last = server.archive_now()
        assert site.segment_object(last)
