"""Archiving through resident agents while the primary changes: every acknowledged commit comes back, and none of another life."""

from agents import Agent
from ha import Ledger, admit, clone_standby, other_host, promote, streaming, timeline
from harness import wait_until

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
