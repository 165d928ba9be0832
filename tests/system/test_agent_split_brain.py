"""Two standbys take one timeline, each with an agent, into one pair of repositories: no content ever takes another's place."""

import concurrent.futures
import contextlib

import pytest

from agents import Agent
from ha import Ledger, admit, clone_standby, other_host, promote, streaming, timeline
from harness import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.limit(600)]
HISTORY = "00000002.history"
STRAY = 1_000_000


class Pair:
    """A primary that is gone, and standbys b and c of it that do not hear of each other; an agent for each of the three hosts."""

    def __init__(self, site, stack):
        self.site = site
        self.primary = site.cluster(archive_timeout="0")
        self.primary.start()
        site.pgcairn("init")
        stack.enter_context(Agent(site))
        self.ledger = Ledger(self.primary)
        site.json("backup")
        self.hosts, self.servers, self.agents = {}, {}, {}
        for name in "bc":
            self.hosts[name] = host = other_host(site, name)
            self.servers[name] = server = clone_standby(host, self.primary, archive_mode="on", restore_command="")
            admit(site, host)
            self.agents[name] = stack.enter_context(Agent(host))
            server.start()
        wait_until(lambda: streaming(self.primary), "both to stream")
        self.ledger.write(self.primary, 10)
        self.primary.archive_now()
        for server in self.servers.values():
            self.ledger.wait(server)

    def leave_behind(self, name):
        """It gets no more of the primary's WAL."""
        self.servers[name].configure(primary_conninfo="")
        self.servers[name].pg_ctl("reload")
        wait_until(lambda: not self.servers[name].sql("SELECT 1 FROM pg_stat_wal_receiver"), f"{name} to stream no more")

    def stored(self, pattern="*/00000002*"):
        """What lies in the repositories below the timeline, and where."""
        return {path: path.read_bytes() for name in self.site.repositories
                for path in self.site.objects(f"clusters/main/wal/{pattern}", name)}

    def fetched(self, name, repository):
        target = self.site.directory / "fetched"
        target.unlink(missing_ok=True)
        return target.read_bytes() if self.site.fetch(name, target, {0, 1}, ("--repository", repository)).returncode == 0 else None

    def archived(self, name):
        """The segments of timeline 2 for which this server was told 0."""
        status = self.servers[name].data / "pg_wal/archive_status"
        return sorted(path.stem for path in status.glob("00000002" + 16 * "?" + ".done"))

    def conflicts(self):
        return {(c["repository"], c["object"].rsplit("/", 1)[1]) for c in self.site.json("conflict", "list")["conflicts"]}


@pytest.fixture
def pair(two_repositories):
    with contextlib.ExitStack() as stack:
        yield Pair(two_repositories, stack)


def refused(server):
    return "holds other content under the name" in server.log_text() and "failed with exit code 4" in server.log_text()


def test_the_second_that_takes_a_timeline_is_refused_and_the_first_goes_on(pair):
    b, c, ledger = pair.servers["b"], pair.servers["c"], pair.ledger
    pair.leave_behind("b")
    pair.primary.sql("INSERT INTO ledger VALUES (%s)", STRAY)  # which only c hears of: the timelines part at two places
    wait_until(lambda: c.value("SELECT max(id) FROM ledger") == STRAY, "c to have it")
    pair.primary.kill9()
    promote(b)
    ledger.write(b, 5)
    b.archive_now()
    kept = pair.stored()
    promote(c)
    assert timeline(b) == timeline(c) == 2
    c.sql("INSERT INTO ledger VALUES (%s)", STRAY + 1)
    c.switch_wal()
    wait_until(lambda: refused(c), "the second to be refused")
    wait_until(lambda: ("near", HISTORY) in pair.conflicts(), "the conflict to be listed")
    ledger.write(b, 5)
    last = b.archive_now()
    assert {path: path.read_bytes() for path in kept} == kept
    assert {name for _, name in pair.conflicts()} <= {HISTORY, *(p.name for p in pair.stored("00000001/*/*.partial"))}
    assert pair.archived("c") == [] and pair.agents["c"].cluster()["failed"] > 0
    for repository in pair.site.repositories:
        assert pair.fetched(HISTORY, repository) == (b.data / "pg_wal" / HISTORY).read_bytes()
        for name in pair.archived("b"):
            assert pair.fetched(name, repository) == (b.data / "pg_wal" / name).read_bytes()
    assert {path.name for path in pair.stored("*/00000002/*/*")} == set(pair.archived("b")) and last in pair.archived("b")
    copy = pair.site.restore()
    copy.start()
    copy.wait_promoted()
    ledger.wants(copy)


def test_two_that_take_it_at_the_same_moment_are_never_both_told_that_they_are_archived(pair):
    """At the same place, so that their histories are the same; what they write behind it is not."""
    servers = pair.servers
    pair.primary.stop()

    def live(name):
        promote(servers[name])
        servers[name].sql("INSERT INTO ledger VALUES (%s)", STRAY + ord(name))
        return servers[name].switch_wal()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        first, second = pool.map(live, "bc")
    assert first == second
    wait_until(lambda: any(refused(s) for s in servers.values()), "one of them to be refused")
    wait_until(lambda: all(refused(s) or pair.archived(n) for n, s in servers.items()), "both to have an answer")
    told = [name for name in servers if first in pair.archived(name)]
    assert len(told) <= 1, "both were told that it is durable"
    assert {name for _, name in pair.conflicts()} >= {first}
    bytes_of = {name: (server.data / "pg_wal" / first).read_bytes() for name, server in servers.items()}
    held = {repository: pair.fetched(first, repository) for repository in pair.site.repositories}
    assert set(held.values()) <= set(bytes_of.values())
    for name in told:
        assert set(held.values()) == {bytes_of[name]}, "it was told 0 for what is not there"
