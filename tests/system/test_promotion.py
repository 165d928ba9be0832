"""A standby is promoted while repositories are silent: no timeline is taken twice by a false miss, and what the operator allows
is told as an alarm and found as a conflict."""

import re

import pytest

from ha import ABORT, Ledger, admit, away, back, clone_standby, other_host, promote, timeline
from harness import Site, wait_until

ALARM = "ALARM: whether 00000002.history exists is not known"
HISTORY = "1\t0/500000\tanother server's promotion\n"


def policy(host, word, timeout="4s"):
    host.extra = ["[restore]", f"timeout = {timeout}", f"promote-without-archive = {word}"]
    host.write_config()


# What the restore command answers, asked in a directory that looks like a standby's


@pytest.fixture(scope="module")
def asked(runtime):
    """Two repositories, a host that writes and one that asks; the tests put a history where they want it."""
    with runtime.place("asked") as place:
        site = Site(runtime, place / "a", repositories=("near", "far"))
        cluster = site.cluster()
        cluster.start()
        site.pgcairn("init")
        cluster.stop()
        site.acknowledge = "1"
        site.write_config()
        yield site


@pytest.fixture
def asking(asked, request):
    """A new host that has seen nothing, in a standby's directory; afterwards no repository has a history and all are there."""
    host = other_host(asked, f"h{abs(hash(request.node.name))}")
    host.use(asked_cluster(asked))
    (host.directory / "standby.signal").touch()
    yield host
    for name, top in asked.repositories.items():
        if not top.exists():
            back(asked, name)
        for path in asked.objects("clusters/main/wal/*/00000002.history", name):
            path.unlink()


def asked_cluster(asked):
    return next(c for c in asked.runtime.clusters if c.data == asked.pgdata)


def take(site, repository, text=HISTORY):
    """Timeline 2 is taken, and only this repository knows."""
    history = site.directory / "00000002.history"
    history.write_text(text)
    site.runtime.own(history)
    for other in site.repositories:
        if other != repository:
            away(site, other)
    site.archive(history)
    for other in site.repositories:
        if other != repository:
            back(site, other)


@pytest.mark.parametrize("word", ["refuse", "allow"])
@pytest.mark.parametrize("down, taken, seen, want", [
    # down, who has the history, did this host see it before, the answer under refuse and under allow
    ((), None, False, ("missing", "missing")),
    ((), "far", False, ("here", "here")),
    (("near",), None, False, ("abort", "alarm")),
    (("far",), None, False, ("abort", "alarm")),
    (("far",), "near", False, ("here", "here")),
    (("near",), "far", False, ("here", "here")),
    (("far",), "far", False, ("abort", "alarm")),
    (("far",), "far", True, ("abort", "abort")),
    (("near", "far"), None, False, ("abort", "alarm")),
    (("near", "far"), "far", False, ("abort", "alarm")),
    (("near", "far"), "far", True, ("abort", "abort")),
])
def test_a_history_is_called_missing_only_when_proved_or_allowed(asked, asking, down, taken, seen, want, word):
    policy(asking, word, "1s")
    target = asking.directory / "fetched"
    if taken:
        take(asked, taken)
    if seen:
        asking.fetch("00000002.history", target)
        target.unlink()
    for name in down:
        away(asked, name)
    answer = want[word == "allow"]
    said = asking.fetch("00000002.history", target, status={"missing": 1, "alarm": 1, "here": 0, "abort": ABORT}[answer]).stderr
    assert target.exists() == (answer == "here")
    assert (ALARM in said) == (answer == "alarm")
    if answer == "abort":
        assert ("this host has seen that timeline" if word == "allow" else "promote-without-archive = allow") in said


def test_a_history_that_is_lost_between_others_is_no_end_of_the_timelines(asked, asking):
    policy(asking, "allow", "1s")
    for name in ("00000002.history", "00000003.history", "00000004.history"):
        history = asked.directory / name
        history.write_text("".join(f"{n}\t0/{n}00000\tx\n" for n in range(1, int(name[:8]))))
        asked.runtime.own(history)
        asked.archive(history)
    target = asking.directory / "fetched"
    for repository in asked.repositories:
        for lost in asked.objects("clusters/main/wal/*/00000003.history", repository):
            lost.unlink()
    said = asking.fetch("00000003.history", target, status=ABORT).stderr
    assert "has the history of timeline 4" in said and "recovery_target_timeline = 4" in said
    (asking.directory / "standby.signal").unlink()
    asking.fetch("00000003.history", target, status=ABORT)
    asking.fetch("00000004.history", target)
    asking.fetch("00000005.history", target, status=1)
    for repository in asked.repositories:
        for path in asked.objects("clusters/main/wal/*/0000000?.history", repository):
            path.unlink()


def test_two_histories_of_one_timeline_are_not_chosen_from_by_chance(asked, asking):
    policy(asking, "allow", "1s")
    for name in ("near", "far"):
        take(asked, name, f"1\t0/500000\tthe life in {name}\n")
    target = asking.directory / "fetched"
    said = asking.fetch("00000002.history", target, status=ABORT).stderr
    assert "different histories of timeline 2" in said and "--repository NAME" in said and not target.exists()
    (asking.directory / "standby.signal").unlink()
    asking.fetch("00000002.history", target, status=ABORT)
    asking.fetch("00000002.history", target, options=["--repository", "far"])
    assert "far" in target.read_text()


@pytest.mark.parametrize("spoil", ["damaged", "foreign"])
def test_a_history_that_is_not_what_it_should_be_is_taken_even_where_a_miss_is_allowed(asked, asking, spoil):
    policy(asking, "allow", "1s")
    take(asked, "far")
    path, = asked.objects("clusters/main/wal/*/00000002.history", "far")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?" if spoil == "damaged" else b"1\t0/500000\tby hand\n")
    said = asking.fetch("00000002.history", asking.directory / "fetched", status=ABORT).stderr
    assert ALARM not in said and "promote-without-archive" not in said


@pytest.mark.parametrize("down", [("far",), ("near", "far")])
def test_a_recovery_that_is_no_standbys_is_never_told_a_miss_without_proof(asked, asking, down):
    policy(asking, "allow", "1s")
    (asking.directory / "standby.signal").unlink()
    for name in down:
        away(asked, name)
    for name in ("00000002.history", "000000010000000000000001"):
        assert ALARM not in asking.fetch(name, asking.directory / "fetched", status=ABORT).stderr


# What servers make of it


class Trio:
    """A primary with two repositories and two standbys on hosts of their own; one repository's word is enough to archive."""

    def __init__(self, site, policies):
        self.site = site
        self.primary = site.cluster()
        self.primary.start()
        site.acknowledge = "1"
        site.write_config()
        site.pgcairn("init")
        self.ledger = Ledger(self.primary)
        self.hosts, self.standbys = [], []
        for name, word in zip("bc", policies):
            host = other_host(site, name)
            policy(host, word)
            standby = clone_standby(host, self.primary, archive_mode="on")
            standby.start()
            admit(site, host)
            self.hosts.append(host)
            self.standbys.append(standby)
        wait_until(lambda: self.primary.value("SELECT count(*) FROM pg_stat_replication") == len(self.standbys), "the standbys")
        self.ledger.write(self.primary, 20)
        for standby in self.standbys:
            self.ledger.wait(standby)

    def give_up(self, host, repository):
        """This host's operator says that a repository is lost."""
        host.write_config(host.config_text().replace(f"[repository:{repository}]", f"[repository:{repository}]\nstate = lost"))


@pytest.mark.slow
def test_with_every_repository_down_it_is_promoted_where_allowed_and_all_that_was_acknowledged_is_archived_later(two_repositories):
    trio = Trio(two_repositories, ["allow"])
    site, ledger, standby, host = trio.site, trio.ledger, trio.standbys[0], trio.hosts[0]
    trio.primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'")
    trio.primary.pg_ctl("reload")
    wait_until(lambda: trio.primary.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"), "the standby to be sync")
    for name in site.repositories:
        away(site, name)
    ledger.begin(trio.primary)
    wait_until(lambda: ledger.acknowledged >= 200, "commits")
    trio.primary.kill9()
    acknowledged = ledger.end()
    promote(standby)
    assert ALARM in standby.log_text()
    # a commit that was not acknowledged may be there too: the client was cut off before it heard
    rows = ledger.rows(standby)
    assert acknowledged <= rows <= acknowledged + 1
    ledger.acknowledged = rows
    ledger.wants(standby)
    ledger.write(standby, 20)
    for name in site.repositories:
        back(site, name)
    standby.archive_now()
    assert len(site.objects("clusters/main/wal/*/00000002.history", "far")) == 1
    assert host.info("near")["conflicts"] == host.info("far")["conflicts"] == []
    host.json("backup")
    copy = host.restore()
    copy.start()
    copy.wait_promoted()
    ledger.wants(copy)


@pytest.mark.slow
@pytest.mark.parametrize("down", [("far",), ("near", "far")])
def test_where_it_is_not_allowed_the_server_stops_says_why_and_goes_on_as_a_standby_later(two_repositories, down):
    trio = Trio(two_repositories, ["refuse"])
    standby = trio.standbys[0]
    trio.primary.stop()
    for name in down:
        away(trio.site, name)
    standby.pg_ctl("promote", "-W")
    wait_until(lambda: not standby.running(), "the server to stop")
    log = standby.log_text()
    assert "could not restore file \"00000002.history\"" in log and "selected new timeline" not in log
    assert "promote-without-archive = allow" in log and ALARM not in log
    assert (standby.data / "standby.signal").exists()
    for name in down:
        back(trio.site, name)
    standby.start()
    trio.ledger.wait(standby)
    trio.ledger.wants(standby)
    promote(standby)
    assert timeline(standby) == 2
    trio.ledger.write(standby)
    standby.archive_now()


def promoted_into_far_alone(trio):
    """The first standby is promoted while its operator takes the repository near for lost: timeline 2 is known to far alone."""
    first, host = trio.standbys[0], trio.hosts[0]
    trio.primary.stop()
    away(trio.site, "near")
    trio.give_up(host, "near")
    promote(first)
    trio.ledger.write(first, 10)
    first.archive_now()
    back(trio.site, "near")
    assert trio.site.objects("clusters/main/wal/*/00000002.history", "near") == []
    return trio.site.objects("clusters/main/wal/*/00000002.history", "far")[0]


@pytest.mark.slow
def test_a_timeline_that_is_taken_in_the_repository_that_is_down_is_not_taken_again(two_repositories):
    trio = Trio(two_repositories, ["refuse", "refuse"])
    ledger, second = trio.ledger, trio.standbys[1]
    second.stop()
    promoted_into_far_alone(trio)
    away(trio.site, "far")
    second.configure(primary_conninfo="")
    second.start_without_waiting()
    wait_until(lambda: "FATAL:  could not restore file \"00000002.history\"" in second.log_text(), "the server to stop")
    wait_until(lambda: not second.running(), "the server to stop")
    back(trio.site, "far")
    second.start()
    ledger.wait(second)
    trio.standbys[0].stop()
    promote(second)
    assert timeline(second) == 3
    ledger.wants(second)
    ledger.write(second, 5)
    second.archive_now()
    assert trio.hosts[1].info("far")["conflicts"] == []


@pytest.mark.slow
def test_a_timeline_that_was_taken_twice_because_it_was_allowed_is_a_conflict_and_the_first_stays(two_repositories):
    trio = Trio(two_repositories, ["refuse", "allow"])
    site, (first, second), host = trio.site, trio.standbys, trio.hosts[1]
    site.json("backup")
    second.configure(primary_conninfo="")
    second.pg_ctl("reload")
    history = promoted_into_far_alone(trio)
    kept = {p: p.read_bytes() for p in site.objects("clusters/main/wal/**/*", "far")}
    away(site, "far")
    promote(second)
    assert ALARM in second.log_text()
    second.sql("INSERT INTO ledger VALUES (1000000)")
    wait_until(lambda: site.objects("clusters/main/wal/*/00000002.history", "near"), "the second's history in near")
    back(site, "far")
    second.switch_wal()
    wait_until(lambda: second.value("SELECT failed_count FROM pg_stat_archiver") > 0, "archiving to fail")
    # its history is in near, where nobody had one; its WAL meets the first's in far
    wait_until(lambda: re.search("'far' holds other content under the name '00000002[0-9A-F]{16}'", second.log_text()), "a conflict")
    wait_until(lambda: "exit code 4" in second.log_text(), "the server to hear of it")
    conflict = wait_until(lambda: host.info("far")["conflicts"], "the conflict to be kept")[0]["object"]
    assert "/00000002/" in conflict and (site.repositories["far"] / "clusters/main" / conflict).exists()
    assert {p: p.read_bytes() for p in kept} == kept, "an object was overwritten"
    assert "00000002.history" in host.pgcairn("verify", status=3).stdout
    host.fetch("00000002.history", host.directory / "fetched", options=["--repository", "far"])
    assert (host.directory / "fetched").read_bytes() == (first.data / "pg_wal/00000002.history").read_bytes()
    assert history in kept and second.running()
    # two lives under one name: none of them is chosen by chance
    site.write_config()
    trio.ledger.write(first, 5)
    first.archive_now()
    said = site.refuse_restore()
    assert "different histories of timeline 2" in said and "--repository" in said
    copy = site.restore("--repository", "far")
    copy.start()
    copy.wait_promoted()
    trio.ledger.wants(copy)
